// What Markdown becomes: markdown-it parses it, and its tokens become DOM nodes, one by one. No
// HTML text anywhere, so Trusted Types can be 'none'. Raw HTML is text, and nothing is fetched.

import { appender, element } from './dom.js';
import { formula } from './formula.js';
import { DEEPEST, limit } from './limits.js';
import { addMaths, sourceOf } from './maths.js';
import { addTags } from './tags.js';

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
  addMaths(parser);
  addTags(parser);
  return parser;
}

/**
 * The top-level blocks of a growing text. Adds its link definitions to `references`, as toNodes()
 * does.
 * @param {string} text
 * @param {References} references
 */
export function topBlocks(text, references) {
  /** @type {Token[]} */
  const tokens = [];
  parser?.block.parse(text, parser, { references, isGrowing: true }, tokens);
  const blocks = tokens.filter((token) => token.level === 0 && token.nesting >= 0 && !token.hidden);
  const [before, last] = blocks.slice(-2);
  // If it turns out to be no formula, it is part of the block before it.
  if (last?.type === 'pending' && before.map?.[1] === last.map?.[0]) blocks.pop();
  return blocks;
}

/**
 * One node for each top-level block. Without the library it is plain text. If the text is growing,
 * what its next characters would change is left out.
 * @param {string} text
 * @param {References} references
 * @param {boolean} [isGrowing]
 */
export function toNodes(text, references, isGrowing = false) {
  const root = new DocumentFragment();
  if (parser) build(parser.parse(text, { references, isGrowing }), root);
  else if (text) root.append(element('div', { class: 'plain' }, text));
  for (const block of root.children) {
    if (!block.hasAttribute('dir')) block.setAttribute('dir', 'auto');
  }
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
  const group = { class: 'tbl', tabindex: '0', role: 'group', 'aria-label': 'Table' };
  parent.append(token.tag === 'table' ? element('div', group, node) : node);
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
      return [element('code', { dir: 'ltr' }, token.content)];
    case 'fence':
    case 'code_block':
      return [codeBlock(token.info, token.content)];
    case 'formula':
      return [formula(token)];
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
  const parts = token.children ?? [];
  for (const part of parts) {
    if (part.type === 'formula') Object.assign(part, { type: 'text', content: sourceOf(part) });
  }
  const text = parser?.renderer.renderInlineAsText(parts, parser.options, {});
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
  const remark = element('small', {}, TOO_COMPLEX);
  return element('div', { class: 'plain', dir: 'auto' }, source, remark);
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
  const group = { tabindex: '0', role: 'group', 'aria-label': `${name} code` };
  return element('figure', { class: 'code', dir: 'ltr' }, caption, element('pre', group, code));
}
