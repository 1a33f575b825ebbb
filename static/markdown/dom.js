// Finding and making nodes, and changing them in place, so that a selection, a focus or a colour
// in them survives.

const SVG = 'http://www.w3.org/2000/svg';
const HTML = 'http://www.w3.org/1999/xhtml';
const ISLAND_LINES = 50;
// Laying out accents on accents takes the square of their number.
const MANY_ACCENTS = /\p{M}{50}(?=\p{M})/gu;

/**
 * The element in `root` that matches. Throws if index.html does not have it, or has another kind.
 * @template {Element} [E=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @param {new () => E} [kind]
 * @returns {E}
 */
export function find(selector, root = document, kind = /** @type {any} */ (HTMLElement)) {
  const node = root.querySelector(selector);
  if (node instanceof kind) return node;
  throw new TypeError(`There is no ${kind.name} that matches ${selector}`);
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {Element}
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElementNS(tag === 'svg' || tag === 'use' ? SVG : HTML, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/**
 * A copy of what a <template> has.
 * @param {string} selector
 */
export function copyOf(selector) {
  const copy = document.importNode(find(selector, document, HTMLTemplateElement).content, true);
  return find('*', copy);
}

/**
 * Make the nodes of `parent`, from `old` on, like those of `wanted`, and reuse what fits.
 * @param {Node & ParentNode} parent
 * @param {Node} wanted
 * @param {ChildNode | null} [old]
 */
export function morph(parent, wanted, old = parent.firstChild) {
  /** @type {ChildNode | null} */
  let next;
  for (const node of [...wanted.childNodes]) {
    next = old?.nextSibling ?? null;
    if (!old) parent.append(node);
    else if (old.nodeName !== node.nodeName) old.replaceWith(node);
    else if (old instanceof Text && node instanceof Text) changeText(old, node.data);
    else if (old instanceof Element && node instanceof Element) {
      // Only a formula has a source, and whatever else there is of it is made from that.
      const source = old.getAttribute('data-source');
      if (source !== node.getAttribute('data-source')) old.replaceWith(node);
      else if (source === null) morphElement(old, node);
    }
    old = next;
  }
  while (old) {
    next = old.nextSibling;
    old.remove();
    old = next;
  }
}

/**
 * @param {Element} node
 * @param {Element} wanted
 */
function morphElement(node, wanted) {
  for (const { name } of [...node.attributes]) {
    if (!wanted.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  morph(node, wanted);
}

/**
 * Replace only what differs: a selection before it survives.
 * @param {Text} node
 * @param {string} text
 */
function changeText(node, text) {
  const old = node.data;
  if (text === old) return;
  let same = text.startsWith(old) ? old.length : 0;
  while (same < old.length && old[same] === text[same]) same += 1;
  node.replaceData(same, old.length - same, text.slice(same));
}

/**
 * A function that appends to an element plain text of any length, in islands of 50 lines: a new
 * line costs the layout of its island alone.
 * @type {(parent: Element) => (text: string) => void}
 */
export function appender(parent) {
  let island = new Text();
  let room = 0;
  return (text) => {
    for (const line of text.match(/[^\n]*\n|[^\n]+/g) ?? []) {
      if (room === 0) {
        island = new Text();
        parent.append(element('span', { class: 'cl' }, island));
        room = ISLAND_LINES;
      }
      const [part, ...others] = line.replace(MANY_ACCENTS, '$&\0').split('\0');
      island.appendData(part);
      for (const other of others) {
        const next = new Text(other);
        island.after(element('wbr'), next);
        island = next;
      }
      if (line.endsWith('\n')) room -= 1;
    }
  };
}
