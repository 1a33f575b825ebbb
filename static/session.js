// The page's side of the conversation that is open: what is said is kept in this browser until the server shows it, and
// is sent again after each reconnect until then.

import { connect, forget } from './connection.js';
import { apply, current, fresh, isOpen, news, send, shown, withdraw } from './conversation.js';
import * as kept from './kept.js';

const SERVER = `${location.origin.replace(/^http/, 'ws')}/ws`;
const TOO_LARGE = { type: 'error', code: 'too_large', content: 'This message is too large to be sent.', retry: false };
const TOLD = {
  reconnecting: { say: 'Reconnecting' }, offline: { say: 'Offline' }, busy: { say: 'The server is busy' },
  open: { say: 'Connected again' }, refused: { alarm: 'The server refused the connection.' },
};

export let conversation;
export let home; // The name under which this browser keeps it; null until something is said in it.
export let network = 'connecting';
let page, connection;
let joined = false; // Whether this socket has told the history. Nothing is sent before: it may be there already.
const stopping = new Set(); // Turns to stop, also if the connection has to come back first.

/** `changed()` hears of every step, `heard({ say, alarm })` what a person should be told. */
export function start(listeners) {
  page = listeners;
  take(kept.read('open', kept.read('open', null), null));
  connection = connect(SERVER, { hello, received, closed, changed });
  forgetRemoved();
}

function hello() {
  joined = false; // Also when nothing was lost: another conversation was opened, or the network is another.
  return { type: 'resume', conversation: conversation.id };
}

function received(frame) {
  become(apply(conversation, frame));
  if (frame.type !== 'history' || joined) return;
  joined = true;
  transmit();
}

function closed(code) {
  joined = false;
  if (code !== 1009) return;
  for (const { id } of conversation.waiting) become(apply(conversation, { ...TOO_LARGE, turn: id }));
}

function changed(state) {
  if (network !== 'connecting' || state !== 'open') page.heard(TOLD[state] ?? {});
  network = state;
  page.changed();
}

/** Show another conversation, or (null) a new one. */
export function open(id) {
  stopping.clear();
  take(id);
  connection.reopen();
}

/** The turn that the server has under this id. */
export const turnOf = (id) => conversation.turns.find((turn) => turn.id === id);

/** Say something; in place of a turn and all after it, if that is still there. */
export function say(content, replaces) {
  // Not randomUUID(): that needs https, which a chat at home may not have.
  const id = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join('-');
  post({ id, content, replaces: turnOf(replaces)?.id });
}

/** Ask for the reply to this message once more, or for the first time if it was refused. */
export function retry(id) {
  const refused = conversation.waiting.find((message) => message.id === id);
  if (refused) post({ ...refused, error: undefined });
  else say(turnOf(id).question, id);
}

function post(message) {
  become(send(conversation, message));
  transmit();
}

/** Stop the reply that is written or waited for. A message that never left comes back: its text is returned. */
export function stop() {
  const turn = current(conversation);
  if (turn?.status === 'waiting' && !joined) return takeBack(turn.id);
  if (turn) stopping.add(turn.id);
  transmit();
}

export function takeBack(id) {
  const { content } = conversation.waiting.find((message) => message.id === id);
  become(withdraw(conversation, id));
  return content;
}

/** Have the server forget what was removed in this browser; what it does not hear, it hears at the next start. */
export function forgetRemoved() {
  for (const id of kept.read('removed', [])) {
    forget(SERVER, id, () => kept.write('removed', kept.read('removed', []).filter((other) => other !== id)));
  }
}

/** Send all that the server has not answered. It may have come before: said twice is done once. */
function transmit() {
  if (!joined) return;
  for (const { id, content, replaces, error } of conversation.waiting) {
    if (!error) connection.send({ type: 'message', id, content, replaces });
  }
  for (const turn of stopping) connection.send({ type: 'stop', turn });
}

function take(id) {
  conversation = fresh(id, kept.read('waiting', [], id));
  settle(id);
}

function settle(id) {
  home = id;
  kept.write('open', id, null); // for a reload of this tab,
  kept.write('open', id); // and for the next one
}

function become(next) {
  page.heard(news(conversation, next));
  if (next.waiting !== conversation.waiting || next.id !== conversation.id) keep(conversation, next);
  conversation = next;
  for (const id of stopping) if (!shown(next).some((turn) => turn.id === id && isOpen(turn))) stopping.delete(id);
  page.changed();
}

function keep(before, { id, waiting, turns }) {
  if (!home && id && waiting.length) {
    kept.settle(id);
    settle(id);
  }
  // Other tabs may have messages waiting in the same conversation: only our own are changed.
  const ours = new Set([...before.waiting, ...waiting].map((message) => message.id));
  const others = kept.read('waiting', [], home).filter((message) => !ours.has(message.id));
  kept.write('waiting', [...others, ...waiting], home);
  if (home && waiting.length) kept.touch(home, shown({ turns, waiting })[0].question);
}
