// A block that only ever grows at its end, however long it gets: code whose end has not come yet,
// or the rest of a reply that is too large. Nothing inside it is parsed.

import { appender, find } from './dom.js';
import { codeBlock, plainBlock } from './tokens.js';

/** @import { Token } from 'markdown-it' */

/**
 * @typedef {object} Growing
 * @property {Element} node
 * @property {(text: string) => void} append
 * @property {RegExp} closing
 * @property {RegExp} maybeClosing  half a line, at the very end
 */

const NEVER = /(?!)/g;

/** @type {(token: Token) => Growing} */
export function growingCode({ info, markup }) {
  const node = codeBlock(info, '');
  return {
    node,
    append: appender(find('code', node)),
    closing: new RegExp(`^ {0,3}${markup[0]}{${markup.length},}[ \\t]*$`, 'gm'),
    maybeClosing: new RegExp(`^ {0,3}${markup[0]}*[ \\t]*$(?![^])`, 'gm'),
  };
}

/** @type {() => Growing} */
export function growingPlain() {
  const node = plainBlock('');
  return { node, append: appender(find('.source', node)), closing: NEVER, maybeClosing: NEVER };
}

/**
 * Append what has come. Returns where that ends, and whether the block was closed there.
 * @param {Growing} block
 * @param {string} source
 * @param {number} start
 * @param {boolean} finished
 */
export function grow({ append, closing, maybeClosing }, source, start, finished) {
  closing.lastIndex = start;
  maybeClosing.lastIndex = start;
  const found = closing.exec(source);
  const isClosed = found !== null && (finished || source[closing.lastIndex] === '\n');
  const heldBack = found ?? (finished ? null : maybeClosing.exec(source));
  const end = heldBack?.index ?? source.length;
  append(source.slice(start, end));
  return { end: isClosed ? closing.lastIndex + 1 : end, isClosed };
}
