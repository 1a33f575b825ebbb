// Draws the conversation as it is now. Drawing it twice changes nothing, and what did not change
// is not touched.

import { isOpen, shown } from './chat/conversation.js';
import { GONE } from './chat/history.js';
import { titleOf } from './chat/past.js';
import { session } from './chat/session.js';
import { beginOpening, endOpening } from './chat/storage.js';
import * as composer from './composer.js';
import { find } from './markdown/dom.js';
import { drawTab } from './tab.js';
import { createTurn, drawTurn } from './turn.js';
import { drawWelcome } from './welcome.js';

/** @import { Network } from './chat/connection.js' */
/** @import { Turn } from './chat/conversation.js' */
/** @import { Drawn } from './turn.js' */

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
// ms from the first sight of a conversation until more of it is fetched.
const BEFORE_MORE = 1_000;

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
  const { conversation, editing, home, network } = session.state;
  const { loaded, model, demo, loading, trouble, earlier } = conversation;
  const turns = shown(conversation);
  const title = titleOf(home);
  const tooLong = composer.tooLong();
  const isBlank = prompt.value.trim() === '';
  const networkWarning = NETWORK_WARNINGS[network];
  // The empty page says itself that a conversation is gone.
  const warning = tooLong || networkWarning || (trouble === GONE ? '' : trouble);
  if (loaded && home !== opened) {
    opened = home;
    isOpening = true;
    beginOpening(home);
  }
  const isDrawn = drawTurns(turns);
  // A timeout comes after the frame was painted.
  if (isDrawn && isOpening) setTimeout(noteOpened, 0, home);
  isOpening &&= !isDrawn;
  drawEarlier(earlier);
  drawWelcome();
  drawTab();
  drawStop(turns.some(isOpen));
  send.hidden = isBlank && !stop.hidden;
  send.disabled = isBlank || tooLong !== '';
  hint.classList.toggle('warning', warning !== '');
  hint.classList.toggle('away', networkWarning !== '' && warning === networkWarning);
  find('#remark').textContent = warning || (loading && LOADING) || (demo ? DEMO : ADVICE);
  // Beside the sentence about a model that is loading there is no room for the keys.
  find('#keys').hidden = loading === true;
  find('#editing').hidden = !editing;
  find('#title').textContent = title ?? 'New chat';
  find('#menu-button').hidden = home === null;
  find('#model').textContent = [model, demo && 'demo'].filter(Boolean).join(' · ');
  return isDrawn;
}

/** @param {string | null} home */
function noteOpened(home) {
  endOpening(home);
  // The browser's own search finds only what is here: fetch more than the first short page.
  setTimeout(() => session.loadEarlier(), BEFORE_MORE);
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
    const item = known ?? createTurn(turn);
    drawn.set(turn.id, item);
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

/** @param {boolean} isBusy */
function drawStop(isBusy) {
  // A button that goes would take the focus with it.
  if (!isBusy && document.activeElement === stop) composer.focus();
  stop.hidden = !isBusy;
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
  // Another conversation may use the same ids.
  if (turn?.question !== before.question) return false;
  if (!turn.reasoning.startsWith(before.reasoning)) return false;
  return turn.answer === before.answer || (isOpen(before) && turn.answer.startsWith(before.answer));
}

/** @param {Drawn} item */
function remove({ node, view, turn }) {
  view?.stop();
  node.remove();
  drawn.delete(turn.id);
}
