// What this browser stores, by name: settings, drafts, and which conversation is open. A full or
// forbidden storage never breaks the chat. Accepted: then a reload starts without them.

// Chats below other paths of the same host share this browser's storage: without the path in its
// keys, one would list, send and delete the other's. At the root it is empty. first.js does the same.
const PATH = new URL('../..', import.meta.url).pathname.slice(0, -1);
const MOST_FAILURES = 2;

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
    const value = JSON.parse(readText(name, conversation) ?? 'null');
    return isLike(value, otherwise) ? value : otherwise;
  } catch {
    return otherwise;
  }
}

/**
 * A value as it is stored.
 * @type {(name: string, conversation?: string | null) => string | null}
 */
export function readText(name, conversation) {
  try {
    return area(conversation).getItem(key(name, conversation));
  } catch {
    return null;
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
 * Those items of a list that have an id and a text.
 * @type {(name: string, text: string, conversation?: string | null) => any[]}
 */
export function readItems(name, text, conversation) {
  const items = read(name, /** @type {any[]} */ ([]), conversation);
  return items.filter((item) => typeof item?.id === 'string' && typeof item[text] === 'string');
}
