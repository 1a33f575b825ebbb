// How a connection comes back, with the clock and the network in the test's hand.

import assert from 'node:assert/strict';
import test, { beforeEach, mock } from 'node:test';

import { connect } from '../../static/chat/connection.js';

const states = [];
const frames = [];
let sockets = [];
let failures = 0;
let isReading = false;
let connection;

class FakeSocket {
  static OPEN = 1;
  readyState = 0;
  sent = [];

  constructor() {
    sockets.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  accepts() {
    this.readyState = 1;
    this.onopen();
    this.receives({ type: 'conversation' });
  }

  receives(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  closes(code) {
    this.readyState = 3;
    this.onclose({ code });
  }
}

globalThis.WebSocket = FakeSocket;
mock.method(Math, 'random', () => 1 - Number.EPSILON);
const wait = (ms) => mock.timers.tick(ms);
const last = () => sockets.at(-1);

/** How many sockets an action opens. */
function opened(action) {
  const count = sockets.length;
  action();
  return sockets.length - count;
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  sockets = [];
  states.length = 0;
  frames.length = 0;
  failures = 0;
  isReading = false;
  connection = connect('ws://chat/ws', {
    hello: () => ({ type: 'resume' }),
    isReading: () => isReading,
    received: (frame) => frames.push(frame.type),
    changed: (state) => states.push(state),
    closed: () => {},
    failed: () => {
      failures += 1;
    },
  });
});

test('each socket is greeted first, and pings are for the connection alone', () => {
  sockets[0].accepts();
  sockets[0].receives({ type: 'ping' });
  sockets[0].receives({ type: 'history' });
  assert.deepEqual(sockets[0].sent, [{ type: 'resume' }]);
  assert.deepEqual(frames, ['conversation', 'history']);
  assert.deepEqual(states, ['open']);
});

test('the waits double up to 30 s and start again with the first message', () => {
  const waits = [];
  for (let failures = 0; failures < 9; failures++) {
    const from = Date.now();
    last().closes(1006);
    while (opened(() => wait(100)) === 0);
    waits.push(Date.now() - from);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  last().accepts();
  last().closes(1006);
  assert.equal(opened(() => wait(500)), 1);
});

test('after a restart of the server it comes back within 5 s, then as usual', () => {
  last().accepts();
  last().closes(1012);
  assert.equal(opened(() => wait(4_900)), 0);
  assert.equal(opened(() => wait(100)), 1);
  last().closes(1006);
  assert.equal(opened(() => wait(1_000)), 1);
});

test('after a restart of the server, whoever is reading a reply comes back first', () => {
  last().accepts();
  isReading = true;
  last().closes(1012);
  assert.equal(opened(() => wait(100)), 1);
  last().closes(1006);
  assert.equal(opened(() => wait(999)), 0, 'the server is not there yet');
  assert.equal(opened(() => wait(1)), 1);
});

test('for a minute after a restart no wait is longer than 5 s', () => {
  last().accepts();
  const from = Date.now();
  last().closes(1012);
  const waits = [];
  let at = from;
  while (waits.length < 16) {
    while (opened(() => wait(100)) === 0);
    waits.push(Date.now() - at);
    at = Date.now();
    last().closes(1006);
  }
  assert.deepEqual(waits.slice(0, 6), [5000, 1000, 2000, 4000, 5000, 5000]);
  const later = waits.findIndex((ms) => ms > 5000);
  assert.deepEqual(waits.slice(later), Array(16 - later).fill(30_000));
  assert.equal(waits.slice(0, later).reduce((sum, ms) => sum + ms) >= 60_000, true);
});

test('only a socket that did not open has failed', () => {
  last().accepts();
  last().closes(1006);
  assert.equal(failures, 0);
  wait(500);
  last().closes(1006);
  assert.equal(failures, 1);
  wait(1_000);
  wait(10_000);
  assert.equal(failures, 2, 'a server that does not answer');
});

test('a server that accepts and then closes is not asked ever faster', () => {
  for (const seconds of [0.5, 1, 2]) {
    last().readyState = 1;
    last().onopen();
    last().closes(1013);
    assert.equal(opened(() => wait(seconds * 1000 - 100)), 0);
    assert.equal(opened(() => wait(100)), 1);
  }
  assert.deepEqual(states, ['busy']);
});

test('a server that cannot read the conversation is asked later, as one that is busy', () => {
  for (const seconds of [0.5, 1, 2]) {
    last().readyState = 1;
    last().onopen();
    last().receives({ type: 'error', code: 'unavailable' });
    last().closes(1013);
    assert.equal(opened(() => wait(seconds * 1000 - 100)), 0);
    assert.equal(opened(() => wait(100)), 1);
  }
  assert.deepEqual(states, ['busy']);
});

test('a short loss is not reported, a longer one is, and one that lasts is offline', () => {
  last().accepts();
  last().closes(1006);
  wait(500);
  last().accepts();
  wait(2000);
  assert.deepEqual(states, ['open']);
  last().closes(1006);
  wait(999);
  assert.equal(states.at(-1), 'open');
  wait(1);
  assert.equal(states.at(-1), 'reconnecting');
  wait(9000);
  assert.equal(states.at(-1), 'offline');
  last().accepts();
  assert.equal(states.at(-1), 'open');
});

test('a refusal is final', () => {
  last().closes(1008);
  wait(600_000);
  connection.open();
  connection.wake();
  assert.equal(sockets.length, 1);
  assert.deepEqual(states, ['refused']);
});

test('45 s of silence is the end of a socket', () => {
  last().accepts();
  wait(30_000);
  last().receives({ type: 'ping' });
  assert.equal(opened(() => wait(44_999)), 0);
  wait(1);
  assert.equal(opened(() => wait(500)), 1);
  assert.equal(sockets[0].readyState, 3);
});

test('a socket that does not open is given up', () => {
  wait(10_000);
  assert.equal(opened(() => wait(500)), 1);
});

test('waking and opening do not wait for the next try', () => {
  for (let failures = 0; failures < 6; failures++) {
    last().closes(1006);
    wait(30_000);
  }
  last().closes(1006);
  assert.equal(opened(connection.wake), 1);
  assert.equal(opened(connection.open), 1);
});

test('waking replaces no socket that is alive', () => {
  last().accepts();
  assert.equal(opened(connection.wake), 0);
});

test('a connection that was closed stays so until it is woken', () => {
  last().accepts();
  connection.close();
  assert.equal(opened(() => wait(600_000)), 0);
  assert.equal(sockets[0].readyState, 3);
  assert.equal(opened(connection.wake), 1);
});

test('without a socket nothing is sent and nothing breaks', () => {
  connection.send({ type: 'stop' });
  assert.deepEqual(sockets[0].sent, []);
});
