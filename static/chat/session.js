// The conversation that is open in this tab: its state, and what a person can do in it. A message
// is stored in this browser until the server shows its turn, and is sent again after each
// reconnect until then.

import { connect, deleteConversation } from './connection.js';
import { apply, current, enqueue, fresh, shown, withdraw } from './conversation.js';
import { anchor } from './history.js';
import { randomId } from './ids.js';
import { clearRemoved, readRemoved } from './past.js';
import { Stops } from './stops.js';
import { failsToOpen, readOpen, writeOpen } from './storage.js';
import { readWaiting, storeWaiting } from './waiting.js';

/** @import { Network } from './connection.js' */
/** @import { Conversation, Frame, Message } from './conversation.js' */

/**
 * @typedef {object} State
 * @property {Conversation} conversation
 * @property {string | null} home  the id to store it by; null until something is sent in it
 * @property {Network} network
 * @property {string | null} editing  the turn whose question is in the message box
 * @property {string | null} unopened  the conversation that failed too often to be opened by itself
 */

const FRAME_TOO_BIG = 1009;
const TOO_BIG = { content: 'This message is too large to send.', code: 'too_large', retry: false };

export class Session {
  /**
   * Replaced by each change, never modified.
   * @type {State}
   */
  state = Object.freeze({
    conversation: fresh(),
    home: null,
    network: 'connecting',
    editing: null,
    unopened: null,
  });

  #url = '';
  /** @type {Set<(state: State, before: State) => void>} */
  #listeners = new Set();
  /** @type {ReturnType<typeof connect> | undefined} */
  #connection;
  // Whether this socket has received the history. Nothing is sent before: it may be in there.
  #joined = false;
  // The turn before which this socket was asked for more.
  #askedBefore = '';
  #stops = new Stops();

  /**
   * @param {(state: State, before: State) => void} listener  called after each change
   * @returns a function that ends it
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * @param {string} url  of the server's WebSocket
   * @param {() => void} failed  called after each attempt to connect that failed
   * @param {string | null} [id]  of the conversation to open
   */
  start(url, failed, id = readOpen()) {
    this.#url = url;
    const unopened = failsToOpen(id) ? id : null;
    this.#load(unopened ? null : id, unopened);
    this.#connection = connect(url, {
      hello: () => this.#hello(),
      isReading: () => current(this.state.conversation) !== undefined,
      received: (frame) => this.#received(frame),
      closed: (code) => this.#closed(code),
      failed,
      changed: (network) => this.#update({ network }),
    });
    this.deleteRemoved();
  }

  /** @param {string | null} id  of the conversation to open, or null for a new one */
  open(id) {
    this.#stops.clear();
    this.#load(id);
    this.reconnect();
  }

  /** Replace the socket: the old one belongs to another network, or to another conversation. */
  reconnect() {
    this.#connection?.open();
  }

  /** Reconnect if the socket is dead. */
  wake() {
    this.#connection?.wake();
  }

  /** Close the socket until the next wake(). */
  disconnect() {
    this.#connection?.close();
  }

  /** Ask for the page of turns before those that are here, once. */
  loadEarlier() {
    const { turns, earlier } = this.state.conversation;
    const [first] = turns;
    if (!this.#joined || !earlier || !first || first.id === this.#askedBefore) return;
    this.#askedBefore = first.id;
    this.#connection?.send({ type: 'earlier', before: first.id });
  }

  /** @param {string | null} id  of a turn that the server has */
  turnOf(id) {
    return this.state.conversation.turns.find((turn) => turn.id === id);
  }

  /** @param {string | null} id  of the turn to edit, or null for none */
  edit(id) {
    this.#update({ editing: id });
  }

  /**
   * Send a message; if `replaces` is a turn, then in place of it and of all after it.
   * @param {string} content
   * @param {string | null} [replaces]
   */
  send(content, replaces = null) {
    this.#enqueue({ id: randomId(), content, replaces: replaces ?? undefined });
  }

  /**
   * Ask for another reply to this turn. A message that was refused is sent again.
   * @param {string} id
   */
  retry(id) {
    const refused = this.state.conversation.waiting.find((message) => message.id === id);
    const turn = this.turnOf(id);
    if (refused) this.#enqueue({ ...refused, error: undefined });
    else if (turn) this.send(turn.question, id);
  }

  /** Stop the current reply. A message that was not sent yet is withdrawn: returns its text. */
  stop() {
    const turn = current(this.state.conversation);
    if (turn?.status === 'waiting' && !this.#joined) return this.withdraw(turn.id);
    if (turn) this.#stops.add(turn.id);
    this.#sendPending();
  }

  /**
   * Take back a message that has no reply yet; returns its text. The server may have it already.
   * @param {string} id
   */
  withdraw(id) {
    const { conversation } = this.state;
    const message = shown(conversation).find((turn) => turn.id === id);
    this.#stops.add(id);
    this.#change(withdraw(conversation, id));
    this.#sendPending();
    return message?.question;
  }

  /** Have the server delete what was removed here. What fails is retried at the next start. */
  deleteRemoved() {
    for (const id of readRemoved()) {
      deleteConversation(this.#url, id, () => clearRemoved(id));
    }
  }

  /** The first frame of each socket, also when none was lost: another conversation was opened. */
  #hello() {
    this.#joined = false;
    this.#askedBefore = '';
    const { conversation: open } = this.state;
    return { type: 'resume', conversation: open.id, after: anchor(open) };
  }

  /** @param {Frame} frame */
  #received(frame) {
    const joins = frame.type === 'history' && !this.#joined;
    this.#joined ||= joins;
    this.#change(apply(this.state.conversation, frame, Date.now()));
    if (frame.type === 'history') this.#stops.forgetUnknown(this.state.conversation);
    if (joins) this.#sendPending();
  }

  /** @param {number} [code] */
  #closed(code) {
    this.#joined = false;
    if (code !== FRAME_TOO_BIG) return;
    for (const { id } of this.state.conversation.waiting) {
      this.#change(apply(this.state.conversation, { type: 'error', turn: id, ...TOO_BIG }));
    }
  }

  /** @param {Message} message */
  #enqueue(message) {
    this.#change(enqueue(this.state.conversation, message));
    this.#sendPending();
  }

  /** Send all that is unanswered. The server handles an id once, so repeats are safe. */
  #sendPending() {
    if (!this.#joined) return;
    for (const { id, content, replaces, error } of this.state.conversation.waiting) {
      if (!error) this.#connection?.send({ type: 'message', id, content, replaces });
    }
    for (const turn of this.#stops.all) this.#connection?.send({ type: 'stop', turn });
  }

  /** @type {(id: string | null, unopened?: string | null) => void} */
  #load(id, unopened = null) {
    writeOpen(id);
    const conversation = fresh(id, readWaiting(id));
    this.#update({ conversation, home: id, editing: null, unopened });
  }

  /** @param {Conversation} conversation */
  #change(conversation) {
    const home = storeWaiting(this.state, conversation);
    this.#stops.forgetEnded(conversation);
    this.#update({ conversation, home });
  }

  /** @param {Partial<State>} changes */
  #update(changes) {
    const before = this.state;
    this.state = Object.freeze({ ...before, ...changes });
    for (const listener of this.#listeners) listener(this.state, before);
  }
}

/** The session of this tab. */
export const session = new Session();
