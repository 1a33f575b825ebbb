// What is beside the conversation: in a sidebar where there is room, in a drawer elsewhere. And the
// questions about a past conversation.

import { rename, titleOf } from './chat/past.js';
import { read, write } from './chat/storage.js';
import { find } from './markdown/dom.js';

const { dataset } = document.documentElement;
const app = find('#app');
const drawer = find('#drawer', document, HTMLDialogElement);
const nameField = find('#name', document, HTMLInputElement);
const wide = matchMedia('(min-width: 60rem)');

if (/Mac|iP/.test(navigator.platform)) find('#new-keys').textContent = '⌘⇧O';
wide.addEventListener('change', place);
place();
setClosed(read('sidebar-closed', false));

export function drawThemes() {
  // Another tab may have changed the theme.
  dataset.theme = read('theme', dataset.theme);
  for (const button of find('#themes').querySelectorAll('button')) {
    const pressed = String(button.value === dataset.theme);
    if (button.ariaPressed !== pressed) button.ariaPressed = pressed;
  }
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
