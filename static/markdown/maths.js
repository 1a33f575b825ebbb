// Formulas in Markdown: \(..\), \[..\], $$..$$ and, where it cannot be money, $..$. Nothing between
// these delimiters is Markdown. A formula ends before the next blank line, or there is none: what
// has no end eats nothing of what follows.

/** @import { Env, MarkdownIt, StateBlock, StateInline, Token } from 'markdown-it' */

/**
 * @typedef {object} Growth
 * @property {boolean} [isGrowing]  whether more of the text will come
 * @property {Token[]} [tail]  the inline tokens that the next character may change
 */

/** @type {Record<string, string>} */
const CLOSERS = { '$$': '$$', '\\[': '\\]', '\\(': '\\)', $: '$' };
const OPENERS = Object.keys(CLOSERS);
// Characters, and lines. Looking for the end of each of many openers must stay cheap.
const LONGEST = 4_000;
const MOST_LINES = 60;
const WORD = /[A-Za-z0-9$]/;
const SOMETHING = /[^\s\\]/;
const FENCE = /^(`{3}|~{3})/;
// A command and its first argument, such as \text{for all}, which may still be open.
const COMMAND = /\\[A-Za-z]+\s*(\{[^{}]*\}?)?/g;
const TWO_WORDS = /(?<![A-Za-z])[A-Za-z]{2,} +[A-Za-z]{2,}\b/;
const AMOUNT = /^\d.*?\s[A-Za-z]{2,}\b/;

/**
 * Have the parser make a token of type 'formula' of each formula: its content is the TeX, and its
 * markup the opening delimiter. Of a formula whose end may still come, nothing is shown.
 * @param {MarkdownIt} parser
 */
export function addMaths(parser) {
  const alt = ['paragraph', 'reference', 'blockquote', 'list'];
  parser.block.ruler.before('fence', 'formula', block, { alt });
  parser.inline.ruler.before('escape', 'formula', inline);
  parser.core.ruler.before('inline', 'tail', ({ src, tokens, env }) => {
    if (env.isGrowing && !/\n[ \t]*\n$/.test(src)) env.tail = tailOf(tokens);
  });
}

/**
 * A formula as it was written.
 * @param {Token} token
 */
export const sourceOf = ({ markup, content }) => markup + content + CLOSERS[markup];

/** @type {(source: string) => { tex: string, isDisplay: boolean }} */
export function partsOf(source) {
  const opener = OPENERS.find((other) => source.startsWith(other)) ?? '';
  const tex = source.slice(opener.length, -opener.length);
  return { tex, isDisplay: opener === '$$' || opener === '\\[' };
}

/**
 * The children of the last text, if nothing but the ends of elements comes after it.
 * @param {Token[]} tokens
 */
function tailOf(tokens) {
  const start = tokens.findLastIndex(({ level, nesting }) => level === 0 && nesting >= 0);
  // A table's last row is filled up with empty cells.
  const last = tokens.slice(start).findLast(({ content }) => content !== '');
  return last?.children ?? undefined;
}

/**
 * A formula that starts a line. Its other lines may look like a list or a heading, so they are
 * taken first.
 * @type {(state: StateBlock, start: number, end: number, silent: boolean) => boolean}
 */
function block(state, start, end, silent) {
  const at = state.bMarks[start] + state.tShift[start];
  if (state.src[at] !== '$' && state.src[at] !== '\\') return false;
  const opener = ['$$', '\\['].find((other) => state.src.startsWith(other, at));
  if (!opener || state.src[at + 2] === '$' || isOutside(state, start)) return false;
  const last = lastLine(state, start, end);
  const text = state.getLines(start, last, state.sCount[start], false);
  const close = closingIndex(text.slice(0, LONGEST), opener.length, CLOSERS[opener]);
  const isWhole = last < state.bMarks.length - 1 || text.length > LONGEST;
  if (close < 0 && (isWhole || !state.env.isGrowing)) return false;
  if (close >= 0 && !SOMETHING.test(text.slice(opener.length, close))) return false;
  const lines = close < 0 ? last - start : text.slice(0, close).split('\n').length;
  const isAlone = /^[ \t]*(\n|$)/.test(text.slice(close + CLOSERS[opener].length));
  if (close >= 0 && lines === 1 && !isAlone) return false;
  if (silent) return true;
  state.line = start + lines;
  const map = /** @type {[number, number]} */ ([start, state.line]);
  if (close < 0) {
    state.push('pending', '', 0).map = map;
  } else if (isAlone) {
    const content = text.slice(opener.length, close);
    Object.assign(state.push('formula', '', 0), { markup: opener, content, map, block: true });
  } else {
    // Text follows behind the end.
    state.push('paragraph_open', 'p', 1).map = map;
    const content = text.split('\n').slice(0, lines).join('\n').trim();
    Object.assign(state.push('inline', '', 0), { content, map, children: [] });
    state.push('paragraph_close', 'p', -1);
  }
  return true;
}

/**
 * Where the lines end that a formula may have.
 * @type {(state: StateBlock, start: number, end: number) => number}
 */
function lastLine(state, start, end) {
  let line = start + 1;
  while (line < end && line - start < MOST_LINES && !state.isEmpty(line)) {
    const isCode = FENCE.test(state.src.slice(state.bMarks[line] + state.tShift[line]).slice(0, 3));
    if (state.sCount[line] < state.blkIndent || isCode) break;
    line += 1;
  }
  return line;
}

/** @type {(state: StateBlock, line: number) => boolean} */
function isOutside({ sCount, blkIndent }, line) {
  return sCount[line] < blkIndent || sCount[line] - blkIndent > 3;
}

/** @type {(state: StateInline, silent: boolean) => boolean} */
function inline(state, silent) {
  const { src, pos, posMax, env } = state;
  if (src[pos] !== '$' && src[pos] !== '\\') return false;
  const isTail = env.tail === state.tokens && posMax === src.length;
  const rest = src.slice(pos, Math.min(posMax, pos + LONGEST));
  const opener = OPENERS.find((other) => rest.startsWith(other));
  if (!opener) return isTail && rest === '\\' && skip(state, posMax);
  const text = rest.slice(opener.length);
  const isDollar = opener.startsWith('$');
  if (isDollar && (WORD.test(src[pos - 1] ?? '') || text.startsWith('$'))) return false;
  const close = closingIndex(text, 0, CLOSERS[opener]);
  const content = text.slice(0, close);
  if (close < 0) return isTail && mayEnd(opener, text) && skip(state, posMax);
  const end = pos + opener.length + close + CLOSERS[opener].length;
  if (!SOMETHING.test(content)) return false;
  if (opener === '$' && !isNoMoney(content)) return false;
  if (opener === '$' && WORD.test(src[end] ?? '')) return false;
  // The next character may be a digit.
  if (opener === '$' && isTail && end === posMax) return skip(state, posMax);
  if (!silent) Object.assign(state.push('formula', '', 0), { markup: opener, content });
  return skip(state, end);
}

/** @type {(state: StateInline, end: number) => boolean} */
function skip(state, end) {
  state.pos = end;
  return true;
}

/** @param {string} content  between two dollars */
function isNoMoney(content) {
  return /^\S(.*\S)?$/.test(content) && !isProse(content);
}

/**
 * Whether what has come of a formula may still become one. If that is a mistake, no more than its
 * source shows for a moment.
 * @type {(opener: string, text: string) => boolean}
 */
function mayEnd(opener, text) {
  if (isProse(text)) return false;
  return opener === '$' ? !/^\s|\n/.test(text) : text.length < LONGEST / 2;
}

/**
 * Two words in a row, or an amount and a word. Once a text is prose, more of it stays prose.
 * @param {string} text
 */
function isProse(text) {
  const plain = text.replace(COMMAND, '\\');
  return TWO_WORDS.test(plain) || AMOUNT.test(plain);
}

/** @type {(text: string, start: number, closer: string) => number} */
function closingIndex(text, start, closer) {
  for (let at = start; at < text.length; at += 1) {
    if (text.startsWith(closer, at)) return at;
    // What comes after a backslash is escaped.
    if (text[at] === '\\') at += 1;
  }
  return -1;
}
