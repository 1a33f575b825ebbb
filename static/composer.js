// The message box: it has the draft of the open conversation, or the text of an earlier message
// that is being edited. Both are stored. The draft comes back after an edit; an edit that was
// cancelled comes back when its message is edited again.

import { session } from './chat/session.js';
import * as storage from './chat/storage.js';
import { find } from './markdown/dom.js';

const box = find('#prompt', document, HTMLTextAreaElement);
const sizesItself = CSS.supports('field-sizing', 'content');

/** Whether a finger is what points here. */
export const touch = matchMedia('(pointer: coarse)');

box.addEventListener('input', changed);

export const text = () => box.value.trimEnd();

/** Show what was in the box. What was typed before this script was here comes after the draft. */
export function start() {
  if (box.value) writeDraft(joined(readDraft(), box.value));
  restore();
}

/** Show what was in the box of this conversation: an edit that was not sent, or the draft. */
export function restore() {
  const turn = storage.read('editing', '', session.state.home);
  const edited = readEdits()[turn];
  if (typeof edited !== 'string') return showDraft();
  session.edit(turn);
  put(edited);
  focus();
}

/** The text was sent: show the draft, which is empty unless an earlier message was edited. */
export function clear() {
  const { editing } = session.state;
  if (editing) writeEdit(editing, null);
  else writeDraft('');
  showDraft();
}

/** @type {(turn: string, question: string) => void} */
export function edit(turn, question) {
  const edited = readEdits()[turn];
  session.edit(turn);
  storage.write('editing', turn, session.state.home);
  put(typeof edited === 'string' ? edited : question);
  changed();
  box.focus();
}

/** Show the draft in place of an edit. What was changed is stored until that message is edited. */
export function cancelEdit() {
  const { editing } = session.state;
  const isSame = box.value === session.turnOf(editing)?.question;
  if (editing && (isSame || box.value.trim() === '')) writeEdit(editing, null);
  showDraft();
}

/**
 * Put a text into the box, before the draft.
 * @param {string} before
 */
export function prepend(before) {
  writeDraft(joined(before, readDraft()));
  showDraft();
  box.focus();
}

/**
 * Put a block of text where the cursor is, on lines of its own, if there is room for it.
 * @param {string} block
 */
export function insert(block) {
  const { value, selectionStart: start, selectionEnd: end } = box;
  const before = value.slice(0, start);
  const after = value.slice(end);
  const gap = before === '' || before.endsWith('\n') ? '' : '\n';
  const added = `${gap}${block}\n`;
  if (excess(before + added + after)) return false;
  box.setRangeText(added, start, end, 'end');
  changed();
  box.focus();
  return true;
}

/** A sentence if the message in the box is too long to send. */
export function tooLong() {
  const length = excess(box.value);
  if (!length) return '';
  const counts = [length, session.state.conversation.limit];
  const [has, allowed] = counts.map((count) => count.toLocaleString('en'));
  return `This message has ${has} characters. The limit is ${allowed}.`;
}

/**
 * The length of a message that is too long, counted as the server counts it; otherwise 0.
 * @param {string} value
 */
function excess(value) {
  const { limit } = session.state.conversation;
  const message = value.trimEnd();
  if (message.length <= limit) return 0;
  // An emoji is one character, but two units of a string.
  const { length } = [...message];
  return length > limit ? length : 0;
}

export function focus() {
  // On touch it would raise the keyboard.
  if (!touch.matches) box.focus();
}

function showDraft() {
  storage.write('editing', null, session.state.home);
  session.edit(null);
  put(readDraft());
  focus();
}

/** Store what is in the box now. */
function changed() {
  const { editing } = session.state;
  if (editing) writeEdit(editing, box.value);
  else writeDraft(box.value);
  fit();
}

/** @param {string[]} texts */
const joined = (...texts) => texts.filter(Boolean).join('\n\n');

const readDraft = () => storage.read('draft', '', session.state.home);

/** @param {string} draft */
const writeDraft = (draft) => storage.write('draft', draft, session.state.home);

/**
 * The edited texts by turn, also those of cancelled edits. Accepted: those of turns that another
 * edit has dropped stay until the conversation is removed.
 * @returns {Record<string, unknown>}
 */
const readEdits = () => storage.read('edits', {}, session.state.home);

/** @type {(turn: string, edited: string | null) => void} */
function writeEdit(turn, edited) {
  const { [turn]: _, ...others } = readEdits();
  const edits = edited === null ? others : { ...others, [turn]: edited };
  const isEmpty = Object.keys(edits).length === 0;
  storage.write('edits', isEmpty ? null : edits, session.state.home);
}

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
