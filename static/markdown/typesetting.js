// Makes MathML of formulas, with Temml, and has them copied as they were written. Importing this
// fails if Temml is not installed.

import { element } from './dom.js';
import { partsOf } from './maths.js';

/** @import { default as Temml, Options } from 'temml' */

const LIBRARY = new URL('../../vendor/temml/', import.meta.url);
// ms at a time.
const LONGEST_WORK = 8;
// Of a formula, and of the formulas of a reply. Laying out 2,000 elements takes about 50 ms.
const MOST_ELEMENTS = 2_000;
const MOST_OF_A_REPLY = 20_000;
// Browsers draw recursively.
const DEEPEST = 64;
const OPTIONS = {
  throwOnError: true,
  trust: false,
  // Of macros, which a formula can define for itself.
  maxExpand: 300,
  // em and pt, of a space or a rule.
  /** @type {[number, number]} */
  maxSize: [20, 200],
};
/** @type {Options} */
const DISPLAY = { ...OPTIONS, displayMode: true };
// It may go on in the next line after a sign like + or =.
/** @type {Options} */
const INLINE = { ...OPTIONS, wrap: 'tex' };
const ATTRIBUTES = `accent class columnalign depth display displaystyle fence form height largeop
  linebreak linethickness lspace mathbackground mathcolor mathsize mathvariant maxsize minsize
  movablelimits notation rowspacing rspace scriptlevel separator stretchy style symmetric voffset
  width`.split(/\s+/);

/** @type {Map<Element, Element>} each with its reply */
const waiting = new Map();
/** @type {WeakMap<Element, number>} of each reply */
const elements = new WeakMap();
let timer = 0;

/** @type {{ default: typeof Temml }} */
const { default: temml } = await import(`${LIBRARY}temml.mjs`);
await loadStyle();
document.addEventListener('copy', copySources);

/** @type {(formulas: Iterable<Element>, reply: Element) => void} */
export function set(formulas, reply) {
  for (const node of formulas) waiting.set(node, reply);
  if (!timer) work();
}

function loadStyle() {
  const style = element('link', { rel: 'stylesheet', href: `${LIBRARY}Temml-Local.css` });
  document.head.append(style);
  return new Promise((resolve) => {
    style.addEventListener('load', resolve);
    style.addEventListener('error', resolve);
  });
}

function work() {
  timer = 0;
  const start = performance.now();
  for (const [node, reply] of waiting) {
    if (performance.now() - start > LONGEST_WORK) {
      timer = setTimeout(work);
      return;
    }
    waiting.delete(node);
    setOne(node, reply);
  }
}

/** @type {(node: Element, reply: Element) => void} */
function setOne(node, reply) {
  const { tex, isDisplay } = partsOf(node.getAttribute('data-source') ?? '');
  const before = elements.get(reply) ?? 0;
  const box = element('span');
  node.setAttribute('data-set', 'source');
  if (before > MOST_OF_A_REPLY) return;
  try {
    const how = isDisplay ? DISPLAY : INLINE;
    temml.render(tex, /** @type {HTMLElement} */ (box), how);
  } catch {
    return;
  }
  const count = box.getElementsByTagName('*').length;
  if (count === 0 || count > MOST_ELEMENTS || !isHarmless(box)) return;
  elements.set(reply, before + count);
  node.setAttribute('data-set', 'maths');
  node.replaceChildren(...box.childNodes);
}

/**
 * Whether there is nothing but MathML. Takes away the ids: a reply must not name the page's parts.
 * @type {(node: Element, depth?: number) => boolean}
 */
function isHarmless(node, depth = 0) {
  if (depth > DEEPEST) return false;
  return [...node.children].every((child) => {
    child.removeAttribute('id');
    if (!(child instanceof MathMLElement) && child.localName !== 'span') return false;
    const isKnown = child.getAttributeNames().every((name) => ATTRIBUTES.includes(name));
    return isKnown && isHarmless(child, depth + 1);
  });
}

/**
 * What is copied of a reply has formulas as they were written.
 * @param {ClipboardEvent} event
 */
function copySources(event) {
  const selection = getSelection();
  if (!selection || selection.isCollapsed || !event.clipboardData) return;
  const range = selection.getRangeAt(0).cloneRange();
  const first = formulaAround(range.startContainer);
  const last = formulaAround(range.endContainer);
  if (first) range.setStartBefore(first);
  if (last) range.setEndAfter(last);
  const copy = element('div', { class: 'copied' }, range.cloneContents());
  const formulas = copy.querySelectorAll('[data-set=maths]');
  if (formulas.length === 0) return;
  for (const node of formulas) {
    node.removeAttribute('data-set');
    node.replaceChildren(node.getAttribute('data-source') ?? '');
  }
  // Only what is in the page knows where its lines end.
  document.body.append(copy);
  event.clipboardData.setData('text/plain', /** @type {HTMLElement} */ (copy).innerText);
  event.clipboardData.setData('text/html', copy.innerHTML);
  copy.remove();
  event.preventDefault();
}

/** @param {Node} node */
function formulaAround(node) {
  return (node instanceof Element ? node : node.parentElement)?.closest('[data-set=maths]');
}
