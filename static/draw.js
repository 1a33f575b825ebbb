// Draws the conversation as it is now. Drawing it twice changes nothing, and what did not change
// is not touched. The style sheet decides what shows in which state of a turn, by `data-status`.

import { isOpen, shown } from './chat/conversation.js';
import { GONE } from './chat/history.js';
import { session } from './chat/session.js';
import { beginOpening, endOpening, titleOf } from './chat/storage.js';
import { appender, copyOf, find } from './markdown/dom.js';
import { highlight } from './markdown/highlight.js';
import { streamMarkdown } from './markdown/stream.js';

/** @import { Network } from './chat/connection.js' */
/** @import { Turn } from './chat/conversation.js' */

/**
 * A turn as it was last drawn.
 * @typedef {object} Drawn
 * @property {HTMLElement} node
 * @property {Turn} turn
 * @property {ReturnType<typeof streamMarkdown> | null} view  null until there is an answer
 * @property {(text: string) => void} think  appends to what is shown of the reasoning
 */

/** @type {Map<string, Drawn>} */
const drawn = new Map();
// The conversation that was drawn last, and whether it was never painted yet.
/** @type {string | null} */
let opened = null;
let isOpening = false;
const prompt = find('#prompt', document, HTMLTextAreaElement);
const send = find('#send', document, HTMLButtonElement);
const stop = find('#stop');
const hint = find('#hint');
const log = find('#log');
const list = find('#turns');
const earlierButton = find('#earlier');
// ms for turns that were not drawn before; the rest comes in the next frames.
const LONGEST_DRAWING = 30;

/** @type {Partial<Record<Turn['status'], string>>} */
const NOTES = {
  stopped: 'You stopped this reply.',
  length: 'The reply reached its length limit.',
  filtered: 'The reply was cut off by a content filter.',
  interrupted: 'The reply was interrupted.',
};
const UNSENT = 'Not sent yet. It will be sent when you are back online.';
/** @type {Partial<Record<Turn['status'], string>>} */
const REASSURANCES = {
  refused: 'It was not sent. You can edit it and send it again.',
  error: 'Nothing was lost.',
};
const FULL = ['conversation_full', 'too_long'];
const FULL_ADVICE = 'You can take your message to a new chat.';
/** @type {Record<Network, string>} */
const NETWORK_WARNINGS = {
  connecting: 'Connecting…',
  open: '',
  reconnecting: 'Reconnecting… Your draft is safe.',
  offline: 'Offline. Your draft is safe. Messages will be sent when you are back online.',
  busy: 'The server is busy. Your draft is safe. Trying again soon.',
  refused: 'The server refused the connection. Reload the page to try again.',
};
const DEMO = 'A small demo model on this machine. It is often wrong.';
const LOADING = 'The model is still loading. Your message will be answered when it is ready.';
const ADVICE = 'Replies can be wrong. Check what matters.';

/** Returns whether all of it is drawn: a long history, or a long reply, takes several frames. */
export function draw() {
  const { conversation, editing, home, network, unopened } = session.state;
  const { loaded, model, demo, loading, trouble, earlier } = conversation;
  const turns = shown(conversation);
  const title = titleOf(home);
  const isBlank = prompt.value.trim() === '';
  const networkWarning = NETWORK_WARNINGS[network];
  const isGone = trouble === GONE && turns.length === 0;
  const warning = tooLong() || networkWarning || (isGone ? '' : trouble);
  if (loaded && home !== opened) {
    opened = home;
    isOpening = true;
    beginOpening(home);
  }
  const isDrawn = drawTurns(turns);
  // A timeout comes after the frame was painted.
  if (isDrawn && isOpening) setTimeout(endOpening, 0, home);
  isOpening &&= !isDrawn;
  drawEarlier(earlier);
  stop.hidden = !turns.some(isOpen);
  send.hidden = isBlank && !stop.hidden;
  send.disabled = isBlank || tooLong() !== '';
  hint.classList.toggle('warning', warning !== '');
  hint.classList.toggle('away', networkWarning !== '' && warning === networkWarning);
  find('#remark').textContent = warning || (loading && LOADING) || (demo ? DEMO : ADVICE);
  // Beside the sentence about a model that is loading there is no room for the keys.
  find('#keys').hidden = loading === true;
  find('#empty').hidden = turns.length > 0 || !loaded;
  find('#gone').hidden = !isGone;
  find('#unopened').hidden = !unopened;
  find('#unopened').dataset.id = unopened ?? '';
  find('#unopened b').textContent = titleOf(unopened) ?? 'The last conversation';
  find('#editing').hidden = !editing;
  find('#title').textContent = title ?? 'New chat';
  document.title = title ? `${title} · Pocket Chat` : 'Pocket Chat';
  find('#model').textContent = [model, demo && 'demo'].filter(Boolean).join(' · ');
  return isDrawn;
}

