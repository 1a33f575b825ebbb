// The past conversations and the colours: in a sidebar where there is room, in a drawer elsewhere.

import { element, morph } from './dom.js';
import { byDay, past, read, rename, titleOf, write } from './kept.js';
import { home } from './session.js';

const $ = (id) => document.getElementById(id);
const { dataset } = document.documentElement;
const wide = matchMedia('(min-width: 60rem)');
let drawn = '';

if (/Mac|iP/.test(navigator.platform)) $('new-keys').textContent = '⌘⇧O';
wide.addEventListener('change', place);
place();
setClosed(read('sidebar-closed', false));

export function drawSidebar() {
  dataset.theme = read('theme', dataset.theme); // Another tab may have changed it, or the list.
  const now = JSON.stringify([home, dataset.theme, new Date().getDate(), past()]);
  if (now === drawn) return;
  drawn = now;
  for (const button of $('themes').children) button.ariaPressed = String(button.value === dataset.theme);
  const list = element('nav');
  for (const [day, items] of byDay(past())) {
    list.append(element('h2', {}, day), element('ul', {}, ...items.map(drawItem)));
  }
  morph($('past'), list); // Not anew: the focus would be lost.
}

function drawItem({ id, title }) {
  const item = $('past-item').content.firstElementChild.cloneNode(true);
  const [open, edit, bin] = item.children;
  item.dataset.id = id;
  open.textContent = open.title = title;
  if (id === home) open.setAttribute('aria-current', 'page');
  edit.ariaLabel = `Rename “${title}”`;
  bin.ariaLabel = `Delete “${title}”`;
  return item;
}

export function askForName(id) {
  $('name').value = titleOf(id);
  ask($('rename'), () => rename(id, $('name').value.trim() || titleOf(id)));
  $('name').select();
}

export function askToRemove(id, remove) {
  $('sure-name').textContent = titleOf(id);
  ask($('sure'), () => remove(id));
}

function ask(dialog, act) {
  dialog.returnValue = '';
  dialog.onclose = () => dialog.returnValue === 'yes' && act();
  dialog.showModal();
}

export function chooseTheme(theme) {
  dataset.theme = theme;
  write('theme', theme);
}

export function show() {
  if (wide.matches) setClosed(false);
  else $('drawer').showModal();
}

export function hide() {
  if (wide.matches) setClosed(true);
  $('drawer').close();
}

function setClosed(closed) {
  $('app').classList.toggle('side-closed', closed);
  write('sidebar-closed', closed || null);
}

function place() {
  $('drawer').close();
  $(wide.matches ? 'aside' : 'drawer').append($('side'));
}
