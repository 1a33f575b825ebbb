// A reply, as plain text until the modules that format it are here: see formatting.js.

import { element } from './dom.js';

/**
 * Shows a growing answer in an element: see streamMarkdown().
 * @typedef {object} View
 * @property {(answer: string) => void} write
 * @property {(answer: string) => void} finish
 * @property {() => void} stop
 * @property {() => boolean} isDone
 */

/** @typedef {(root: Element) => View} Show */

// ms of work between two tasks of the browser's own.
const LONGEST_WORK = 30;
/** @type {Show | null} */
let show = null;
/** @type {Set<() => void>} */
const plain = new Set();

/**
 * A view that is not done before it is formatted.
 * @type {Show}
 */
export function showReply(root) {
  let view = show?.(root) ?? showPlain(root);
  let isDone = show !== null;
  let resume = () => {};
  if (!show) plain.add(format);
  return {
    write(answer) {
      resume = () => view.write(answer);
      resume();
    },
    finish(answer) {
      resume = () => view.finish(answer);
      resume();
    },
    stop() {
      plain.delete(format);
      view.stop();
    },
    isDone: () => isDone && view.isDone(),
  };

  function format() {
    view = show?.(root) ?? view;
    isDone = true;
    resume();
  }
}

/**
 * From now on replies are shown this way. Those that are plain are shown again, the newest first.
 * @param {Show} next
 */
export function formatReplies(next) {
  show = next;
  const start = performance.now();
  for (const format of plain) {
    if (performance.now() - start > LONGEST_WORK) return setTimeout(formatReplies, 0, next);
    plain.delete(format);
    format();
  }
}

/**
 * @param {Element} root
 * @returns {View}
 */
export function showPlain(root) {
  const write = (/** @type {string} */ text) =>
    root.replaceChildren(element('div', { class: 'plain' }, text));
  return { write, finish: write, stop() {}, isDone: () => true };
}
