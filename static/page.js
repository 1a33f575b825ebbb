// The page: what each click and key does, and when to draw.

import { announce, tell } from './announce.js';
import { shown } from './chat/conversation.js';
import { news } from './chat/news.js';
import { removePast } from './chat/past.js';
import { session } from './chat/session.js';
import { copy, copyText } from './clipboard.js';
import * as composer from './composer.js';
import { draw, tooLong } from './draw.js';
import { followEnd } from './follow.js';
import { loadFormatting } from './formatting.js';
import { drawList } from './list.js';
import { find } from './markdown/dom.js';
import { goOnToQuestion, goToQuestion, stepOf } from './questions.js';
import * as sidebar from './sidebar.js';
import { linkToConversation, pushEntry, startTravelling } from './travel.js';

const form = find('#composer', document, HTMLFormElement);
const down = find('#down');
// px to the top of the log: the page of earlier messages has time to come.
const NEAR_TOP = 600;
const log = find('#log');
let drawing = false;
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
  save: async () => (await loadMenu()).saveAsMarkdown(),
  'copy-whole': async () => {
    const text = await (await loadMenu()).wholeConversation();
    if (text !== null) tell(await copyText(text));
  },
  link: async () => (await loadMenu()).showLink(linkToConversation()),
  'copy-link': (_, button) => copy(button, linkToConversation()).then(announce),
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
function actionOf(event) {
  const { key, code, ctrlKey, metaKey, shiftKey, target } = event;
  const command = ctrlKey || metaKey;
  const step = stepOf(event);
  if (step) return () => goToQuestion(step, end) || composer.focus();
  if (target instanceof HTMLTextAreaElement) {
    const sends = command || !(shiftKey || composer.touch.matches);
    if (key === 'Enter' && sends) return () => form.requestSubmit();
    if (key === 'ArrowUp' && target.value === '' && !session.state.editing) return editLast;
  }
  if (key === 'Escape' && !document.querySelector('dialog[open], :popover-open')) {
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
composer.showDraft();
if (session.state.unopened) announce({ notice: 'The last conversation was not opened.' });
startTravelling({ show, tell });
drawSoon();
// The menu comes last, but before a click on it.
loadFormatting().then(loadMenu);

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

function loadNearTop() {
  if (drawnAll && !end.following && log.scrollTop < NEAR_TOP) session.loadEarlier();
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
  if (id === home && (id || shown(conversation).length === 0)) return composer.focus();
  pushEntry(id);
  show(id);
}

/** @param {string | null} id */
function show(id) {
  session.open(id);
  composer.showDraft();
  end.follow();
}

function loadMenu() {
  return import('./menu.js');
}

/** @param {string} id */
function remove(id) {
  removePast(id);
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
