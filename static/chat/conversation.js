// A conversation as this page has it, and what each frame from the server changes in it.
// Pure: no document, no socket, no clock. Every function returns a new conversation.

import { addEarlier, addHistory } from './history.js';
import { thinkingTime } from './thinking.js';

/**
 * What an `error` frame says: a sentence for people, a code for programs.
 * @typedef {{ content: string, code: string, retry: boolean }} Problem
 */

/** @typedef {'done' | 'length' | 'filtered' | 'stopped' | 'interrupted' | 'error'} Ending */
/** @typedef {'open' | Ending} Status */

/**
 * A question and its reply.
 * @typedef {object} Turn
 * @property {string} id
 * @property {string} question
 * @property {string} answer
 * @property {string} reasoning
 * @property {Status | 'waiting' | 'queued' | 'refused'} status
 *   waiting: not started by the server yet; queued: an earlier turn has to end first
 * @property {Problem} [error]
 * @property {number} [thinkingSince]  when this page received the first of its reasoning
 * @property {number} [thoughtFor]  ms from there to the answer
 */

/**
 * A message that was sent in this browser and is not among the server's turns yet. One with an
 * error was refused: it is not sent again until a person asks for that.
 * @typedef {object} Message
 * @property {string} id
 * @property {string} content
 * @property {string} [replaces]  the turn to drop, with all after it
 * @property {Problem} [error]
 */

/**
 * @typedef {object} Conversation
 * @property {string | null} id  null until the server has assigned one
 * @property {Turn[]} turns  what the server has
 * @property {Message[]} waiting
 * @property {boolean} loaded  whether the server has sent the history
 * @property {boolean} earlier  whether the server has turns before these
 * @property {number} limit  characters in a message
 * @property {string} trouble  the last error that was about no turn
 * @property {string} [model]
 * @property {boolean} [demo]
 * @property {boolean} [loading]  whether the model is still loading
 */

/** @typedef {{ model: string, demo: boolean, loading?: boolean }} Model */

/**
 * A page of turns; with `after` it goes behind that turn, without it, it replaces everything.
 * @typedef {{ type: 'history', turns: TurnInHistory[], after?: string, earlier?: boolean }} History
 */

/**
 * The page before a turn.
 * @typedef {{ type: 'earlier', turns: TurnInHistory[], before: string, earlier: boolean }} Earlier
 */

/** @typedef {Pick<Turn, 'id' | 'question' | 'status'> & Partial<Turn>} TurnInHistory */

/** @typedef {{ type: 'chunk', turn: string, content: string, kind?: string }} Chunk */

/**
 * What the server sends: see docs/protocol.md.
 * @typedef {(
 *   | { type: 'conversation', id: string, limit: number } & Model
 *   | History
 *   | Earlier
 *   | { type: 'start', turn: string, question: string }
 *   | Chunk
 *   | { type: 'error', turn?: string } & Problem
 *   | { type: 'end', turn: string, status: Ending }
 *   | { type: 'ping' }
 * )} Frame
 */

/** @type {(id?: string | null, waiting?: Message[]) => Conversation} */
export function fresh(id = null, waiting = []) {
  return { id, waiting, turns: [], loaded: !id, earlier: false, limit: Infinity, trouble: '' };
}

/** @type {(conversation: Conversation, frame: Frame, now?: number) => Conversation} */
export function apply(conversation, frame, now = 0) {
  switch (frame.type) {
    case 'conversation': {
      const { id, model, demo, loading } = frame;
      const limit = Number(frame.limit) || Infinity;
      return { ...conversation, id, model, demo, limit, loading };
    }
    case 'history':
      return dropArrived(addHistory(conversation, frame));
    case 'earlier':
      return addEarlier(conversation, frame);
    case 'start':
      return dropArrived(start(conversation, frame.turn, frame.question));
    case 'chunk':
      return append(conversation, frame, now);
    case 'error':
      return fail(conversation, frame);
    case 'end':
      return end(conversation, frame.turn, frame.status, now);
    default:
      return conversation;
  }
}

