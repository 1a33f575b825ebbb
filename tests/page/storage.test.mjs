// The list of past conversations, as this browser keeps it.

import assert from 'node:assert/strict';
import test from 'node:test';

import { byDay } from '../../static/chat/days.js';
import { matching } from '../../static/chat/filter.js';
import { past, shorten } from '../../static/chat/past.js';
import { beginOpening, endOpening, failsToOpen, read } from '../../static/chat/storage.js';
import { readWaiting } from '../../static/chat/waiting.js';

const stored = new Map();
globalThis.localStorage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => stored.set(key, value),
  removeItem: (key) => stored.delete(key),
};
// Keys begin with the path that the page's folder is at.
const PREFIX = `pocket-chat${new URL('../..', import.meta.url).pathname.slice(0, -1)}`;
const at = (...date) => new Date(...date).getTime();

test('conversations are grouped by the calendar, not by 24 hours', () => {
  const now = new Date(2026, 2, 10, 0, 30);
  const list = [
    { id: 'a', at: at(2026, 2, 10, 0, 10) },
    { id: 'b', at: at(2026, 2, 9, 23, 50) },
    { id: 'c', at: at(2026, 2, 9, 0, 0) },
    { id: 'd', at: at(2026, 2, 8, 23, 59) },
    { id: 'e', at: at(2026, 2, 3, 12, 0) },
    { id: 'f', at: at(2026, 2, 2, 12, 0) },
  ];
  const days = byDay(list, now).map(([day, items]) => [day, items.map(({ id }) => id).join('')]);
  assert.deepEqual(days, [['Today', 'a'], ['Yesterday', 'bc'], ['Previous 7 days', 'de'], ['Earlier', 'f']]);
});

test('a clock that was wrong makes no day of its own', () => {
  const days = byDay([{ id: 'a', at: at(2026, 5, 1) }], new Date(2026, 2, 10));
  assert.deepEqual(days.map(([day]) => day), ['Today']);
});

test('a title is the first words of the question, on one line', () => {
  assert.equal(shorten('  Why is\n my  queue growing? '), 'Why is my queue growing?');
  assert.equal(shorten('word '.repeat(20)), `${'word '.repeat(11)}word…`);
  assert.equal(shorten('🎉'.repeat(61)), `${'🎉'.repeat(60)}…`);
});

test('E11 a filter finds each word, whatever its case and accents', () => {
  const list = ['Trip to Lisbon', 'Café in Lisboa', 'Cafés', 'Größe', 'ﬁle names'].map((title) => ({ title }));
  const found = (query) => matching(list, query).map(({ title }) => title);
  assert.deepEqual(found('CAFE'), ['Café in Lisboa', 'Cafés']);
  assert.deepEqual(found(' lisb  CAFÉ '), ['Café in Lisboa']);
  assert.deepEqual([found('GRÖSSE'), found('file'), found('x')], [['Größe'], ['ﬁle names'], []]);
  assert.equal(matching(list, '  '), list);
});

test('P03 what was broken in the storage is passed over', () => {
  stored.set(`${PREFIX}:conversations`, '[null, 1, {"id": 2}, {"id": "a", "title": "A", "at": 1}]');
  stored.set(`${PREFIX}:waiting:a`, '{"id": 1}');
  stored.set(`${PREFIX}:theme`, '{');
  assert.deepEqual(past().map(({ id }) => id), ['a']);
  assert.deepEqual(readWaiting('a'), []);
  assert.equal(read('theme', 'system'), 'system');
});

test('P03 a conversation fails to open if it began to twice and was never drawn', () => {
  beginOpening('a');
  assert.equal(failsToOpen('a'), false);
  beginOpening('a');
  assert.deepEqual([failsToOpen('a'), failsToOpen('b'), failsToOpen(null)], [true, false, false]);
  endOpening('b');
  assert.equal(failsToOpen('a'), true);
  endOpening('a');
  assert.equal(failsToOpen('a'), false);
});
