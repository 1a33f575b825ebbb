// The page: what each click and key does.

import * as box from './composer.js';
import { shown } from './conversation.js';
import { draw, tooLong } from './draw.js';
import { followEnd } from './follow.js';
import * as kept from './kept.js';
import { loadMarkdown } from './markup.js';
import * as session from './session.js';
import * as sidebar from './sidebar.js';

const $ = (id) => document.getElementById(id);
let drawing = true; // Nothing is drawn before Markdown is there.

/** What the buttons do, by their `data-do`. A turn and a past conversation have a `data-id`. */
const ACTS = {
  new: () => open(null),
  open,
  rename: sidebar.askForName,
  remove: (id) => sidebar.askToRemove(id, remove),
  show: sidebar.show,
  hide: sidebar.hide,
  theme: (id, { value }) => sidebar.chooseTheme(value),
  try: (id, { value }) => box.giveBack(value),
  edit,
  cancel: box.showDraft,
  retry: (id) => (session.retry(id), end.follow()),
  stop: () => (stop(), box.focus()),
  down: () => (end.follow(), box.focus()),
  copy: (id, button) => copy(button, session.turnOf(id).answer),
  'copy-code': (id, button) => copy(button, button.closest('figure').querySelector('code').textContent),
};

document.addEventListener('click', ({ target }) => {
  const button = target.closest('[data-do]');
  if (button) ACTS[button.dataset.do](button.closest('[data-id]')?.dataset.id, button);
  else if (target.matches('.box')) $('prompt').focus();
  else if (target === $('drawer')) sidebar.hide();
});

document.addEventListener('keydown', (event) => {
  const { key, code, ctrlKey, metaKey, shiftKey, isComposing, keyCode, target } = event;
  if (isComposing || keyCode === 229) return; // The keys of an input method are not ours; 229 is how Safari says so.
  const command = ctrlKey || metaKey;
  const writing = target === $('prompt');
  if (writing && key === 'Enter' && (command || !(shiftKey || box.touch.matches))) $('composer').requestSubmit();
  else if (writing && key === 'ArrowUp' && target.value === '' && !box.editing) editLast();
  else if (key === 'Escape' && !document.querySelector('dialog[open]')) (box.editing ? box.showDraft : stop)();
  else if (command && shiftKey && code === 'KeyO') open(null);
  else return;
  event.preventDefault();
});

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('prompt').value.trimEnd();
  if (!text.trim()) return;
  if (tooLong()) return tell({ alarm: tooLong() });
  session.say(text, box.editing);
  box.sent();
  end.follow();
});

// Whatever a person does, here or in another tab, may change what is shown. To draw the same again costs little.
for (const type of ['click', 'keydown', 'input', 'focusin', 'storage', 'close']) addEventListener(type, drawSoon, true);

const end = followEnd($('log'), $('turns'), ({ following, unseen }) => {
  $('down').hidden = following;
  $('down').classList.toggle('fresh', unseen);
});
session.start({ changed: drawSoon, heard: tell });
box.showDraft();
loadMarkdown().then(() => {
  drawing = false;
  drawSoon();
});

function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    sidebar.drawSidebar();
    draw();
  });
}

function tell({ say, alarm }) {
  if (say) $('say').textContent = say;
  if (alarm) $('alarm').textContent = alarm;
}

function editLast() {
  const last = shown(session.conversation).findLast(({ status }) => status !== 'waiting');
  if (last) edit(last.id);
}

/** Show a past conversation, or (null) a new one. */
function open(id) {
  $('drawer').close();
  if (id !== session.home || (!id && shown(session.conversation).length)) {
    session.open(id);
    box.showDraft();
    end.follow();
  }
  box.focus();
}

function remove(id) {
  kept.remove(id);
  session.forgetRemoved();
  if (id === session.home) open(null);
}

function edit(id) {
  const turn = session.turnOf(id);
  if (turn) box.edit(id, turn.question);
  else box.giveBack(session.takeBack(id));
}

function stop() {
  const unsent = session.stop();
  if (unsent) box.giveBack(unsent);
}

async function copy(button, text) {
  const icon = button.querySelector('use');
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return tell({ alarm: 'The browser did not allow to copy.' });
  }
  tell({ say: 'Copied' });
  icon.setAttribute('href', '#i-check');
  setTimeout(() => icon.setAttribute('href', '#i-copy'), 1600);
}
