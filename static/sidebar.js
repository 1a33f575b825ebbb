// The past conversations and the theme: in a sidebar where there is room, in a drawer elsewhere.

import { byDay } from './chat/days.js';
import { session } from './chat/session.js';
import { past, read, rename, titleOf, write } from './chat/storage.js';
import { copyOf, element, find, morph } from './markdown/dom.js';

/** @import { Past } from './chat/storage.js' */

const { dataset } = document.documentElement;
const app = find('#app');
const drawer = find('#drawer', document, HTMLDialogElement);
const nameField = find('#name', document, HTMLInputElement);
const wide = matchMedia('(min-width: 60rem)');
let drawn = '';

if (/Mac|iP/.test(navigator.platform)) find('#new-keys').textContent = '⌘⇧O';
wide.addEventListener('change', place);
place();
setClosed(read('sidebar-closed', false));

export function drawSidebar() {
  const { home } = session.state;
  // Another tab may have changed the theme or the list.
  dataset.theme = read('theme', dataset.theme);
  const now = JSON.stringify([home, dataset.theme, new Date().getDate(), past()]);
  if (now === drawn) return;
  drawn = now;
  for (const button of find('#themes').querySelectorAll('button')) {
    button.ariaPressed = String(button.value === dataset.theme);
  }
  const list = element('nav');
  for (const [day, items] of byDay(past())) {
    const nodes = items.map((item) => drawItem(item, home));
    list.append(element('h2', {}, day), element('ul', {}, ...nodes));
  }
  // Not anew: the focus would be lost.
  morph(find('#past'), list);
}

/** @type {(item: Past, home: string | null) => HTMLElement} */
function drawItem({ id, title }, home) {
  const item = copyOf('#past-item');
  const open = find('.open', item);
  item.dataset.id = id;
  open.textContent = title;
  open.title = title;
  if (id === home) open.setAttribute('aria-current', 'page');
  find('[data-do=rename]', item).ariaLabel = `Rename “${title}”`;
  find('[data-do=remove]', item).ariaLabel = `Delete “${title}”`;
  return item;
}

/** @param {string} id */
export function askForName(id) {
  const title = titleOf(id) ?? '';
  nameField.value = title;
  ask('#rename', () => rename(id, nameField.value.trim() || title));
  nameField.select();
}

/** @type {(id: string, remove: (id: string) => void) => void} */
export function askToRemove(id, remove) {
  find('#sure-name').textContent = titleOf(id) ?? '';
  ask('#sure', () => remove(id));
}

/** @type {(selector: string, confirmed: () => void) => void} */
function ask(selector, confirmed) {
  const dialog = find(selector, document, HTMLDialogElement);
  dialog.returnValue = '';
  dialog.onclose = () => {
    if (dialog.returnValue === 'yes') confirmed();
  };
  dialog.showModal();
}

/** @param {string} theme */
export function chooseTheme(theme) {
  dataset.theme = theme;
  write('theme', theme);
}

export function show() {
  if (wide.matches) setClosed(false);
  else drawer.showModal();
}

export function hide() {
  if (wide.matches) setClosed(true);
  closeDrawer();
}

export function closeDrawer() {
  drawer.close();
}

/** @param {boolean} closed */
function setClosed(closed) {
  app.classList.toggle('side-closed', closed);
  write('sidebar-closed', closed || null);
}

function place() {
  closeDrawer();
  find(wide.matches ? '#aside' : '#drawer').append(find('#side'));
}
