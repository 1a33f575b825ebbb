// From question to question, with Alt and the arrow keys.

import { session } from './chat/session.js';
import { find } from './markdown/dom.js';

/**
 * Where the reader is: see follow.js.
 * @typedef {{ following: boolean, follow: () => void, leave: () => void }} End
 */

const log = find('#log');
const turns = find('#turns');
// px; what is that near to the top of the log is at the top.
const MARGIN = 24;
// The question before this first turn shows as soon as its page is here.
/** @type {Element | undefined} */
let wantedBefore;

/**
 * Show and focus the question before or after the one that has the focus, or else the one at the
 * top. The one before the first shows once its page has come. Returns false after the last: then
 * the end of the log is followed.
 * @type {(step: -1 | 1, end: End) => boolean}
 */
export function goToQuestion(step, end) {
  const all = [...turns.children];
  const next = all[indexOfNext(all, step, end.following)];
  wantedBefore = !next && step < 0 ? all[0] : undefined;
  if (wantedBefore) session.loadEarlier();
  if (next) showQuestion(next, end);
  else if (step > 0) end.follow();
  return next !== undefined || step < 0;
}

/** @type {(turn: Element, end: End) => void} */
function showQuestion(turn, end) {
  const question = find('.you', turn);
  end.leave();
  question.tabIndex = -1;
  question.focus({ preventScroll: true });
  turn.scrollIntoView({ block: 'start' });
}

/**
 * Go on to the earlier question that was wanted, once it is drawn.
 * @param {End} end
 */
export function goOnToQuestion(end) {
  if (wantedBefore?.isConnected && wantedBefore !== turns.firstElementChild) goToQuestion(-1, end);
}

/** @type {(all: Element[], step: -1 | 1, isAtEnd: boolean) => number} */
function indexOfNext(all, step, isAtEnd) {
  const top = log.getBoundingClientRect().top;
  // Of the turns, not of the questions: what is far away is not laid out for this.
  const places = all.map((turn) => turn.getBoundingClientRect().top - top);
  const focused = all.findIndex((turn) => turn.contains(document.activeElement));
  const isInView = places[focused] > -MARGIN && places[focused] < log.clientHeight;
  if (focused >= 0 && isInView) return focused + step;
  if (step > 0) return places.findIndex((place) => place > MARGIN);
  return isAtEnd ? all.length - 1 : places.findLastIndex((place) => place < -1);
}
