// What each frame does to a conversation.

import assert from 'node:assert/strict';
import test from 'node:test';

import { apply, current, enqueue, fresh, shown, withdraw } from '../../static/chat/conversation.js';
import { anchor, GONE } from '../../static/chat/history.js';
import { thinkingLabel } from '../../static/chat/thinking.js';

const turn = (id, status = 'done', more) => {
  return { id, question: `${id}?`, answer: `${id}!`, reasoning: '', status, ...more };
};
const history = (...turns) => ({ type: 'history', turns });
const after = (...frames) => frames.reduce((before, frame) => apply(before, frame), fresh('c'));
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
  const { thinkingSince: _, ...written } = shown(writing)[0];
  assert.deepEqual(written, { id: 'a', question: 'a?', answer: 'Hello', reasoning: 'Hm', status: 'open' });
  assert.equal(current(writing).id, 'a');
  const done = apply(writing, { type: 'end', content: '', turn: 'a', status: 'done' });
  assert.equal(shown(done)[0].status, 'done');
  assert.equal(current(done), undefined);
});

test('a history replaces all that was there', () => {
  const conversation = after(history(turn('a'), turn('b')), history(turn('c', 'open')));
  assert.deepEqual(seen(conversation), [['c', 'open', 'c!']]);
});

test('a history after a turn goes behind it, and takes the place of what was open', () => {
  const before = enqueue(after(history(turn('a'), turn('b', 'open'))), { id: 'c', content: 'c?' });
  const frame = { ...history(turn('b'), turn('c', 'open')), after: 'a' };
  const conversation = apply({ ...before, earlier: true }, frame);
  assert.deepEqual(seen(conversation), [['a', 'done', 'a!'], ['b', 'done', 'b!'], ['c', 'open', 'c!']]);
  assert.deepEqual([conversation.waiting, conversation.earlier], [[], true]);
  const unknown = apply(before, { ...history(turn('b')), after: 'x', earlier: true });
  assert.deepEqual([seen(unknown).length, unknown.earlier], [2, true]);
});

test('the anchor of a reconnect is the last finished turn before an open one, in code points', () => {
  assert.equal(anchor(fresh('c')), undefined);
  assert.equal(anchor(after(history(turn('a', 'open')))), undefined);
  const turns = [turn('a'), turn('b', 'stopped', { answer: '🎉é' }), turn('c', 'open'), turn('d')];
  assert.deepEqual(anchor(after(history(...turns))), { turn: 'b', status: 'stopped', chars: 2 });
  assert.deepEqual(anchor(after(history(turn('a')))), { turn: 'a', status: 'done', chars: 2 });
});

test('a conversation that had turns and has none is no longer stored, until something is sent', () => {
  const gone = after(history(turn('a', 'open')), history());
  assert.deepEqual([seen(gone), gone.trouble], [[], GONE]);
  assert.equal(apply(gone, history()).trouble, GONE);
  assert.equal(apply(gone, history(turn('a'))).trouble, '');
  assert.equal(enqueue(gone, { id: 'b', content: 'b?' }).trouble, '');
  assert.equal(after(history()).trouble, GONE);
});

test('a new conversation, and one whose first message waits, is not missed', () => {
  const conversation = { type: 'conversation', id: 'c', limit: 10 };
  const fresher = [conversation, history(), conversation, history()].reduce(apply, fresh());
  assert.deepEqual([fresher.id, fresher.trouble], ['c', '']);
  assert.equal(apply(fresh('c', [{ id: 'a', content: 'a?' }]), history()).trouble, '');
});

test('an earlier page goes in front of the turn that it was asked for, or nowhere', () => {
  const conversation = after({ ...history(turn('c')), earlier: true });
  const page = { type: 'earlier', before: 'c', turns: [turn('a'), turn('b')], earlier: false };
  const whole = apply(conversation, page);
  assert.deepEqual([seen(whole).map(([id]) => id).join(''), whole.earlier], ['abc', false]);
  assert.equal(apply(whole, page), whole);
});

test('P03 odd turns in a history are read as texts, and what is none is left out', () => {
  const odd = [null, 1, {}, { id: 7, question: null, answer: {}, reasoning: 3, status: 'done' }];
  const [read, ...others] = shown(after(history(...odd)));
  assert.deepEqual([read.id, read.question, read.answer, read.reasoning], ['7', '', '[object Object]', '3']);
  assert.deepEqual([others, shown(after({ type: 'history' }))], [[], []]);
});

