// What Markdown becomes: markdown-it parses it, and its tokens become DOM nodes, one by one. No
// HTML text anywhere, so Trusted Types can be 'none'. Raw HTML is text, and nothing is fetched.

import { appender, element } from './dom.js';
import { DEEPEST, limit } from './limits.js';

/** @import { Env, MarkdownIt, Token } from 'markdown-it' */

/** @typedef {NonNullable<Env['references']>} References  the link definitions of a text */

const SAFE_PROTOCOLS = ['http:', 'https:', 'mailto:'];
const TOO_COMPLEX = 'This part is shown as plain text: it is too complex to format.';
const CHECKBOX = /^\[([ xX])\] /;

/** @type {MarkdownIt | null} */
let parser = null;

/** Load the library, and return its parser; null if it is not installed. */
export async function loadMarkdown() {
  const loading = import('../../vendor/markdown-it/markdown-it.esm.min.mjs');
  const library = await loading.catch(() => null);
  if (!library) return null;
  parser = new library.default({ html: false, linkify: true });
  // README.md is no link.
  parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false }).add('//', null);
  // pointTo() refuses addresses. If the parser did, a refused link would show its source.
  parser.validateLink = () => true;
  limit(parser);
  return parser;
}

/**
 * The top-level blocks of a text. Adds its link definitions to `references`, as toNodes() does.
 * @param {string} text
 * @param {References} references
 */
export function topBlocks(text, references) {
  /** @type {Token[]} */
  const tokens = [];
  parser?.block.parse(text, parser, { references }, tokens);
  return tokens.filter((token) => token.level === 0 && token.nesting >= 0 && !token.hidden);
}

/**
 * One node for each top-level block. Without the library it is plain text.
 * @param {string} text
 * @param {References} references
 */
export function toNodes(text, references) {
  const root = new DocumentFragment();
  if (parser) build(parser.parse(text, { references }), root);
  else root.append(element('div', { class: 'plain' }, text));
  return root;
}

/**
 * What is nested deeper than DEEPEST is put into the element at that depth, with its markers.
 * @param {Token[]} tokens
 * @param {DocumentFragment | Element} root
 * @param {number} [depth]  of the root
 */
function build(tokens, root, depth = 0) {
  let parent = root;
  const parents = [];
  for (const [index, token] of tokens.entries()) {
    if (token.hidden) continue;
    if (token.nesting > 0) {
      parents.push(parent);
      if (depth + parents.length <= DEEPEST) parent = open(token, parent);
      else append(token.markup, parent);
    } else if (token.nesting < 0) {
      if (depth + parents.length > DEEPEST) append(token.markup, parent);
      parent = parents.pop() ?? root;
    } else if (token.type === 'inline') {
      const children = token.children ?? [];
      if (tokens[index - 2]?.type === 'list_item_open') addCheckbox(children[0], parent);
      build(children, parent, depth + parents.length);
    } else {
      for (const part of leaf(token, parent)) append(part, parent);
    }
  }
}

/**
 * A paragraph of thousands of lines is one text.
 * @type {(part: Node | string, parent: DocumentFragment | Element) => void}
 */
function append(part, parent) {
  const last = parent.lastChild;
  if (typeof part === 'string' && last instanceof Text) last.appendData(part);
  else parent.append(part);
}

/**
 * @param {Token} token
 * @param {DocumentFragment | Element} parent
 */
function open(token, parent) {
  const node = element(token.tag);
  for (const [name, value] of token.attrs ?? []) {
    if (name === 'title' || name === 'start') node.setAttribute(name, String(value));
    // The content policy allows no style attribute.
    if (name === 'style') node.setAttribute('data-align', String(value).replace('text-align:', ''));
  }
  if (token.tag === 'a') pointTo(node, String(token.attrGet('href')));
  const region = { class: 'tbl', tabindex: '0', role: 'region', 'aria-label': 'Table' };
  parent.append(token.tag === 'table' ? element('div', region, node) : node);
  return node;
}

/** @type {(token: Token, parent: DocumentFragment | Element) => (Node | string)[]} */
function leaf(token, parent) {
  switch (token.type) {
    case 'softbreak':
      return ['\n'];
    case 'hardbreak':
      return [element('br'), '\n'];
    case 'hr':
      return [element('hr')];
    case 'code_inline':
      return [element('code', {}, token.content)];
    case 'fence':
    case 'code_block':
      return [codeBlock(token.info, token.content)];
    case 'image':
      return [imageLink(token, parent)];
    case 'plain':
      return [plainBlock(token.content)];
    default:
      return token.content ? [token.content] : [];
  }
}

/** @type {(text: Token | undefined, item: DocumentFragment | Element) => void} */
function addCheckbox(text, item) {
  const mark = text?.type === 'text' ? CHECKBOX.exec(text.content) : null;
  if (!text || !mark) return;
  /** @type {Record<string, string>} */
  const state = mark[1] === ' ' ? { 'aria-label': 'To do' } : { 'aria-label': 'Done', checked: '' };
  item.append(element('input', { type: 'checkbox', disabled: '', ...state }));
  text.content = text.content.slice('[x]'.length);
}

/**
 * An image is a link: fetching its address could send the conversation to a stranger.
 * @type {(token: Token, parent: DocumentFragment | Element) => Element}
 */
function imageLink(token, parent) {
  const text = parser?.renderer.renderInlineAsText(token.children ?? [], parser.options, {});
  const isInLink = parent instanceof Element && parent.closest('a') !== null;
  const node = element(isInLink ? 'span' : 'a', { class: 'image' }, text || 'image');
  if (!isInLink) pointTo(node, String(token.attrGet('src')));
  return node;
}

/**
 * Without a safe absolute address the link goes nowhere.
 * @type {(link: Element, address: string) => void}
 */
function pointTo(link, address) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!url || !SAFE_PROTOCOLS.includes(url.protocol)) return;
  // Not `address`: "http:x" would lead to this host.
  link.setAttribute('href', url.href);
  link.setAttribute('rel', 'noopener noreferrer nofollow');
  link.setAttribute('target', '_blank');
}

/**
 * A block that is beyond the limits.
 * @param {string} text
 */
export function plainBlock(text) {
  const source = element('div', { class: 'source' });
  appender(source)(text);
  return element('div', { class: 'plain' }, source, element('small', {}, TOO_COMPLEX));
}

/** @type {(info: string, text: string) => Element} */
export function codeBlock(info, text) {
  const language = parser?.utils.unescapeAll(info).trim().split(/\s+/)[0];
  const name = language || 'text';
  const code = element('code', language ? { class: `language-${language}` } : {});
  appender(code)(text);
  const use = element('use', { href: '#i-copy' });
  const icon = element('svg', { class: 'i', 'aria-hidden': 'true' }, use);
  const copy = element('button', { type: 'button', 'data-do': 'copy-code' }, icon, 'Copy');
  const caption = element('figcaption', {}, name, copy);
  const region = { tabindex: '0', role: 'region', 'aria-label': `${name} code` };
  return element('figure', { class: 'code' }, caption, element('pre', region, code));
}
