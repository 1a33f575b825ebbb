// The past conversations: their titles, which no server has. Their list is stored in this browser.

import { read, readItems, readText, write } from './storage.js';

/**
 * A past conversation, last used `at` (ms).
 * @typedef {{ id: string, title: string, at: number }} Past
 */

const TITLE = /^.{31,60}(?= |$)|^.{0,60}/u;
// What else is stored of a conversation.
const OF_A_CONVERSATION = ['draft', 'waiting', 'editing', 'edits'];

/** @type {{ text: string | null, items: Past[] }} */
let known = { text: null, items: [] };

/** The past conversations, newest first: the same array until the list is written again. */
export function past() {
  const text = readText('conversations');
  // Each frame asks for them, and a thousand of them take a millisecond to parse.
  if (text !== known.text) known = { text, items: readItems('conversations', 'title') };
  return known.items;
}

/** @type {(id: string | null) => string | undefined} */
export const titleOf = (id) => past().find((item) => item.id === id)?.title;

/** @param {string} id */
const pastWithout = (id) => past().filter((item) => item.id !== id);

/**
 * Move a conversation to the top. Its first question is its title until a person renames it.
 * @param {string} id
 * @param {string} question
 */
export function moveToTop(id, question) {
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
export function removePast(id) {
  write('conversations', pastWithout(id));
  write('removed', [...readRemoved(), id]);
  for (const name of OF_A_CONVERSATION) write(name, null, id);
}

/**
 * Move what is stored of the new conversation in this tab to the id from the server.
 * @param {string} id
 */
export function moveFromTab(id) {
  for (const name of OF_A_CONVERSATION) {
    write(name, read(name, null, null), id);
    write(name, null, null);
  }
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
 * The first words of a question, on one line.
 * @param {string} question
 */
export function shorten(question) {
  const line = question.trim().replace(/\s+/g, ' ');
  const [start] = TITLE.exec(line) ?? [''];
  return start === line ? line : `${start}…`;
}
