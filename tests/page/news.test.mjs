// What is announced about a step from one state to the next.

import assert from 'node:assert/strict';
import test from 'node:test';

import { apply, enqueue, fresh } from '../../static/chat/conversation.js';
import { news } from '../../static/chat/news.js';

const turn = (id, status) => ({ id, question: `${id}?`, answer: `${id}!`, status });
const empty = fresh('c');
const old = apply(empty, { type: 'history', turns: [turn('a', 'done'), turn('b', 'interrupted')] });
const sent = enqueue(old, { id: 'd', content: 'd?' });
const open = apply(sent, { type: 'start', turn: 'd', question: 'd?' });
const grown = apply(open, { type: 'chunk', content: 'x', turn: 'd' });
const ended = (status) => apply(grown, { type: 'end', turn: 'd', status });
const refusal = { type: 'error', turn: 'd', code: 'rate_limited', content: 'Slowly.', retry: true };
const step = (before, after) => news({ conversation: after }, { conversation: before });

test('steps are announced once, and what was there before is not', () => {
  const steps = [empty, old, sent, open, grown, ended('done')];
  const all = steps.slice(1).map((after, index) => step(steps[index], after));
  assert.deepEqual(all, [{}, {}, { notice: 'Assistant is replying' }, {}, { notice: 'Reply complete' }]);
  assert.deepEqual(step(grown, ended('stopped')), { notice: 'Stopped' });
  assert.deepEqual(step(grown, ended('length')), { notice: 'The reply reached its length limit' });
  assert.deepEqual(step(grown, ended('interrupted')), { notice: 'The reply was interrupted' });
});

test('an error is an alarm, once, whatever it is about', () => {
  assert.deepEqual(step(sent, apply(sent, refusal)), { alarm: 'Slowly.' });
  const failing = apply(grown, refusal);
  assert.deepEqual(step(grown, failing), {});
  assert.deepEqual(step(failing, apply(failing, { type: 'end', turn: 'd', status: 'error' })), { alarm: 'Slowly.' });
  assert.deepEqual(step(old, apply(old, { type: 'error', content: 'What?' })), { alarm: 'What?' });
});

test('another conversation is no news', () => {
  assert.deepEqual(step(grown, { ...ended('done'), id: 'other' }), {});
});

test('the first connection is no news, and each later change is', () => {
  const change = (before, after) => news({ conversation: old, network: after }, { conversation: old, network: before });
  assert.deepEqual(change('connecting', 'open'), {});
  assert.deepEqual(change('connecting', 'offline'), { notice: 'Offline' });
  assert.deepEqual(change('open', 'reconnecting'), { notice: 'Reconnecting' });
  assert.deepEqual(change('reconnecting', 'open'), { notice: 'Back online' });
  assert.deepEqual(change('open', 'refused'), { alarm: 'The server refused the connection.' });
});
