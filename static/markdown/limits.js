// What the parser and the browser can take. Without limits a reply of nested emphasis, or a table
// of 5,000 columns, would crash the tab, and each later one that opens its conversation.

/** @import { MarkdownIt, Token } from 'markdown-it' */

// Elements in each other. Browsers draw recursively, and their stack ends at some thousands.
export const DEEPEST = 32;

// Of a top-level block. Its tokens become about as many nodes.
const MOST_TOKENS = 12_000;
// Of a paragraph, a cell or a heading: the parser's work can grow with the square of these.
const MOST_MARKS = 1_000;
const LONGEST_TEXT = 50_000;
// See appender(), which can show them.
const ACCENTS = /\p{M}{100}/u;
const MARK = /[*_~`[\]()<>!&\\:@$]/g;

/**
 * Have the parser make a token of type 'plain', with its source, of each top-level block that is
 * beyond the limits, and one of type 'text' of what is nested too deep.
 * @param {MarkdownIt} parser
 */
export function limit(parser) {
  parser.core.ruler.after('block', 'limits', (state) => {
    const lines = state.src.split('\n');
    state.tokens = topLevel(state.tokens).flatMap((block) => {
      if (isWithinLimits(block)) return block;
      const [token] = block;
      const [start, end] = token.map ?? [0, 0];
      Object.assign(token, { type: 'plain', nesting: 0, hidden: false });
      token.content = lines.slice(start, end).join('\n');
      return [token];
    });
  });
  parser.block.ruler.before('table', 'depth', (state, start, end) => {
    if (state.level < DEEPEST) return false;
    const token = state.push('text', '', 0);
    token.content = state.getLines(start, end, state.blkIndent, false);
    state.line = end;
    return true;
  });
}

/** @param {Token[]} tokens */
function topLevel(tokens) {
  /** @type {Token[][]} */
  const blocks = [];
  for (const token of tokens) {
    if (token.level === 0 && token.nesting >= 0) blocks.push([]);
    blocks.at(-1)?.push(token);
  }
  return blocks;
}

/** @param {Token[]} block */
function isWithinLimits(block) {
  if (block.length > MOST_TOKENS) return false;
  return block.every(({ type, content }) => type !== 'inline' || isSimple(content));
}

/** @param {string} text */
function isSimple(text) {
  const marks = text.match(MARK)?.length ?? 0;
  return text.length <= LONGEST_TEXT && marks <= MOST_MARKS && !ACCENTS.test(text);
}
