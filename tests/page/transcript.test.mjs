// E10: a conversation as Markdown.

import assert from 'node:assert/strict';
import test from 'node:test';

import { fileName, toMarkdown } from '../../static/chat/transcript.js';

const turn = (status, more) => ({ id: 'a', question: 'Why?', answer: 'So.', reasoning: '', status, ...more });

test('E10 the title, then who wrote what, and how each reply ended', () => {
  const error = { content: 'The model failed.', code: 'upstream_error', retry: true };
  const turns = [
    turn('done', { reasoning: 'Hm' }),
    turn('stopped'),
    turn('error', { answer: '', error }),
    turn('waiting', { answer: '' }),
  ];
  assert.equal(toMarkdown('Title', turns), `# Title

## You

Why?

## Assistant

So.

## You

Why?

## Assistant (stopped)

So.

## You

Why?

## Assistant (failed)

The model failed.

## You (not sent)

Why?
`);
});

test('E10 code that was cut off does not take in what follows', () => {
  const text = (answer) => toMarkdown('T', [turn('stopped', { answer })]).split('(stopped)\n\n')[1];
  assert.equal(text('Look:\n\n````py\nx = 1\n```\n'), 'Look:\n\n````py\nx = 1\n```\n````\n');
  assert.equal(text('~~~\n```\n~~~\n'), '~~~\n```\n~~~\n');
  assert.equal(text('```\n``` no\n'), '```\n``` no\n```\n');
});

test('E10 any title is a file name', () => {
  assert.equal(fileName('Why is 1/2 < 2/3?'), 'Why is 1 2 2 3.md');
  assert.equal(fileName('..'), 'Conversation.md');
  assert.equal(fileName('é'.repeat(100)), `${'é'.repeat(60)}.md`);
});
