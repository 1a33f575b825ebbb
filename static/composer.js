// The message box: its draft, and the rewriting of an earlier message.

import { read, write } from './kept.js';
import { home } from './session.js';

const prompt = document.getElementById('prompt');
const sizesItself = CSS.supports('field-sizing', 'content');

export const touch = matchMedia('(pointer: coarse)');
export let editing = null; // The turn that is being rewritten: its text is in the box, and the draft waits.

prompt.addEventListener('input', () => {
  if (!editing) write('draft', prompt.value, home);
  fit();
});

/** Show the draft of the conversation that is open. */
export function showDraft() {
  editing = null;
  put(read('draft', '', home));
  focus();
}

/** What was in the box is on its way. */
export function sent() {
  if (!editing) write('draft', null, home);
  showDraft();
}

export function edit(turn, text) {
  editing = turn;
  put(text);
  prompt.focus();
}

/** Put a text back into the box, before whatever was written since. */
export function giveBack(text) {
  const all = [text, read('draft', '', home)].filter(Boolean).join('\n\n');
  write('draft', all, home);
  edit(null, all);
}

export function focus() {
  if (!touch.matches) prompt.focus(); // On touch it would raise the keyboard.
}

function put(text) {
  prompt.value = text;
  prompt.setSelectionRange(text.length, text.length);
  fit();
}

function fit() {
  if (sizesItself) return;
  prompt.style.blockSize = 'auto';
  prompt.style.blockSize = `${prompt.scrollHeight}px`;
}
