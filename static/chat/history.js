// The turns of a conversation come in pages, the newest first, and after a reconnect only what is
// new. Pure.

/** @import { Conversation, Earlier, History, Turn } from './conversation.js' */

/**
 * What a client has: the last finished turn before any open one, and the length of its answer.
 * @typedef {{ turn: string, status: string, chars: number }} Anchor
 */

/** It was deleted in another tab, is older than the server keeps, or the server lost it. */
export const GONE = 'This conversation is no longer stored.';

/** @type {(conversation: Conversation, frame: History) => Conversation} */
export function addHistory(conversation, frame) {
  const known = conversation.turns.findIndex(({ id }) => id === frame.after) + 1;
  const earlier = known > 0 ? conversation.earlier : frame.earlier === true;
  const turns = [...conversation.turns.slice(0, known), ...readTurns(frame.turns)];
  const trouble = turns.length === 0 && hadTurns(conversation) ? GONE : '';
  return { ...conversation, turns, earlier, loaded: true, trouble };
}

/**
 * Whether the server had turns of it: they are here, or something was sent in it before this page
 * was loaded, and nothing of that waits.
 * @type {(conversation: Conversation) => boolean}
 */
function hadTurns({ turns, waiting, loaded, trouble }) {
  return turns.length > 0 || trouble === GONE || (!loaded && waiting.length === 0);
}

/** @type {(conversation: Conversation, frame: Earlier) => Conversation} */
export function addEarlier(conversation, { before, turns, earlier }) {
  // The history may have been replaced meanwhile.
  if (conversation.turns[0]?.id !== before) return conversation;
  return { ...conversation, turns: [...readTurns(turns), ...conversation.turns], earlier };
}

/** @type {(conversation: Conversation) => Anchor | undefined} */
export function anchor({ turns }) {
  const open = turns.findIndex(({ status }) => status === 'open');
  const last = open < 0 ? turns.at(-1) : turns[open - 1];
  // In code points, as the server counts.
  return last && { turn: last.id, status: last.status, chars: [...last.answer].length };
}

/**
 * Drawing relies on texts, whatever came. What is no turn at all is left out.
 * @param {unknown} turns
 * @returns {Turn[]}
 */
function readTurns(turns) {
  const all = Array.isArray(turns) ? turns : [];
  const text = (/** @type {unknown} */ part) => String(part ?? '');
  return all.filter((turn) => turn?.id).map((turn) => ({
    ...turn,
    id: text(turn.id),
    question: text(turn.question),
    answer: text(turn.answer),
    reasoning: text(turn.reasoning),
  }));
}
