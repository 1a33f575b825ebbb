// What a screen reader should announce about a step from one state to the next. Pure.

import { shown } from './conversation.js';

/** @import { Network } from './connection.js' */
/** @import { Conversation, Turn } from './conversation.js' */
/** @import { State } from './session.js' */

/**
 * A notice is announced when the screen reader is idle, an alarm at once.
 * @typedef {{ notice?: string, alarm?: string }} News
 */

/** @type {Partial<Record<Network, News>>} */
const OF_NETWORKS = {
  open: { notice: 'Back online' },
  reconnecting: { notice: 'Reconnecting' },
  offline: { notice: 'Offline' },
  busy: { notice: 'The server is busy' },
  refused: { alarm: 'The server refused the connection.' },
};

/** @type {Partial<Record<Turn['status'], string>>} */
const OF_TURNS = {
  done: 'Reply complete',
  length: 'The reply reached its length limit',
  filtered: 'The reply was cut off by a content filter',
  stopped: 'Stopped',
  interrupted: 'The reply was interrupted',
};

/** @type {(state: State, before: State) => News} */
export function news(state, before) {
  if (state.network === before.network) return newsOfTurns(state.conversation, before.conversation);
  const isFirst = before.network === 'connecting' && state.network === 'open';
  return isFirst ? {} : (OF_NETWORKS[state.network] ?? {});
}

/** @type {(conversation: Conversation, before: Conversation) => News} */
function newsOfTurns(conversation, before) {
  if (before.id && before.id !== conversation.id) return {};
  const statuses = new Map(shown(before).map(({ id, status }) => [id, status]));
  /** @type {News} */
  const found = {};
  for (const { id, status, error } of shown(conversation)) {
    const known = statuses.has(id);
    if (status === statuses.get(id)) continue;
    if (status === 'open' && before.loaded) found.notice = 'Assistant is replying';
    else if (known && error) found.alarm = error.content;
    else if (known && OF_TURNS[status]) found.notice = OF_TURNS[status];
  }
  if (conversation.trouble !== before.trouble) found.alarm = conversation.trouble;
  return found;
}
