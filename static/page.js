// The page: which action each click and key has, and when to draw.

import { ACTIONS, editLast, escape, open, preloadMenu, send, show } from './actions.js';
import { announce, notify } from './announce.js';
import { news } from './chat/news.js';
import { session } from './chat/session.js';
import * as composer from './composer.js';
import { draw } from './draw.js';
import { acceptDroppedFiles } from './drop.js';
import { loadFormatting } from './formatting.js';
import { listenToKeys } from './keys.js';
import { drawList } from './list.js';
import { end, loadNearTop } from './log.js';
import { find } from './markdown/dom.js';
import { goOnToQuestion, goToQuestion } from './questions.js';
import * as sidebar from './sidebar.js';
import { noteEnds } from './tab.js';
import { startTravelling } from './travel.js';
import { drawWelcome } from './welcome.js';

const form = find('#composer', document, HTMLFormElement);
let drawing = false;
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
  goToQuestion: (step) => goToQuestion(step, end) || composer.focus(),
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  send();
});
acceptDroppedFiles({
  box: find('.box'),
  insert: composer.insert,
  refuse: (sentence) => notify({ alarm: sentence }),
  limit: () => session.state.conversation.limit,
});

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
// What was received before this script was here.
announce(news(session.state, { ...session.state, network: 'connecting' }));
announce({ alarm: session.state.conversation.trouble });
// After the listener of log.js, which knows by then whether it was the reader who moved.
find('#log').addEventListener('scroll', loadEarlier, { passive: true });
// Only a message box that is in its place can have the focus.
drawWelcome();
composer.start();
if (session.state.unopened) announce({ notice: 'The last conversation was not opened.' });
startTravelling({ show, notify });
drawSoon();
loadFormatting();
// Before a click on what is in it.
find('#menu').addEventListener('beforetoggle', preloadMenu, { once: true });

function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    delete document.documentElement.dataset.fresh;
    sidebar.drawThemes();
    drawList();
    drawnAll = draw();
    if (!drawnAll) return drawSoon();
    goOnToQuestion(end);
    loadNearTop();
  });
}

function loadEarlier() {
  if (drawnAll) loadNearTop();
}
