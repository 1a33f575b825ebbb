// The message box: it has the draft of the open conversation, or the text of an earlier message
// that is being edited. The draft is stored meanwhile, and comes back after the edit.

import { session } from './chat/session.js';
import * as storage from './chat/storage.js';
import { find } from './markdown/dom.js';

const box = find('#prompt', document, HTMLTextAreaElement);
const sizesItself = CSS.supports('field-sizing', 'content');

/** Whether a finger is what points here. */
export const touch = matchMedia('(pointer: coarse)');

box.addEventListener('input', () => {
  if (!session.state.editing) writeDraft(box.value);
  fit();
});

export const text = () => box.value.trimEnd();

export function showDraft() {
  session.edit(null);
  put(readDraft());
  focus();
}

/** The text was sent: show the draft, which is empty unless an earlier message was edited. */
export function clear() {
  if (!session.state.editing) writeDraft('');
  showDraft();
}

/** @type {(turn: string, question: string) => void} */
export function edit(turn, question) {
  session.edit(turn);
  put(question);
  box.focus();
}

/**
 * Put a text into the box, before the draft.
 * @param {string} before
 */
export function prepend(before) {
  writeDraft([before, readDraft()].filter(Boolean).join('\n\n'));
  session.edit(null);
  put(readDraft());
  box.focus();
}

export function focus() {
  // On touch it would raise the keyboard.
  if (!touch.matches) box.focus();
}

const readDraft = () => storage.read('draft', '', session.state.home);

/** @param {string} draft */
const writeDraft = (draft) => storage.write('draft', draft, session.state.home);

/** @param {string} value */
function put(value) {
  box.value = value;
  box.setSelectionRange(value.length, value.length);
  fit();
}

function fit() {
  if (sizesItself) return;
  box.style.blockSize = 'auto';
  box.style.blockSize = `${box.scrollHeight}px`;
}