/** @type {(conversation: Conversation, id: string, question: string) => Conversation} */
function start(conversation, id, question) {
  /** @type {Turn} */
  const turn = { id, question: String(question), answer: '', reasoning: '', status: 'open' };
  const { turns } = conversation;
  return { ...conversation, turns: find(turns, id) ? change(turns, id, turn) : [...turns, turn] };
}

/** @typedef {'answer' | 'reasoning'} Part */

/** @type {(conversation: Conversation, chunk: Chunk, now: number) => Conversation} */
function append(conversation, { turn: id, content, kind }, now) {
  const { turns } = conversation;
  const turn = find(turns, id);
  const part = kind === 'reasoning' ? 'reasoning' : 'answer';
  const before = turn?.[part] ?? '';
  const time = before === '' ? thinkingTime(turn, part, now) : {};
  return { ...conversation, turns: change(turns, id, { ...time, [part]: before + content }) };
}

/** @type {(conversation: Conversation, problem: { turn?: string } & Problem) => Conversation} */
function fail(conversation, { turn: id, content, code, retry }) {
  const { turns, waiting } = conversation;
  const error = { content, code, retry };
  if (!id || !(find(turns, id) || find(waiting, id))) return { ...conversation, trouble: content };
  const changes = { error };
  return {
    ...conversation,
    turns: change(turns, id, changes),
    waiting: change(waiting, id, changes),
  };
}

/** @type {(conversation: Conversation, id: string, status: Ending, now: number) => Conversation} */
function end(conversation, id, status, now) {
  const { turns } = conversation;
  const time = thinkingTime(find(turns, id), 'end', now);
  return { ...conversation, turns: change(turns, id, { ...time, status }) };
}

/**
 * Put a message at the end of those that wait, also one that was refused before.
 * @type {(conversation: Conversation, message: Message) => Conversation}
 */
export function enqueue(conversation, message) {
  const { waiting } = withdraw(conversation, message.id);
  return { ...conversation, trouble: '', waiting: [...waiting, message] };
}

/**
 * Drop a message that has no reply yet.
 * @type {(conversation: Conversation, id: string) => Conversation}
 */
export function withdraw(conversation, id) {
  const waiting = conversation.waiting.filter((message) => message.id !== id);
  const turns = conversation.turns.filter((turn) => turn.id !== id);
  return { ...conversation, waiting, turns };
}

/**
 * Everything to show, in order: the server's turns, without those being replaced, then what waits.
 * @type {(conversation: Pick<Conversation, 'turns' | 'waiting'>) => Turn[]}
 */
export function shown({ turns, waiting }) {
  const all = [...turns];
  for (const { id, content: question, replaces, error } of waiting) {
    const index = error ? -1 : all.findIndex((turn) => turn.id === replaces);
    if (index >= 0) all.splice(index);
    const status = error ? 'refused' : 'waiting';
    all.push({ id, question, answer: '', reasoning: '', status, error });
  }
  const first = all.findIndex(isOpen);
  return all.map((turn, at) => (isOpen(turn) && at > first ? { ...turn, status: 'queued' } : turn));
}

/**
 * Whether more of this turn is to come.
 * @type {(turn: Turn) => boolean}
 */
export const isOpen = ({ status }) => ['open', 'waiting', 'queued'].includes(status);

/**
 * The turn that a stop would stop: the first that waits or is being written.
 * @type {(conversation: Conversation) => Turn | undefined}
 */
export const current = (conversation) => shown(conversation).find(isOpen);

/** @type {<T extends { id: string }>(items: T[], id: string) => T | undefined} */
const find = (items, id) => items.find((item) => item.id === id);

/** @type {<T extends { id: string }>(items: T[], id: string, changes: Partial<T>) => T[]} */
const change = (items, id, changes) =>
  items.map((item) => (item.id === id ? { ...item, ...changes } : item));

/**
 * A waiting message that is among the turns has arrived, even if no `start` for it was received.
 * @type {(conversation: Conversation) => Conversation}
 */
function dropArrived(conversation) {
  const arrived = new Set(conversation.turns.map(({ id }) => id));
  const waiting = conversation.waiting.filter(({ id }) => !arrived.has(id));
  return waiting.length < conversation.waiting.length ? { ...conversation, waiting } : conversation;
}
