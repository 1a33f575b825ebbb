// The messages that wait, as this browser stores them: they survive a reload.

import { shown } from './conversation.js';
import { moveFromTab, moveToTop } from './past.js';
import { readItems, write, writeOpen } from './storage.js';

/** @import { Conversation, Message } from './conversation.js' */

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

