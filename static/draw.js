// Draws the conversation as it is now. Doing it twice changes nothing; what did not change is not touched.
// What shows in which state of a turn is the style sheet's to say, by `data-status`.

import { editing } from './composer.js';
import { isOpen, shown } from './conversation.js';
import { highlight } from './highlight.js';
import { titleOf } from './kept.js';
import { streamMarkdown } from './markdown.js';
import { changeText } from './dom.js';
import { conversation, home, network } from './session.js';

const $ = (id) => document.getElementById(id);
const drawn = new Map(); // turn id -> { node, view, turn, network }, as last drawn

const NOTES = {
  stopped: 'You stopped this reply.',
  length: 'The reply reached its length limit.',
  filtered: 'The reply was cut by a content filter.',
  interrupted: 'The reply was interrupted.',
};
const UNSENT = 'Not sent yet. It goes out when the connection is back.';
const KEPT = { refused: 'It was not sent. It is kept here, and you can edit it.', error: 'Nothing was lost.' };
const MISSING = {
  connecting: 'Connecting…',
  reconnecting: 'Reconnecting… Your draft is safe.',
  offline: 'Offline. Your draft is safe; what you send goes out when the connection is back.',
  busy: 'The server is busy. Your draft is safe; trying again soon.',
  refused: 'The server refused the connection. Reload the page to try again.',
};
const DEMO = 'A small demonstration model on this machine: often wrong.';
const LOADING = 'The model is still loading; a message waits for it.';
const ADVICE = 'Replies can be wrong; check what matters.';

export function draw() {
  const { loaded, model, demo, loading, trouble } = conversation;
  const turns = shown(conversation);
  const title = titleOf(home);
  const blank = $('prompt').value.trim() === '';
  const warning = tooLong() || MISSING[network] || trouble;
  drawTurns(turns);
  $('stop').hidden = !turns.some(isOpen);
  $('send').hidden = blank && !$('stop').hidden;
  $('send').disabled = blank || tooLong() !== '';
  $('hint').classList.toggle('warning', warning !== '');
  $('hint').classList.toggle('away', warning === MISSING[network]);
  $('remark').textContent = warning || (loading && LOADING) || (demo ? DEMO : ADVICE);
  $('empty').hidden = turns.length > 0 || !loaded;
  $('editing').hidden = !editing;
  $('title').textContent = title ?? 'New chat';
  document.title = title ? `${title} · Pocket Chat` : 'Pocket Chat';
  $('model').textContent = [model, demo && 'demo'].filter(Boolean).join(' · ');
}

/** What there is to say about a message that is too long to be sent; its length is counted as the server does. */
export function tooLong() {
  const text = $('prompt').value.trimEnd();
  const length = text.length > conversation.limit ? [...text].length : 0; // An emoji is two units of a string.
  const [has, may] = [length, conversation.limit].map((number) => number.toLocaleString('en'));
  return length > conversation.limit ? `This message has ${has} characters; ${may} can be sent.` : '';
}

function drawTurns(turns) {
  const wanted = new Map(turns.map((turn) => [turn.id, turn]));
  for (const [id, item] of drawn) if (!goesOn(item.turn, wanted.get(id))) giveUp(item);
  let next = $('turns').firstElementChild;
  for (const turn of turns) {
    if (!drawn.has(turn.id)) begin(turn);
    const item = drawn.get(turn.id);
    if (item.node === next) next = next.nextElementSibling;
    else $('turns').insertBefore(item.node, next);
    if (item.turn !== turn || item.network !== network) drawTurn(item, turn);
    else if (!isOpen(turn)) item.node.classList.add('finished'); // It was laid out before: its height is known.
    Object.assign(item, { turn, network });
  }
}

/** Whether what was drawn of a turn can stay. */
function goesOn(before, turn) {
  return turn?.answer === before.answer || (isOpen(before) && turn?.answer.startsWith(before.answer));
}

function giveUp({ node, view, turn }) {
  view?.finish(turn.answer);
  node.remove();
  drawn.delete(turn.id);
}

function begin(turn) {
  const node = $('turn').content.firstElementChild.cloneNode(true);
  node.dataset.id = turn.id;
  node.querySelector('.body').textContent = turn.question;
  node.querySelector('.thought').append(''); // for changeText()
  drawn.set(turn.id, { node, turn: { ...turn, answer: '', reasoning: '' } });
}

function drawTurn(item, turn) {
  const { status, answer, error } = turn;
  const part = (selector) => item.node.querySelector(selector);
  item.node.dataset.status = status;
  part('.bot').ariaBusy = String(isOpen(turn));
  const unsent = status === 'waiting' && network !== 'open';
  part('.note strong').textContent = unsent ? UNSENT : (NOTES[status] ?? error?.content ?? '');
  part('.note small').textContent = KEPT[status] ?? '';
  part('.note button').hidden = status !== 'interrupted' && !error?.retry;
  drawThinking(part('.thinking'), turn, item.turn);
  if (answer === '') return;
  item.view ??= streamMarkdown(part('.md'), highlight);
  if (isOpen(turn)) item.view.write(answer);
  else if (isOpen(item.turn) || item.turn.answer !== answer) item.view.finish(answer);
}

/** Open while there is nothing else to read; then it folds, once, and is the reader's. */
function drawThinking(thinking, { reasoning, answer, status }, before) {
  if (reasoning && !before.reasoning) thinking.open = status === 'open' && !answer;
  if (answer && !before.answer) thinking.open = false;
  changeText(thinking.lastElementChild.firstChild, reasoning);
}
