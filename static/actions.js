// What a person does in the page, by a button or a key.

import { announce, notify, report } from './announce.js';
import { shown } from './chat/conversation.js';
import { removePast } from './chat/past.js';
import { session } from './chat/session.js';
import { copy, copyText } from './clipboard.js';
import * as composer from './composer.js';
import { end } from './log.js';
import * as sidebar from './sidebar.js';
import { linkToConversation, pushEntry } from './travel.js';
import { toggleFold } from './turn.js';

const CONTINUE = 'Continue where you left off.';
// Some browsers do not try again to load a module that they could not load.
const NO_MENU = 'This part of the page could not be loaded. Reload the page when you are online.';

/**
 * What the buttons do, by their `data-do`. `id` is the turn or the past conversation that the
 * button is in.
 * @type {Record<string, (id: string, button: HTMLButtonElement) => void>}
 */
export const ACTIONS = {
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
  cancel: cancelEdit,
  withdraw,
  fold: (_, button) => fold(button),
  retry: (id) => {
    session.retry(id);
    end.follow();
    composer.focus();
  },
  // A message like any other: it works with every model, and every browser shows it.
  continue: () => {
    session.send(CONTINUE);
    end.follow();
    composer.focus();
  },
  stop: () => {
    stop();
    composer.focus();
  },
  down: () => {
    end.follow();
    composer.focus();
  },
  save: () => withMenu((menu) => menu.saveAsMarkdown()),
  'copy-whole': () => withMenu(async (menu) => {
    const text = await menu.wholeConversation();
    if (text !== null) notify(await copyText(text));
  }),
  link: () => withMenu((menu) => menu.showLink(linkToConversation())),
  'copy-link': (_, button) => copy(button, linkToConversation()).then(report),
  copy: (id, button) => copy(button, session.turnOf(id)?.answer ?? '').then(report),
  'copy-code': (_, button) => {
    const code = button.closest('figure')?.querySelector('code');
    copy(button, code?.textContent ?? '').then(report);
  },
};

export function send() {
  const text = composer.text();
  const problem = composer.tooLong();
  if (!text.trim()) return;
  if (problem) return announce({ alarm: problem });
  session.send(text, session.state.editing);
  composer.clear();
  end.follow();
}

/**
 * Show a past conversation, or (null) a new one.
 * @param {string | null} id
 */
export function open(id) {
  const { conversation, home } = session.state;
  sidebar.closeDrawer();
  if (id === home && (id || shown(conversation).length === 0)) return composer.focus();
  pushEntry(id);
  show(id);
}

/**
 * Show it in the current entry of the browser's history.
 * @param {string | null} id
 */
export function show(id) {
  session.open(id);
  composer.restore();
  end.follow();
  composer.focus();
}

/** Load the menu before a click on it. Without the server, the click says so. */
export async function preloadMenu() {
  await import('./menu.js').catch(() => {});
}

export function editLast() {
  if (session.state.editing) return;
  const all = shown(session.state.conversation);
  const last = all.findLast(({ status }) => status !== 'waiting' && status !== 'queued');
  if (last) edit(last.id);
}

/** Cancel the edit, or else stop the reply. */
export function escape() {
  if (session.state.editing) cancelEdit();
  else stop();
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

function cancelEdit() {
  composer.cancelEdit();
  announce({ notice: 'Editing cancelled' });
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

/** @param {string} id  of a message that waits: its text goes back into the box */
function withdraw(id) {
  composer.prepend(session.withdraw(id) ?? '');
  announce({ notice: 'Message taken back' });
}

/** @param {(menu: typeof import('./menu.js')) => unknown} action */
async function withMenu(action) {
  const menu = await import('./menu.js').catch(() => null);
  if (menu) await action(menu);
  else notify({ alarm: NO_MENU });
}

function stop() {
  const unsent = session.stop();
  if (unsent) composer.prepend(unsent);
}

/** @param {HTMLButtonElement} button */
function fold(button) {
  const question = /** @type {HTMLElement} */ (button.closest('.question'));
  // Following the end would move what was just unfolded out of sight.
  end.leave();
  if (!toggleFold(question)) question.scrollIntoView({ block: 'nearest' });
}
