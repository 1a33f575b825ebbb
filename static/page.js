// The page: what each click and key does, and when to draw.

import { shown } from './chat/conversation.js';
import { news } from './chat/news.js';
import { session } from './chat/session.js';
import * as storage from './chat/storage.js';
import { copy } from './clipboard.js';
import * as composer from './composer.js';
import { draw, tooLong } from './draw.js';
import { followEnd } from './follow.js';
import { showLoginIfAsked } from './login.js';
import { find } from './markdown/dom.js';
import { loadMarkdown } from './markdown/tokens.js';
import * as sidebar from './sidebar.js';

/** @import { News } from './chat/news.js' */

const form = find('#composer', document, HTMLFormElement);
const down = find('#down');
// px to the top of the log: the page of earlier messages has time to come.
const NEAR_TOP = 600;
const log = find('#log');
// Nothing is drawn before Markdown is there.
let drawing = true;
// Whether all of the state is in the page.
let drawnAll = false;

/**
 * What the buttons do, by their `data-do`. `id` is the turn or the past conversation that the
 * button is in.
 * @type {Record<string, (id: string, button: HTMLButtonElement) => void>}
 */
const ACTIONS = {
  new: () => open(null),
  open,
  rename: sidebar.askForName,
  remove: (id) => sidebar.askToRemove(id, remove),
  show: sidebar.show,
  hide: sidebar.hide,
  theme: (_, { value }) => sidebar.chooseTheme(value),
  try: (_, { value }) => composer.prepend(value),
  earlier: () => session.loadEarlier(),
  move: moveToNewChat,
  edit,
  cancel: composer.showDraft,
  retry: (id) => {
    session.retry(id);
    end.follow();
  },
  stop: () => {
    stop();
    composer.focus();
  },
  down: () => {
    end.follow();
    composer.focus();
  },
  copy: (id, button) => copy(button, session.turnOf(id)?.answer ?? '').then(announce),
  'copy-code': (_, button) => {
    const code = button.closest('figure')?.querySelector('code');
    copy(button, code?.textContent ?? '').then(announce);
  },
};

document.addEventListener('click', ({ target }) => {
  if (!(target instanceof Element)) return;
  const button = target.closest('button');
  const action = ACTIONS[button?.dataset.do ?? ''];
  if (button && action) action(idAround(button), button);
  else if (target.matches('.box')) find('#prompt').focus();
  else if (target.matches('#drawer')) sidebar.hide();
});

document.addEventListener('keydown', (event) => {
  // The keys of an input method are not ours. 229 is how Safari marks them.
  if (event.isComposing || event.keyCode === 229) return;
  const action = actionOf(event);
  if (!action) return;
  action();
  event.preventDefault();
});

/** @type {(event: KeyboardEvent) => (() => void) | null} */
function actionOf({ key, code, ctrlKey, metaKey, shiftKey, target }) {
  const command = ctrlKey || metaKey;
  if (target instanceof HTMLTextAreaElement) {
    const sends = command || !(shiftKey || composer.touch.matches);
    if (key === 'Enter' && sends) return () => form.requestSubmit();
    if (key === 'ArrowUp' && target.value === '' && !session.state.editing) return editLast;
  }
  if (key === 'Escape' && !document.querySelector('dialog[open]')) {
    return session.state.editing ? composer.showDraft : stop;
  }
  return command && shiftKey && code === 'KeyO' ? () => open(null) : null;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = composer.text();
  const problem = tooLong();
  if (!text.trim()) return;
  if (problem) return announce({ alarm: problem });
  session.send(text, session.state.editing);
  composer.clear();
  end.follow();
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

// What a person does, here or in another tab, may change what shows. Drawing it again costs little.
for (const event of ['click', 'keydown', 'input', 'focusin', 'storage', 'close']) {
  addEventListener(event, drawSoon, true);
}
session.subscribe((state, before) => {
  announce(news(state, before));
  drawnAll = false;
  drawSoon();
});

const end = followEnd(log, find('#turns'), ({ following, unseen }) => {
  down.hidden = following;
  down.classList.toggle('fresh', unseen);
});
// After followEnd(), which knows by then whether it was the reader who moved.
log.addEventListener('scroll', loadNearTop, { passive: true });
session.start(new URL('ws', location.href.replace(/^http/, 'ws')).href, showLoginIfAsked);
composer.showDraft();
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

function loadNearTop() {
  if (drawnAll && !end.following && log.scrollTop < NEAR_TOP) session.loadEarlier();
}

/** @param {News} news */
function announce({ notice, alarm }) {
  if (notice) find('#say').textContent = notice;
  if (alarm) find('#alarm').textContent = alarm;
}

/** @param {Element} button */
function idAround(button) {
  const owner = button.closest('[data-id]');
  return owner instanceof HTMLElement ? (owner.dataset.id ?? '') : '';
}

/**
 * Show a past conversation, or (null) a new one.
 * @param {string | null} id
 */
function open(id) {
  const { conversation, home } = session.state;
  sidebar.closeDrawer();
  if (id !== home || (!id && shown(conversation).length > 0)) {
    session.open(id);
    composer.showDraft();
    end.follow();
  }
  composer.focus();
}

/** @param {string} id */
function remove(id) {
  storage.remove(id);
  session.deleteRemoved();
  if (id === session.state.home) open(null);
}

/** @param {string} id */
function edit(id) {
  const turn = session.turnOf(id);
  if (turn) composer.edit(id, turn.question);
  else composer.prepend(session.withdraw(id) ?? '');
}

function editLast() {
  const last = shown(session.state.conversation).findLast(({ status }) => status !== 'waiting');
  if (last) edit(last.id);
}

/**
 * Put a message for which the conversation has no room into the box of a new one.
 * @param {string} id
 */
function moveToNewChat(id) {
  const text = session.turnOf(id)?.question ?? session.withdraw(id);
  open(null);
  composer.prepend(text ?? '');
}

function stop() {
  const unsent = session.stop();
  if (unsent) composer.prepend(unsent);
}