test('a turn stays in its place in the history when it starts', () => {
  const start = { type: 'start', content: '', turn: 'a', question: 'a?' };
  const conversation = after(history(turn('a', 'open', { answer: '' }), turn('b', 'open', { answer: '' })), start);
  assert.deepEqual(seen(conversation), [['a', 'open', ''], ['b', 'queued', '']]);
});

test('E12 how long the model thought is known to who watched it', () => {
  const frames = [
    { type: 'start', turn: 'a', question: 'a?' },
    { type: 'chunk', turn: 'a', content: 'Hm', kind: 'reasoning' },
    { type: 'chunk', turn: 'a', content: ', well', kind: 'reasoning' },
    { type: 'chunk', turn: 'a', content: 'Yes' },
    { type: 'chunk', turn: 'a', content: '!' },
    { type: 'end', turn: 'a', status: 'done' },
  ];
  const label = (count) => {
    const watch = (before, frame, at) => apply(before, frame, at * 40_000);
    return thinkingLabel(shown(frames.slice(0, count).reduce(watch, after(history())))[0]);
  };
  const thought = 'Thought for 1 min 20 s';
  assert.deepEqual([2, 3, 4, 6].map(label), ['Thinking', 'Thinking', thought, thought]);
  assert.equal(thinkingLabel(turn('a')), 'Thought');
});

test('E13 what waits for the reply above is queued until that has ended', () => {
  const { turns } = after(history(turn('a', 'open'), turn('b', 'open', { answer: '' })));
  const queue = enqueue({ ...fresh('c'), turns }, { id: 'd', content: 'd?' });
  assert.deepEqual(seen(queue).map(([, status]) => status), ['open', 'queued', 'queued']);
  const next = apply(queue, { type: 'end', turn: 'a', status: 'done' });
  assert.deepEqual(seen(next).map(([, status]) => status), ['done', 'open', 'queued']);
  assert.deepEqual(seen(withdraw(withdraw(next, 'b'), 'd')).map(([id]) => id), ['a']);
});

test('a message waits at the end until its turn shows', () => {
  const waiting = enqueue(after(history(turn('a'))), { id: 'b', content: 'b?' });
  assert.deepEqual(seen(waiting), [['a', 'done', 'a!'], ['b', 'waiting', '']]);
  for (const frame of [history(turn('a'), turn('b')), { type: 'start', content: '', turn: 'b', question: 'b?' }]) {
    assert.deepEqual(apply(waiting, frame).waiting, []);
    assert.equal(shown(apply(waiting, frame)).length, 2);
  }
  assert.deepEqual(apply(waiting, history(turn('a'))).waiting, waiting.waiting);
});

test('a message that replaces a turn hides it and all after it at once', () => {
  const edited = enqueue(after(history(turn('a'), turn('b'), turn('c'))), { id: 'd', content: 'd?', replaces: 'b' });
  assert.deepEqual(seen(edited), [['a', 'done', 'a!'], ['d', 'waiting', '']]);
});

test('a refused message stays, with the sentence, and what it would replace is there again', () => {
  const sent = enqueue(after(history(turn('a'))), { id: 'b', content: 'b?', replaces: 'a' });
  const refused = apply(apply(sent, refusal), { type: 'end', content: '', turn: 'b', status: 'error' });
  assert.deepEqual(seen(refused), [['a', 'done', 'a!'], ['b', 'refused', '']]);
  assert.equal(shown(refused)[1].error.content, 'Slowly.');
  assert.equal(current(refused), undefined);
  assert.deepEqual(seen(enqueue(refused, { id: 'b', content: 'b?' })), [['a', 'done', 'a!'], ['b', 'waiting', '']]);
  assert.deepEqual(seen(withdraw(refused, 'b')), [['a', 'done', 'a!']]);
});

test('an error of a reply belongs to its turn, and one of a frame to nobody', () => {
  const failed = after(history(turn('b', 'open')), refusal, { type: 'end', content: '', turn: 'b', status: 'error' });
  assert.deepEqual(shown(failed)[0].error, { code: 'rate_limited', content: 'Slowly.', retry: true });
  const troubled = after(history(turn('a')), { type: 'error', code: 'bad_frame', content: 'What?', retry: false });
  assert.equal(troubled.trouble, 'What?');
  assert.equal(enqueue(troubled, { id: 'b', content: '' }).trouble, '');
});

test('the first of several open turns is the one to stop', () => {
  const open = after(history(turn('a'), turn('b', 'open'), turn('c', 'open')));
  const conversation = enqueue(open, { id: 'd', content: 'd?' });
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
