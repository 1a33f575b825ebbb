// How a connection comes back, with the clock and the network in the test's hand.

import assert from 'node:assert/strict';
import test, { beforeEach, mock } from 'node:test';

import { connect } from '../../static/connection.js';

let page;
const states = [];
const frames = [];
let sockets = [];
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
    this.says({ type: 'conversation' });
  }

  says(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  ends(code) {
    this.readyState = 3;
    this.onclose({ code });
  }
}

const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true });
define('WebSocket', FakeSocket);
define('addEventListener', (...what) => page.addEventListener(...what));
define('document', { hidden: false, addEventListener: (...what) => page.addEventListener(...what) });

mock.method(Math, 'random', () => 1 - Number.EPSILON);
const wait = (ms) => mock.timers.tick(ms);

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  page = new EventTarget();
  sockets = [];
  states.length = frames.length = 0;
  connection = connect('ws://chat/ws', {
    hello: () => ({ type: 'resume' }),
    received: (frame) => frames.push(frame.type),
    changed: (state) => states.push(state),
    closed: () => {},
  });
});

test('each socket is greeted first, and pings are for the connection alone', () => {
  sockets[0].accepts();
  sockets[0].says({ type: 'ping' });
  sockets[0].says({ type: 'history' });
  assert.deepEqual(sockets[0].sent, [{ type: 'resume' }]);
  assert.deepEqual(frames, ['conversation', 'history']);
  assert.deepEqual(states, ['open']);
});

test('the waits double up to 30 s and start anew with the first message', () => {
  const waits = [];
  for (let failures = 0; failures < 9; failures++) {
    const from = Date.now();
    sockets.at(-1).ends(1006);
    for (const count = sockets.length; sockets.length === count; ) wait(100);
    waits.push(Math.round((Date.now() - from) / 100) * 100);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  sockets.at(-1).accepts();
  sockets.at(-1).ends(1012);
  const count = sockets.length;
  wait(500);
  assert.equal(sockets.length, count + 1);
});

test('a server that takes and drops us is not asked ever faster', () => {
  for (const seconds of [0.5, 1, 2]) {
    sockets.at(-1).readyState = 1;
    sockets.at(-1).onopen();
    sockets.at(-1).ends(1013);
    const count = sockets.length;
    wait(seconds * 1000 - 100);
    assert.equal(sockets.length, count);
    wait(100);
    assert.equal(sockets.length, count + 1);
  }
  assert.deepEqual(states, ['busy']);
});

test('a short loss is not told, a longer one is, and one that lasts is offline', () => {
  sockets[0].accepts();
  sockets[0].ends(1012);
  wait(500);
  sockets[1].accepts();
  wait(2000);
  assert.deepEqual(states, ['open']);
  sockets[1].ends(1006);
  wait(999);
  assert.equal(states.at(-1), 'open');
  wait(1);
  assert.equal(states.at(-1), 'reconnecting');
  wait(9000);
  assert.equal(states.at(-1), 'offline');
  sockets.at(-1).accepts();
  assert.equal(states.at(-1), 'open');
});

test('a refusal is final', () => {
  sockets[0].ends(1008);
  wait(600_000);
  page.dispatchEvent(new Event('online'));
  page.dispatchEvent(new Event('visibilitychange'));
  assert.equal(sockets.length, 1);
  assert.deepEqual(states, ['refused']);
});

test('45 s of silence is the end of a socket', () => {
  sockets[0].accepts();
  wait(30_000);
  sockets[0].says({ type: 'ping' });
  wait(44_999);
  assert.equal(sockets.length, 1);
  wait(1);
  wait(500);
  assert.equal(sockets.length, 2);
  assert.equal(sockets[0].readyState, 3);
});

test('a socket that does not open is given up', () => {
  wait(10_000);
  wait(500);
  assert.equal(sockets.length, 2);
});

test('the network and the person wake it at once, whatever it waited for', () => {
  for (let failures = 0; failures < 6; failures++) {
    sockets.at(-1).ends(1006);
    wait(30_000);
  }
  sockets.at(-1).ends(1006);
  const count = sockets.length;
  page.dispatchEvent(new Event('visibilitychange'));
  assert.equal(sockets.length, count + 1);
  page.dispatchEvent(new Event('online'));
  assert.equal(sockets.length, count + 2);
});

test('a tab that is looked at again keeps a socket that lives', () => {
  sockets[0].accepts();
  page.dispatchEvent(new Event('visibilitychange'));
  assert.equal(sockets.length, 1);
});

test('a hidden page has no socket, and a page that comes back from the cache gets one', () => {
  sockets[0].accepts();
  page.dispatchEvent(new Event('pagehide'));
  wait(600_000);
  assert.equal(sockets.length, 1);
  assert.equal(sockets[0].readyState, 3);
  page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  assert.equal(sockets.length, 2);
});

test('without a socket nothing is sent and nothing breaks', () => {
  connection.send({ type: 'stop' });
  assert.deepEqual(sockets[0].sent, []);
});
