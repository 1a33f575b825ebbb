// The few HTML elements that models write where Markdown has no marks of its own: <sub>, <sup>,
// <kbd> and <br>, without attributes. All other HTML is text.

/** @import { MarkdownIt, StateInline } from 'markdown-it' */

const OPENING = /^<(sub|sup|kbd)>/;
const BREAK = /^<br ?\/?>/;
const HALF = /^<(s(u[bp]?)?|k(bd?)?|b(r ?\/?)?)?$/;
// Characters to wait for a closing tag while a text grows.
const PATIENCE = 100;

/** @param {MarkdownIt} parser */
export function addTags(parser) {
  parser.inline.ruler.before('autolink', 'tag', (state, silent) => {
    const { src, pos, posMax, env } = state;
    if (src[pos] !== '<') return false;
    const isTail = env.tail === state.tokens && posMax === src.length;
    const rest = src.slice(pos, Math.min(posMax, pos + PATIENCE));
    const lineBreak = BREAK.exec(rest);
    if (lineBreak) {
      if (!silent) state.push('hardbreak', 'br', 0);
      state.pos += lineBreak[0].length;
      return true;
    }
    const [open, tag] = OPENING.exec(rest) ?? [];
    const start = pos + (open?.length ?? 0);
    const end = tag ? closingTag(state, start, tag) : -1;
    if (tag && end > start) {
      if (!silent) addElement(state, tag, start, end);
      state.pos = end + `</${tag}>`.length;
      return true;
    }
    const isUnclear = isTail && (tag ? rest.length < PATIENCE : HALF.test(rest));
    if (isUnclear) state.pos = posMax;
    return isUnclear;
  });
}

/**
 * Where the tag stands that closes an element, or -1.
 * @type {(state: StateInline, start: number, tag: string) => number}
 */
function closingTag(state, start, tag) {
  const before = state.pos;
  state.pos = start;
  while (state.pos < state.posMax && !state.src.startsWith(`</${tag}>`, state.pos)) {
    state.md.inline.skipToken(state);
  }
  const end = state.pos < state.posMax ? state.pos : -1;
  state.pos = before;
  return end;
}

/** @type {(state: StateInline, tag: string, start: number, end: number) => void} */
function addElement(state, tag, start, end) {
  const { posMax } = state;
  state.push(`${tag}_open`, tag, 1).markup = `<${tag}>`;
  state.pos = start;
  state.posMax = end;
  state.md.inline.tokenize(state);
  state.posMax = posMax;
  state.push(`${tag}_close`, tag, -1).markup = `</${tag}>`;
}
