// What each frame does to a conversation.

import assert from 'node:assert/strict';
import test from 'node:test';

import { apply, current, fresh, news, send, shown, withdraw } from '../../static/conversation.js';

const turn = (id, status = 'done', more) => {
  return { id, question: `${id}?`, answer: `${id}!`, reasoning: '', status, ...more };
};
const history = (...turns) => ({ type: 'history', turns });
const after = (...frames) => frames.reduce(apply, fresh('c'));
const seen = (conversation) => shown(conversation).map(({ id, status, answer }) => [id, status, answer]);
const refusal = { type: 'error', turn: 'b', code: 'rate_limited', content: 'Slowly.', retry: true };

test('a reply grows from its start to its end', () => {
  const frames = [
    { type: 'start', content: '', turn: 'a', question: 'a?' },
    { type: 'chunk', content: 'Hm', turn: 'a', kind: 'reasoning' },
    { type: 'chunk', content: 'Hel', turn: 'a' },
    { type: 'chunk', content: 'lo', turn: 'a' },
  ];
  const writing = after(history(), ...frames);
  assert.deepEqual(shown(writing), [{ id: 'a', question: 'a?', answer: 'Hello', reasoning: 'Hm', status: 'open' }]);
  assert.equal(current(writing).id, 'a');
  const done = apply(writing, { type: 'end', content: '', turn: 'a', status: 'done' });
  assert.equal(shown(done)[0].status, 'done');
  assert.equal(current(done), undefined);
});

test('history replaces all that was known', () => {
  const conversation = after(history(turn('a'), turn('b')), history(turn('c', 'open')));
  assert.deepEqual(seen(conversation), [['c', 'open', 'c!']]);
});

test('the start of a turn that history told of as waiting keeps its place', () => {
  const start = { type: 'start', content: '', turn: 'a', question: 'a?' };
  const conversation = after(history(turn('a', 'open', { answer: '' }), turn('b', 'open', { answer: '' })), start);
  assert.deepEqual(seen(conversation), [['a', 'open', ''], ['b', 'open', '']]);
});

test('a message waits at the end until its turn shows', () => {
  const waiting = send(after(history(turn('a'))), { id: 'b', content: 'b?' });
  assert.deepEqual(seen(waiting), [['a', 'done', 'a!'], ['b', 'waiting', '']]);
  for (const frame of [history(turn('a'), turn('b')), { type: 'start', content: '', turn: 'b', question: 'b?' }]) {
    assert.deepEqual(apply(waiting, frame).waiting, []);
    assert.equal(shown(apply(waiting, frame)).length, 2);
  }
  assert.deepEqual(apply(waiting, history(turn('a'))).waiting, waiting.waiting);
});

test('a message that replaces a turn hides it and all after it at once', () => {
  const edited = send(after(history(turn('a'), turn('b'), turn('c'))), { id: 'd', content: 'd?', replaces: 'b' });
  assert.deepEqual(seen(edited), [['a', 'done', 'a!'], ['d', 'waiting', '']]);
});

test('a refused message stays, with the sentence, and what it would replace is there again', () => {
  const sent = send(after(history(turn('a'))), { id: 'b', content: 'b?', replaces: 'a' });
  const refused = apply(apply(sent, refusal), { type: 'end', content: '', turn: 'b', status: 'error' });
  assert.deepEqual(seen(refused), [['a', 'done', 'a!'], ['b', 'refused', '']]);
  assert.equal(shown(refused)[1].error.content, 'Slowly.');
  assert.equal(current(refused), undefined);
  assert.deepEqual(seen(send(refused, { id: 'b', content: 'b?' })), [['a', 'done', 'a!'], ['b', 'waiting', '']]);
  assert.deepEqual(seen(withdraw(refused, 'b')), [['a', 'done', 'a!']]);
});

test('an error of a reply belongs to its turn, and one of a frame to nobody', () => {
  const failed = after(history(turn('b', 'open')), refusal, { type: 'end', content: '', turn: 'b', status: 'error' });
  assert.deepEqual(shown(failed)[0].error, { code: 'rate_limited', content: 'Slowly.', retry: true });
  const troubled = after(history(turn('a')), { type: 'error', code: 'bad_frame', content: 'What?', retry: false });
  assert.equal(troubled.trouble, 'What?');
  assert.equal(send(troubled, { id: 'b', content: '' }).trouble, '');
});

test('the first of several open turns is the one to stop', () => {
  const told = after(history(turn('a'), turn('b', 'open'), turn('c', 'open')));
  const conversation = send(told, { id: 'd', content: 'd?' });
  assert.equal(current(conversation).id, 'b');
});

test('frames for unknown turns, and unknown frames, change nothing that is seen', () => {
  const conversation = after(history(turn('a')));
  const chunk = { type: 'chunk', turn: 'x', content: '!' };
  for (const frame of [chunk, { type: 'end', turn: 'x', status: 'done' }, { type: 'new' }]) {
    assert.deepEqual(seen(apply(conversation, frame)), seen(conversation));
  }
});

test('no step changes the conversation before it', () => {
  const freeze = (value) => {
    if (value && typeof value === 'object') Object.values(Object.freeze(value)).forEach(freeze);
    return value;
  };
  const frames = [history(turn('a'), turn('b', 'open')), { type: 'chunk', turn: 'b', content: '!' }, refusal];
  frames.reduce((conversation, frame) => freeze(apply(conversation, frame)), freeze(fresh('c')));
});

test('news tells of steps, once, and not of what was there before', () => {
  const said = (...steps) => steps.slice(1).map((step, index) => news(steps[index], step));
  const [empty, old] = [fresh('c'), after(history(turn('a'), turn('b', 'interrupted')))];
  const asked = send(old, { id: 'd', content: 'd?' });
  const open = apply(asked, { type: 'start', content: '', turn: 'd', question: 'd?' });
  const more = apply(open, { type: 'chunk', content: 'x', turn: 'd' });
  const end = (status) => apply(more, { type: 'end', content: '', turn: 'd', status });
  assert.deepEqual(said(empty, old, asked, open, more, end('done')), [
    {}, {}, { say: 'Assistant is replying' }, {}, { say: 'Reply complete' },
  ]);
  assert.deepEqual(news(more, end('stopped')), { say: 'Stopped' });
  assert.deepEqual(news(more, end('interrupted')), { say: 'The reply was interrupted' });
  assert.deepEqual(news(asked, apply(asked, { ...refusal, turn: 'd' })), { alarm: 'Slowly.' });
  const failing = apply(more, { ...refusal, turn: 'd' });
  const failed = apply(failing, { type: 'end', content: '', turn: 'd', status: 'error' });
  assert.deepEqual(said(more, failing, failed), [{}, { alarm: 'Slowly.' }]);
  assert.deepEqual(news(old, apply(old, { type: 'error', content: 'What?' })), { alarm: 'What?' });
  assert.deepEqual(news(more, { ...end('done'), id: 'other' }), {});
});
