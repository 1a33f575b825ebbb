// The text of a dropped file, and the block that it becomes.

import assert from 'node:assert/strict';
import test from 'node:test';

import { decode, fenced } from '../../static/chat/textfile.js';

const bytes = (text, encoding) => new Uint8Array(Buffer.from(text, encoding));

test('E15 text is read in UTF-8 and UTF-16, and nothing else is taken for text', () => {
  assert.equal(decode(bytes('Ünder 🎉\r\nline\rend')), 'Ünder 🎉\nline\nend');
  assert.equal(decode(bytes('\ufeffMarked')), 'Marked');
  assert.equal(decode(bytes('\ufeffÜnder', 'utf16le')), 'Ünder');
  assert.equal(decode(bytes('\ufeffÜnder', 'utf16le').map((_, at, all) => all[at ^ 1])), 'Ünder');
  assert.equal(decode(bytes('\x89PNG', 'latin1')), null);
  assert.equal(decode(bytes('a\0b')), null);
  assert.equal(decode(bytes('')), '');
});

test('E15 what is cut off may end in the middle of a character', () => {
  const cut = bytes('Wörter🎉').slice(0, -1);
  assert.equal(decode(cut), null);
  assert.equal(decode(cut, false), 'Wörter');
});

test('E15 the fence is longer than any in the text, and no name ends its line', () => {
  assert.equal(fenced('a.py', 'x = 1\n'), '```a.py\nx = 1\n```');
  assert.equal(fenced('a.md', '```\n`````js'), '``````a.md\n```\n`````js\n``````');
  assert.equal(fenced('a`\n`b', '\n\n'), '```a b\n\n\n```');
});
