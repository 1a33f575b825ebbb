// Back and forward between conversations, and links to them. The id of a conversation is the key
// to it, so it stays out of the address: an entry of the browser's history has it in its state. A
// link has it in its fragment, which no server sees, and first.js takes it out at once.

import { isId } from './chat/ids.js';
import { moveToTop, rename, shorten, titleOf } from './chat/past.js';
import { session } from './chat/session.js';

/** @import { News } from './chat/news.js' */

/**
 * What the page does for this module: `show` a conversation (null: a new one), and `notify` people.
 * @typedef {{ show: (id: string | null) => void, notify: (news: News) => void }} Page
 */

/**
 * The state of an entry; `at` counts the entries of this tab.
 * @typedef {{ conversation: string | null, at: number }} Entry
 */

const BROKEN = 'This link to a conversation is broken.';
const EMPTY = 'There is no conversation behind this link. It may have been deleted.';

let at = Number(history.state?.at) || 0;
let newest = at;
// The conversation that a link led to, until all of its pages are here.
/** @type {string | null} */
let linked = null;

/** @param {Page} page */
export function startTravelling(page) {
  addEventListener('popstate', ({ state }) => {
    if (typeof state?.at === 'number') goTo(state, page);
  });
  addEventListener('hashchange', () => enterByFragment(page));
  session.subscribe(({ home }, before) => {
    if (home !== before.home) record();
    list(page);
  });
  const arrived = history.state?.linked;
  record();
  if (isId(arrived)) linked = titleOf(arrived) ? null : arrived;
  else if (arrived !== undefined) page.notify({ alarm: BROKEN });
  list(page);
}

/**
 * Make an entry for the conversation that will be shown now.
 * @param {string | null} id
 */
export function pushEntry(id) {
  at += 1;
  newest = at;
  history.pushState({ conversation: id, at }, '');
}

/** A link that opens the conversation in another browser. */
export function linkToConversation() {
  return `${location.origin}${location.pathname}#conversation=${session.state.home}`;
}

/** Note in the current entry what is open. */
function record() {
  const isLink = location.hash.startsWith('#conversation=');
  const address = isLink ? location.pathname + location.search : location.href;
  history.replaceState({ conversation: session.state.home, at }, '', address);
}

/**
 * The entry of a conversation that was deleted, or that shows already, is skipped if there are
 * others behind it.
 * @type {(entry: Entry, page: Page) => void}
 */
function goTo({ conversation, at: next }, page) {
  const step = Math.sign(next - at);
  at = next;
  newest = Math.max(newest, at);
  const isEnd = step < 0 ? at === 0 : at === newest;
  const isGone = conversation !== null && !titleOf(conversation);
  const isSame = conversation === session.state.home;
  if ((isGone || isSame) && !isEnd) history.go(step);
  else if (!isSame) page.show(isGone ? null : conversation);
}

/**
 * A fragment in the address made a new entry: that of a link, or of a place in this page.
 * @param {Page} page
 */
function enterByFragment(page) {
  if (history.state) return;
  const [, id] = location.hash.split('#conversation=');
  at += 1;
  newest = at;
  record();
  if (id === undefined) return;
  if (!isId(id)) return page.notify({ alarm: BROKEN });
  linked = titleOf(id) ? null : id;
  if (id !== session.state.home) page.show(id);
}

/**
 * Put the conversation of a link into the list. Its first question, which comes with the last of
 * its pages, is its title.
 * @param {Page} page
 */
function list({ show, notify }) {
  const { conversation, home } = session.state;
  if (linked === null || (home === linked && !conversation.loaded)) return;
  const [first] = home === linked ? conversation.turns : [];
  if (home === linked && first) {
    moveToTop(home, first.question);
    rename(home, shorten(first.question));
  } else if (home === linked && !titleOf(home)) {
    // Not in the middle of a change.
    queueMicrotask(() => show(null));
    notify({ alarm: EMPTY });
  }
  if (home === linked && conversation.earlier) session.loadEarlier();
  else linked = null;
}
