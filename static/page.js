// The page: which action each click and key has, and when to draw.

import { ACTIONS, editLast, escape, open, send } from './actions.js';
import { announce } from './announce.js';
import { news } from './chat/news.js';
import { session } from './chat/session.js';
import * as storage from './chat/storage.js';
import * as composer from './composer.js';
import { draw } from './draw.js';
import { takeDroppedFiles } from './drop.js';
import { listenToKeys } from './keys.js';
import { loadNearTop } from './log.js';
import { showLoginIfAsked } from './login.js';
import { find } from './markdown/dom.js';
import { loadMarkdown } from './markdown/tokens.js';
import * as sidebar from './sidebar.js';
import { noteEnds } from './tab.js';
import { drawWelcome } from './welcome.js';

const form = find('#composer', document, HTMLFormElement);
// Nothing is drawn before Markdown is there.
let drawing = true;
// Whether all of the state is in the page.
let drawnAll = false;

document.addEventListener('click', ({ target }) => {
  if (!(target instanceof Element)) return;
  const button = target.closest('button');
  const action = ACTIONS[button?.dataset.do ?? ''];
  if (button && action) action(idAround(button), button);
  else if (target.matches('.box')) find('#prompt').focus();
  else if (target.matches('#drawer')) sidebar.hide();
});

/** @param {Element} button */
function idAround(button) {
  const owner = button.closest('[data-id]');
  return owner instanceof HTMLElement ? (owner.dataset.id ?? '') : '';
}

listenToKeys({
  sendsByEnter: () => !composer.touch.matches,
  send: () => form.requestSubmit(),
  editLast,
  escape,
  newChat: () => open(null),
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  send();
});
takeDroppedFiles({
  box: find('.box'),
  insert: composer.insert,
  refuse: (sentence) => session.warn(sentence),
  limit: () => session.state.conversation.limit,
});

// The old socket belongs to the old network.
addEventListener('online', () => session.reconnect());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) session.wake();
});
// An open socket would exclude the page from the back/forward cache.
addEventListener('pagehide', () => {
  session.disconnect();
  storage.endOpening(session.state.home);
});
addEventListener('pageshow', ({ persisted }) => {
  if (persisted) session.wake();
});

// A problem was read by then.
find('#prompt').addEventListener('input', () => session.warn(''));
// What a person does, here or in another tab, may change what shows. Drawing it again costs little.
for (const event of ['click', 'keydown', 'input', 'focusin', 'storage', 'close']) {
  addEventListener(event, drawSoon, true);
}
session.subscribe((state, before) => {
  announce(news(state, before));
  noteEnds(state, before);
  drawnAll = false;
  drawSoon();
});
// After the listener of log.js, which knows by then whether it was the reader who moved.
find('#log').addEventListener('scroll', loadEarlier, { passive: true });
session.start(new URL('ws', location.href.replace(/^http/, 'ws')).href, showLoginIfAsked);
// Only a message box that is in its place can have the focus.
drawWelcome();
composer.restore();
if (session.state.unopened) announce({ notice: 'The last conversation was not opened.' });
loadMarkdown().then(() => {
  drawing = false;
  drawSoon();
});

function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    sidebar.drawSidebar();
    drawnAll = draw();
    if (drawnAll) loadNearTop();
    else drawSoon();
  });
}

function loadEarlier() {
  if (drawnAll) loadNearTop();
}
