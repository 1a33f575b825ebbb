// What this browser stores: drafts, messages that wait, and the titles of past conversations,
// which no server has. A full or forbidden storage never breaks the chat. Accepted: then a reload
// starts without them.

import { shown } from './conversation.js';

/** @import { Conversation, Message } from './conversation.js' */
/**
 * A past conversation, last used `at` (ms).
 * @typedef {{ id: string, title: string, at: number }} Past
 */

// Chats below other paths of the same host share this browser's storage: without the path in its
// keys, one would list, send and delete the other's. At the root it is empty.
const PATH = new URL('../..', import.meta.url).pathname.slice(0, -1);
const TITLE = /^.{31,60}(?= |$)|^.{0,60}/u;
const MOST_FAILURES = 2;
const OF_A_CONVERSATION = ['draft', 'waiting', 'editing', 'edits'];

/**
 * Read a value, of the browser as a whole or of a conversation. The conversation null is the new
 * one in this tab. A value of another kind than `otherwise` was broken by somebody else.
 * @template T
 * @param {string} name
 * @param {T} otherwise
 * @param {string | null} [conversation]
 * @returns {T}
 */
export function read(name, otherwise, conversation) {
  try {
    const value = JSON.parse(area(conversation).getItem(key(name, conversation)) ?? 'null');
    return isLike(value, otherwise) ? value : otherwise;
  } catch {
    return otherwise;
  }
}

/** @type {(value: unknown, otherwise: unknown) => boolean} */
function isLike(value, otherwise) {
  if (value === null || otherwise === null) return value !== null;
  return typeof value === typeof otherwise && Array.isArray(value) === Array.isArray(otherwise);
}

/**
 * Write a value, or remove it: null, an empty text or an empty list.
 * @param {string} name
 * @param {unknown} value
 * @param {string | null} [conversation]
 */
export function write(name, value, conversation) {
  const isEmpty = value == null || value === '' || (Array.isArray(value) && value.length === 0);
  try {
    if (isEmpty) area(conversation).removeItem(key(name, conversation));
    else area(conversation).setItem(key(name, conversation), JSON.stringify(value));
  } catch {
    // Accepted: see the first lines.
  }
}

/** @param {string | null} [conversation] */
function area(conversation) {
  return conversation === null ? sessionStorage : localStorage;
}

/** @type {(name: string, conversation?: string | null) => string} */
function key(name, conversation) {
  if (conversation === undefined) return `pocket-chat${PATH}:${name}`;
  return `pocket-chat${PATH}:${name}:${conversation ?? 'tab'}`;
}

/**
 * The past conversations, newest first.
 * @type {() => Past[]}
 */
export const past = () => readItems('conversations', 'title');

/** @type {(id: string | null) => string | undefined} */
export const titleOf = (id) => past().find((item) => item.id === id)?.title;

/** @param {string} id */
const pastWithout = (id) => past().filter((item) => item.id !== id);

/**
 * Open this conversation after a reload of this tab, and in the next tab.
 * @param {string | null} id
 */
export function writeOpen(id) {
  write('open', id, null);
  write('open', id);
}

/** @type {() => string | null} */
export const readOpen = () => read('open', read('open', ''), null) || null;

/**
 * Count that a conversation is being opened, until it has been drawn: a reply that crashes the tab
 * would crash each later one.
 * @param {string | null} id
 */
export function beginOpening(id) {
  if (id) write('opening', { id, times: timesOpened(id) + 1 });
}

/** @param {string | null} id */
export function endOpening(id) {
  if (id && timesOpened(id) > 0) write('opening', null);
}

/** @param {string | null} id */
export const failsToOpen = (id) => id !== null && timesOpened(id) >= MOST_FAILURES;

/** @param {string} id */
function timesOpened(id) {
  const opening = read('opening', { id: '', times: 0 });
  return opening.id === id ? Number(opening.times) || 0 : 0;
}

/**
 * Store what waits, if that changed. Returns the home: the server's id once something waits.
 * @param {{ conversation: Conversation, home: string | null }} before
 * @param {Conversation} conversation
 */
export function storeWaiting({ conversation: before, home: oldHome }, conversation) {
  const { id, waiting } = conversation;
  if (waiting === before.waiting && id === before.id) return oldHome;
  const home = oldHome ?? (waiting.length > 0 ? id : null);
  if (home !== null && oldHome === null) {
    moveFromTab(home);
    writeOpen(home);
  }
  writeWaiting(home, before.waiting, waiting);
  const [first] = shown(conversation);
  if (home !== null && waiting.length > 0) moveToTop(home, first.question);
  return home;
}

/**
 * Write the messages that wait. Other tabs may have some in the same conversation: change only
 * those of this one.
 * @param {string | null} conversation
 * @param {Message[]} before
 * @param {Message[]} waiting
 */
function writeWaiting(conversation, before, waiting) {
  const ours = new Set([...before, ...waiting].map((message) => message.id));
  const others = readWaiting(conversation).filter((message) => !ours.has(message.id));
  write('waiting', [...others, ...waiting], conversation);
}

/** @type {(conversation: string | null) => Message[]} */
export const readWaiting = (conversation) => readItems('waiting', 'content', conversation);

/**
 * Those items of a list that have an id and a text.
 * @type {(name: string, text: string, conversation?: string | null) => any[]}
 */
function readItems(name, text, conversation) {
  const items = read(name, /** @type {any[]} */ ([]), conversation);
  return items.filter((item) => typeof item?.id === 'string' && typeof item[text] === 'string');
}

/**
 * The conversations that were removed here and that the server has yet to delete.
 * @type {() => string[]}
 */
export const readRemoved = () => read('removed', []).filter((id) => typeof id === 'string');

/** @param {string} id  of a conversation that the server has deleted */
export function clearRemoved(id) {
  write('removed', readRemoved().filter((other) => other !== id));
}

/**
 * Move a conversation to the top. Its first question is its title until a person renames it.
 * @param {string} id
 * @param {string} question
 */
function moveToTop(id, question) {
  const title = titleOf(id) ?? shorten(question);
  write('conversations', [{ id, title, at: Date.now() }, ...pastWithout(id)]);
}

/**
 * @param {string} id
 * @param {string} title
 */
export function rename(id, title) {
  write('conversations', past().map((item) => (item.id === id ? { ...item, title } : item)));
}

/**
 * Remove all that is stored of a conversation. Its id goes to the list of those that the server
 * has yet to delete.
 * @param {string} id
 */
export function remove(id) {
  write('conversations', pastWithout(id));
  write('removed', [...readRemoved(), id]);
  for (const name of OF_A_CONVERSATION) write(name, null, id);
}

/**
 * Move what is stored of the new conversation in this tab to the id from the server.
 * @param {string} id
 */
function moveFromTab(id) {
  for (const name of OF_A_CONVERSATION) {
    write(name, read(name, null, null), id);
    write(name, null, null);
  }
}

/**
 * The first words of a question, on one line.
 * @param {string} question
 */
export function shorten(question) {
  const line = question.trim().replace(/\s+/g, ' ');
  const [start] = TITLE.exec(line) ?? [''];
  return start === line ? line : `${start}…`;
}
