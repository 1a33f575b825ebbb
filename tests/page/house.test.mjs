// How the modules depend on each other: page.js on actions.js, that on what draws, that on chat/ and markdown/, and
// never back.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../static', import.meta.url));
const names = readdirSync(ROOT, { recursive: true }).filter((name) => name.endsWith('.js'));
const sources = new Map(names.map((name) => [name, readFileSync(join(ROOT, name), 'utf8')]));
const FLOORS = { 'page.js': 4, 'actions.js': 3, 'draw.js': 2, 'log.js': 2, 'start.js': 2 };
const floor = (name) => FLOORS[name] ?? (dirname(name) === '.' ? 1 : 0);
const importsOf = (name) =>
  [...sources.get(name).matchAll(/^import .*'(\..*)';$/gm)].map(([, path]) => join(dirname(name), path));

test('imports run down, or stay in their folder', () => {
  const all = names.flatMap((name) => importsOf(name).map((other) => [name, other]));
  assert.ok(all.length > 20);
  assert.deepEqual(all.filter(([name, other]) => {
    return floor(other) >= floor(name) && !(floor(name) === 0 && dirname(name) === dirname(other));
  }), []);
});

test('no import circle', () => {
  const visit = (name, path) => {
    assert.ok(!path.includes(name), [...path, name].join(' -> '));
    importsOf(name).forEach((other) => visit(other, [...path, name]));
  };
  names.forEach((name) => visit(name, []));
});

test('chat/ needs no document', () => {
  const chat = names.filter((name) => dirname(name) === 'chat');
  assert.ok(chat.length > 3);
  assert.deepEqual(chat.filter((name) => /\b(document|window|location)\./.test(sources.get(name))), []);
});

test('E18 the browser is told at once of all that the page imports', () => {
  const index = readFileSync(join(ROOT, 'index.html'), 'utf8');
  const preloaded = [...index.matchAll(/rel="modulepreload" href="static\/(.*?)"/g)].map(([, name]) => name);
  const found = new Set(['markdown/stream.js', 'markdown/highlight.js', 'markdown/tokens.js', 'page.js', 'start.js']);
  for (const name of found) importsOf(name).forEach((other) => found.add(other));
  for (const script of ['page.js', 'start.js']) found.delete(script);
  assert.deepEqual(preloaded.toSorted(), [...found].sort());
});
