// One turn: the question, the reply, and the note under it. The style sheet decides what shows in
// which state of a turn, by `data-status`.

import { isOpen } from './chat/conversation.js';
import { session } from './chat/session.js';
import { thinkingLabel } from './chat/thinking.js';
import { appender, copyOf, find } from './markdown/dom.js';
import { showReply } from './markdown/reply.js';

/** @import { Turn } from './chat/conversation.js' */

/**
 * A turn as it was last drawn.
 * @typedef {object} Drawn
 * @property {HTMLElement} node
 * @property {Turn} turn
 * @property {ReturnType<typeof showReply> | null} view  null until there is an answer
 * @property {(text: string) => void} think  appends to what is shown of the reasoning
 */

/** @type {Partial<Record<Turn['status'], string>>} */
const NOTES = {
  queued: 'Waiting for the reply above',
  stopped: 'You stopped this reply.',
  length: 'The reply reached its length limit.',
  filtered: 'The reply was cut off by a content filter. It may help to reword your message.',
  interrupted: 'The reply was interrupted.',
};
const UNSENT = 'Not sent yet. It will be sent when you are back online.';
const LATER = 'Once this is fixed, edit it to send it again.';
const FULL = ['conversation_full', 'too_long'];

// Lines. Of a folded question twelve show, by style.css. One that is little longer needs no button.
const WORTH_FOLDING = 15;
// Characters in a line, roughly: fewer on a phone.
const WIDE_LINE = 62;
const NARROW_LINE = 36;
const wide = matchMedia('(min-width: 40rem)');

/** @type {(turn: Turn) => Drawn} */
export function createTurn(turn) {
  const node = copyOf('#turn');
  const question = find('.question', node);
  node.dataset.id = turn.id;
  appender(find('.body', node))(turn.question);
  if (linesOf(turn.question) >= WORTH_FOLDING) fold(question, true);
  else find('.more', node).remove();
  const think = appender(find('.thought', node));
  return { node, turn: { ...turn, answer: '', reasoning: '' }, view: null, think };
}

/** @type {(item: Drawn, turn: Turn) => void} */
export function drawTurn(item, turn) {
  const { node, turn: before } = item;
  const { status, answer, error } = turn;
  node.dataset.status = status;
  find('.bot', node).ariaBusy = String(isOpen(turn));
  find('.note strong', node).textContent = noteOf(turn);
  find('.note small', node).textContent = reassurance(turn);
  find('.note [data-do=retry]', node).hidden = status !== 'interrupted' && !error?.retry;
  find('.note [data-do=move]', node).hidden = !isFull(turn);
  drawThinking(find('.thinking', node, HTMLDetailsElement), turn, before);
  item.think(turn.reasoning.slice(before.reasoning.length));
  if (answer === '') return;
  item.view ??= showReply(find('.md', node));
  if (isOpen(turn)) item.view.write(answer);
  else if (isOpen(before) || before.answer !== answer) item.view.finish(answer);
}

/**
 * Show all of a long question, or its first lines. Returns whether it is all there now.
 * @param {HTMLElement} question
 */
export function toggleFold(question) {
  const folds = !question.classList.contains('folded');
  fold(question, folds);
  return !folds;
}

/** @type {(question: HTMLElement, folds: boolean) => void} */
function fold(question, folds) {
  const more = find('.more', question);
  question.classList.toggle('folded', folds);
  more.textContent = folds ? 'Show more' : 'Show less';
  more.ariaExpanded = String(!folds);
}

/** @param {string} text */
function linesOf(text) {
  const room = wide.matches ? WIDE_LINE : NARROW_LINE;
  if (text.length > WORTH_FOLDING * room) return WORTH_FOLDING;
  const lengths = text.split('\n').map((line) => Math.max(1, Math.ceil(line.length / room)));
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** @param {Turn} turn */
function noteOf({ id, status, error }) {
  const { conversation, network } = session.state;
  const isUnsent = network !== 'open' && conversation.waiting.some((message) => message.id === id);
  return (isUnsent && !error && UNSENT) || (NOTES[status] ?? error?.content ?? '');
}

/**
 * What happened to the message, under the sentence about the error.
 * @param {Turn} turn
 */
function reassurance(turn) {
  const { status, error } = turn;
  if (isFull(turn)) return 'Your message goes with you.';
  if (status === 'refused') return 'Your message was not sent. It is stored in this browser.';
  if (status !== 'error') return '';
  return error?.retry ? 'Your message is saved.' : `Your message is saved. ${LATER}`;
}

/** @param {Turn} turn */
const isFull = ({ error }) => FULL.includes(error?.code ?? '');

/**
 * Open while there is nothing else to read. Then it folds, once; after that only the reader opens
 * or folds it.
 * @type {(thinking: HTMLDetailsElement, turn: Turn, before: Turn) => void}
 */
function drawThinking(thinking, turn, before) {
  const { reasoning, answer, status } = turn;
  if (reasoning && !before.reasoning) thinking.open = status === 'open' && !answer;
  if (answer && !before.answer) thinking.open = false;
  find('summary', thinking).textContent = thinkingLabel(turn);
}
