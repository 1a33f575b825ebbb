// The empty page: a greeting, with the message box in the middle. The first message moves the box
// to the end of the page.

import { shown } from './chat/conversation.js';
import { GONE } from './chat/history.js';
import { titleOf } from './chat/past.js';
import { session } from './chat/session.js';
import { find } from './markdown/dom.js';

const main = find('#main');
const dock = find('#composer');
const still = matchMedia('(prefers-reduced-motion: reduce)');
const MOVE = { duration: 260, easing: 'cubic-bezier(.2, .7, .2, 1)' };

export function drawWelcome() {
  const { conversation, unopened } = session.state;
  const count = shown(conversation).length;
  place(conversation.loaded && count === 0, count > 0);
  find('#gone').hidden = conversation.trouble !== GONE;
  find('#gone p').textContent = GONE;
  find('#unopened').hidden = !unopened;
  find('#unopened').dataset.id = unopened ?? '';
  find('#unopened b').textContent = titleOf(unopened) ?? 'The last conversation';
}

/** @type {(isEmpty: boolean, moves: boolean) => void} */
function place(isEmpty, moves) {
  // Hidden until it is known where the box belongs.
  const isFirst = main.dataset.page === undefined;
  const page = isEmpty ? 'empty' : 'chat';
  if (main.dataset.page === page) return;
  const { top } = dock.getBoundingClientRect();
  main.dataset.page = page;
  if (isFirst || isEmpty || !moves || still.matches) return;
  // Only the picture of the box moves: the text above has its place at once.
  const translate = `0 ${top - dock.getBoundingClientRect().top}px`;
  dock.animate([{ translate }, { translate: 'none' }], MOVE);
}
