// The list of past conversations, as this browser keeps it.

import assert from 'node:assert/strict';
import test from 'node:test';

import { byDay, shorten } from '../../static/kept.js';

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
