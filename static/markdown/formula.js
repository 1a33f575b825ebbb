// Formulas as elements. Each shows its source until it is set; for good if Temml is not installed
// or cannot read it. What sets them is loaded when the first one comes.

import { element } from './dom.js';
import { partsOf, sourceOf } from './maths.js';

/** @import { Token } from 'markdown-it' */

const UNSET = '[data-source]:not([data-set])';

/** @type {Promise<typeof import('./typesetting.js') | null> | null} */
let loading = null;

/** @param {Token} token */
export function formula(token) {
  const source = sourceOf(token);
  const { isDisplay } = partsOf(source);
  const node = element(token.block ? 'div' : 'span', { class: 'maths', dir: 'ltr' }, source);
  node.setAttribute('data-source', source);
  if (!isDisplay) return node;
  // A wide one scrolls, also by the keyboard.
  const group = { class: 'maths display', tabindex: '0', role: 'group', 'aria-label': 'Formula' };
  for (const [name, value] of Object.entries(group)) node.setAttribute(name, value);
  return node;
}

/**
 * Set the formulas of a block that are not set yet.
 * @type {(block: Node, reply: Element) => void}
 */
export function typeset(block, reply) {
  if (!(block instanceof Element)) return;
  const formulas = [...block.querySelectorAll(UNSET)];
  if (block.matches(UNSET)) formulas.push(block);
  if (formulas.length === 0) return;
  loading ??= import('./typesetting.js').catch(() => null);
  loading.then((typesetting) => typesetting?.set(formulas, reply));
}
