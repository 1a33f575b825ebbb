// The turns that a person has stopped or taken back. A stop is sent again after a reconnect, until
// the server shows that it is done.

import { isOpen, shown } from './conversation.js';

/** @import { Conversation } from './conversation.js' */

export class Stops {
  /** @type {Set<string>} */
  all = new Set();

  /** @param {string} turn */
  add(turn) {
    this.all.add(turn);
  }

  clear() {
    this.all.clear();
  }

  /** @param {Conversation} conversation */
  forgetEnded(conversation) {
    for (const turn of shown(conversation)) if (!isOpen(turn)) this.all.delete(turn.id);
  }

  /** @param {Conversation} conversation  as the server has just shown it, as a whole */
  forgetUnknown(conversation) {
    const known = new Set(shown(conversation).map(({ id }) => id));
    for (const turn of this.all) if (!known.has(turn)) this.all.delete(turn);
  }
}
