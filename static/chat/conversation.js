// A conversation as this page has it, and what each frame from the server changes in it.
// Pure: no document, no socket, no clock. Every function returns a new conversation.

import { addEarlier, addHistory } from './history.js';

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
 * @property {Status | 'waiting' | 'refused'} status
 * @property {Problem} [error]
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

/**
 * What the server sends: see docs/protocol.md.
 * @typedef {(
 *   | { type: 'conversation', id: string, limit: number } & Model
 *   | History
 *   | Earlier
 *   | { type: 'start', turn: string, question: string }
 *   | { type: 'chunk', turn: string, content: string, kind?: string }
 *   | { type: 'error', turn?: string } & Problem
 *   | { type: 'end', turn: string, status: Ending }
 *   | { type: 'ping' }
 * )} Frame
 */

/** @type {(id?: string | null, waiting?: Message[]) => Conversation} */
export function fresh(id = null, waiting = []) {
  return { id, waiting, turns: [], loaded: !id, earlier: false, limit: Infinity, trouble: '' };
}

/** @type {(conversation: Conversation, frame: Frame) => Conversation} */
export function apply(conversation, frame) {
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
    case 'chunk': {
      const part = frame.kind === 'reasoning' ? 'reasoning' : 'answer';
      return append(conversation, frame.turn, part, frame.content);
    }
    case 'error':
      return fail(conversation, frame);
    case 'end':
      return end(conversation, frame.turn, frame.status);
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

/** @type {(conversation: Conversation, id: string, part: Part, text: string) => Conversation} */
function append(conversation, id, part, text) {
  const { turns } = conversation;
  const grown = (find(turns, id)?.[part] ?? '') + text;
  return { ...conversation, turns: change(turns, id, { [part]: grown }) };
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

/** @type {(conversation: Conversation, id: string, status: Ending) => Conversation} */
function end(conversation, id, status) {
  return { ...conversation, turns: change(conversation.turns, id, { status }) };
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
 * Drop a message that waits.
 * @type {(conversation: Conversation, id: string) => Conversation}
 */
export function withdraw(conversation, id) {
  return { ...conversation, waiting: conversation.waiting.filter((message) => message.id !== id) };
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
  return all;
}

/**
 * Whether more of this turn is to come.
 * @type {(turn: Turn) => boolean}
 */
export const isOpen = ({ status }) => status === 'open' || status === 'waiting';

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
