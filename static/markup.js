// What Markdown becomes: markdown-it reads it, and its tokens become DOM nodes, one by one.
// No HTML text anywhere, so Trusted Types can be 'none'; raw HTML is text, and nothing is fetched.

import { element } from './dom.js';

const ISLAND_LINES = 50;
const SAFE_PROTOCOLS = new Set(['http:', 'https:', 'mailto:']);

export let parser = null;

/** Load the library, if it is there. */
export async function loadMarkdown() {
  const library = await import('/vendor/markdown-it/markdown-it.esm.min.mjs').catch(() => null);
  if (!library) return;
  parser = new library.default({ html: false, linkify: true });
  parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false }).add('//', null); // README.md is no link
  parser.validateLink = () => true; // pointTo() decides; else a refused link shows its source
}

/** The top-level blocks of `text`; like toNodes(), adds its link definitions to `references`. */
export function topBlocks(text, references) {
  const tokens = [];
  parser?.block.parse(text, parser, { references }, tokens);
  return tokens.filter((token) => token.level === 0 && token.nesting >= 0 && !token.hidden);
}

/** One node for each top-level block; without the library it is plain text. */
export function toNodes(text, references) {
  const root = new DocumentFragment();
  if (parser) build(parser.parse(text, { references }), root);
  else root.append(element('div', { class: 'plain' }, text));
  return root;
}

function build(tokens, root) {
  const parents = [root];
  for (const [index, token] of tokens.entries()) {
    const parent = parents.at(-1);
    if (token.hidden) continue;
    if (token.nesting > 0) parents.push(open(token, parent));
    else if (token.nesting < 0) parents.pop();
    else if (token.type !== 'inline') parent.append(...leaf(token, parent));
    else {
      if (tokens[index - 2]?.type === 'list_item_open') addCheckbox(token.children[0], parent);
      build(token.children, parent);
    }
  }
}

function open(token, parent) {
  const node = element(token.tag);
  for (const [name, value] of token.attrs ?? []) {
    if (name === 'title' || name === 'start') node.setAttribute(name, value);
    if (name === 'style') node.dataset.align = value.replace('text-align:', ''); // no style="": the policy
  }
  if (token.tag === 'a') pointTo(node, token.attrGet('href'));
  const region = { class: 'tbl', tabindex: 0, role: 'region', 'aria-label': 'Table' };
  parent.append(token.tag === 'table' ? element('div', region, node) : node);
  return node;
}

function leaf(token, parent) {
  switch (token.type) {
    case 'softbreak': return ['\n'];
    case 'hardbreak': return [element('br'), '\n'];
    case 'hr': return [element('hr')];
    case 'code_inline': return [element('code', {}, token.content)];
    case 'fence': case 'code_block': return [codeBlock(token.info, token.content)];
    case 'image': return [imageLink(token, parent)];
    default: return token.content ? [token.content] : [];
  }
}

/** A list item that starts with "[x] " starts with a checkbox. */
function addCheckbox(text, item) {
  const mark = text?.type === 'text' && /^\[([ xX])\] /.exec(text.content);
  if (!mark) return;
  const state = mark[1] === ' ' ? { 'aria-label': 'To do' } : { 'aria-label': 'Done', checked: '' };
  item.append(element('input', { type: 'checkbox', disabled: '', ...state }));
  text.content = text.content.slice('[x]'.length);
}

/** An image is a link: fetching its address could carry the conversation to a stranger. */
function imageLink(token, parent) {
  const label = parser.renderer.renderInlineAsText(token.children, parser.options, {}) || 'image';
  if (parent.closest('a')) return element('span', { class: 'image' }, label);
  return pointTo(element('a', { class: 'image' }, label), token.attrGet('src'));
}

function pointTo(link, address) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!SAFE_PROTOCOLS.has(url?.protocol)) return link;
  link.setAttribute('href', url.href); // not `address`: "http:x" would lead to this host
  link.setAttribute('rel', 'noopener noreferrer nofollow');
  link.setAttribute('target', '_blank');
  return link;
}

export function codeBlock(info, text) {
  const language = parser.utils.unescapeAll(info).trim().split(/\s+/)[0];
  const code = element('code', language ? { class: `language-${language}` } : {});
  filling(code)(text);
  const icon = element('svg', { class: 'i', 'aria-hidden': true }, element('use', { href: '#i-copy' }));
  const copy = element('button', { type: 'button', 'data-do': 'copy-code' }, icon, 'Copy');
  const region = { tabindex: 0, role: 'region', 'aria-label': `${language || 'text'} code` };
  const caption = element('figcaption', {}, language || 'text', copy);
  return element('figure', { class: 'code' }, caption, element('pre', region, code));
}

/** A function that appends to a <code>, in islands of 50 lines: a new line costs the layout of its island alone. */
export function filling(code) {
  let island;
  let room = 0;
  return (text) => {
    for (const line of text.match(/[^\n]*\n|[^\n]+/g) ?? []) {
      if (room === 0) {
        island = new Text();
        code.append(element('span', { class: 'cl' }, island));
        room = ISLAND_LINES;
      }
      island.appendData(line);
      if (line.endsWith('\n')) room -= 1;
    }
  };
}
