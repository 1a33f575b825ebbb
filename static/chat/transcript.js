// A conversation as Markdown, to copy or to save. Pure.

/** @import { Turn } from './conversation.js' */

// What the heading of a reply says besides "Assistant".
/** @type {Partial<Record<Turn['status'], string>>} */
const ENDS = {
  open: ' (unfinished)',
  length: ' (reached its length limit)',
  filtered: ' (cut off by a content filter)',
  stopped: ' (stopped)',
  interrupted: ' (interrupted)',
  error: ' (failed)',
};
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
// What a file system may refuse in a name.
const NOT_IN_NAMES = /[\s\p{C}\\/:*?"<>|]+/gu;
// Characters: with its ending, at most 255 bytes in any script.
const LONGEST_NAME = 60;

/** @type {(title: string, turns: Turn[]) => string} */
export function toMarkdown(title, turns) {
  const parts = [`# ${title}`];
  for (const { question, answer, status, error } of turns) {
    const unsent = status === 'waiting' || status === 'refused';
    parts.push(unsent ? '## You (not sent)' : '## You', closeFence(question));
    if (unsent) continue;
    parts.push(`## Assistant${ENDS[status] ?? ''}`, closeFence(answer), error?.content ?? '');
  }
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

/**
 * Code that was cut off would take in all that follows it.
 * @param {string} text
 */
function closeFence(text) {
  let fence = '';
  for (const line of text.split('\n')) {
    const [start, marks = ''] = FENCE.exec(line) ?? [];
    if (!fence) fence = marks;
    else if (marks.startsWith(fence) && line.trim() === start?.trim()) fence = '';
  }
  return `${text.trimEnd()}${fence && `\n${fence}`}`;
}

/** @param {string} title */
export function fileName(title) {
  const name = [...title.replace(NOT_IN_NAMES, ' ')].slice(0, LONGEST_NAME).join('');
  return `${name.replace(/^[.\s]+|[.\s]+$/g, '') || 'Conversation'}.md`;
}