/** A sentence if the message in the box is too long to send, counted as the server counts it. */
export function tooLong() {
  const { limit } = session.state.conversation;
  const text = prompt.value.trimEnd();
  if (text.length <= limit) return '';
  // An emoji is one character, but two units of a string.
  const length = [...text].length;
  if (length <= limit) return '';
  const [has, allowed] = [length, limit].map((count) => count.toLocaleString('en'));
  return `This message has ${has} characters. The limit is ${allowed}.`;
}

/**
 * The newest first: these are in sight. Earlier ones that come in front of them move nothing.
 * @param {Turn[]} turns
 */
function drawTurns(turns) {
  const wanted = new Map(turns.map((turn) => [turn.id, turn]));
  for (const [id, item] of drawn) if (!continues(item.turn, wanted.get(id))) remove(item);
  const start = performance.now();
  const first = list.firstElementChild;
  const growsInFront = turns.length > 0 && !drawn.has(turns[0].id);
  // Reading a place costs a layout.
  const top = growsInFront && first ? first.getBoundingClientRect().top : 0;
  let isDrawn = true;
  /** @type {Element | null} */
  let next = null;
  for (const turn of turns.toReversed()) {
    const known = drawn.get(turn.id);
    if (!known && performance.now() - start > LONGEST_DRAWING) {
      isDrawn = false;
      continue;
    }
    const item = known ?? add(turn);
    if (!known || item.node.nextElementSibling !== next) list.insertBefore(item.node, next);
    next = item.node;
    // A message that waits is always another object, so a change of the network is drawn too.
    if (item.turn !== turn) drawTurn(item, turn);
    // It was laid out before, so its height is measured.
    else if (!isOpen(turn)) item.node.classList.add('finished');
    item.turn = turn;
    isDrawn &&= isOpen(turn) || (item.view?.isDone() ?? true);
  }
  // The browser itself moves nothing, except at the very top, where a reader asks for more.
  if (growsInFront && first?.isConnected && first !== list.firstElementChild) {
    log.scrollTop += first.getBoundingClientRect().top - top;
  }
  return isDrawn;
}

/** @param {boolean} earlier  whether there are turns before the first */
function drawEarlier(earlier) {
  if (!earlier && document.activeElement === earlierButton) log.focus({ preventScroll: true });
  earlierButton.hidden = !earlier;
}

/**
 * Whether what was drawn of a turn can stay.
 * @type {(before: Turn, turn: Turn | undefined) => boolean}
 */
function continues(before, turn) {
  if (!turn?.reasoning.startsWith(before.reasoning)) return false;
  return turn.answer === before.answer || (isOpen(before) && turn.answer.startsWith(before.answer));
}

/** @param {Drawn} item */
function remove({ node, view, turn }) {
  view?.stop();
  node.remove();
  drawn.delete(turn.id);
}

/** @param {Turn} turn */
function add(turn) {
  const node = copyOf('#turn');
  node.dataset.id = turn.id;
  appender(find('.body', node))(turn.question);
  const think = appender(find('.thought', node));
  const item = { node, turn: { ...turn, answer: '', reasoning: '' }, view: null, think };
  drawn.set(turn.id, item);
  return item;
}

/** @type {(item: Drawn, turn: Turn) => void} */
function drawTurn(item, turn) {
  const { node, turn: before } = item;
  const { status, answer, error } = turn;
  const isUnsent = status === 'waiting' && session.state.network !== 'open';
  node.dataset.status = status;
  find('.bot', node).ariaBusy = String(isOpen(turn));
  const note = isUnsent ? UNSENT : NOTES[status];
  find('.note strong', node).textContent = note ?? error?.content ?? '';
  const isFull = FULL.includes(error?.code ?? '');
  find('.note small', node).textContent = isFull ? FULL_ADVICE : (REASSURANCES[status] ?? '');
  find('.note [data-do=retry]', node).hidden = status !== 'interrupted' && !error?.retry;
  find('.note [data-do=move]', node).hidden = !isFull;
  drawThinking(find('.thinking', node, HTMLDetailsElement), turn, before);
  item.think(turn.reasoning.slice(before.reasoning.length));
  if (answer === '') return;
  item.view ??= streamMarkdown(find('.md', node), highlight);
  if (isOpen(turn)) item.view.write(answer);
  else if (isOpen(before) || before.answer !== answer) item.view.finish(answer);
}

/**
 * Open while there is nothing else to read. Then it folds, once; after that only the reader opens
 * or folds it.
 * @type {(thinking: HTMLDetailsElement, turn: Turn, before: Turn) => void}
 */
function drawThinking(thinking, { reasoning, answer, status }, before) {
  if (reasoning && !before.reasoning) thinking.open = status === 'open' && !answer;
  if (answer && !before.answer) thinking.open = false;
}
