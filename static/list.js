// The list of past conversations: by day, filtered, and one stop of the Tab key, in which the arrow
// keys move.

import { byDay } from './chat/days.js';
import { matching } from './chat/filter.js';
import { past } from './chat/past.js';
import { session } from './chat/session.js';
import { copyOf, element, find } from './markdown/dom.js';

/** @import { Past } from './chat/past.js' */

// So many conversations can be looked through without a filter.
const FEW = 9;
const root = find('#past');
const filter = find('#filter', document, HTMLInputElement);
const noMatch = find('#no-match');
/** @type {Map<string, HTMLElement>} */
const rows = new Map();
/** @type {unknown[]} */
let drawn = [];
/** @type {unknown[]} */
let filtered = [];
// The conversation whose row the Tab key comes to.
/** @type {string | undefined} */
let stop;
/** @type {HTMLButtonElement | undefined} */
let stopButton;

filter.addEventListener('keydown', (event) => {
  if (event.key === 'ArrowDown') focusRow(rowsInOrder()[0]);
  else if (event.key === 'Escape' && filter.value !== '') filter.value = '';
  else return;
  // Escape would also stop a reply, and close the drawer.
  event.stopPropagation();
  event.preventDefault();
});
root.addEventListener('keydown', (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || !move(event.key)) return;
  event.preventDefault();
});
root.addEventListener('focusin', ({ target }) => {
  stop = rowOf(target)?.dataset.id;
  placeStop();
});

export function drawList() {
  const { home } = session.state;
  const all = past();
  filter.hidden = all.length <= FEW;
  if (filter.hidden) filter.value = '';
  const now = [all, home, new Date().toDateString()];
  if (differs(now, drawn)) drawRows(all, home);
  drawn = now;
  const filterNow = [all, filter.value];
  if (differs(filterNow, filtered)) hideOthers(all);
  filtered = filterNow;
}

/** @type {(values: unknown[], before: unknown[]) => boolean} */
const differs = (values, before) => values.some((value, index) => value !== before[index]);

/** @type {(all: Past[], home: string | null) => void} */
function drawRows(all, home) {
  const focused = document.activeElement;
  const place = rowsInOrder().findIndex((row) => row === rowOf(focused));
  const days = byDay(all).map(([day, items]) => drawDay(day, items, home));
  root.replaceChildren(...days);
  dropRows(all);
  find('#lives').hidden = all.length === 0;
  // A row that moved has lost the focus, and one that was deleted leaves it to the next.
  const order = rowsInOrder();
  if (focused instanceof HTMLElement && root.contains(focused)) focused.focus();
  else if (place >= 0) focusRow(order[place] ?? order.at(-1));
  placeStop();
}

/**
 * Hide the rows that do not match. None is removed: to insert a thousand again takes too long.
 * @param {Past[]} all
 */
function hideOthers(all) {
  const found = new Set(matching(all, filter.value).map(({ id }) => id));
  for (const [id, row] of rows) row.hidden = !found.has(id);
  for (const day of root.querySelectorAll('section')) {
    day.hidden = !day.querySelector('li:not([hidden])');
  }
  const remark = all.length > 0 && found.size === 0 ? 'No conversation matches.' : '';
  // Written again, it would be announced with each key.
  if (noMatch.textContent !== remark) noMatch.textContent = remark;
  placeStop();
}

/** @type {(day: string, items: Past[], home: string | null) => Element} */
function drawDay(day, items, home) {
  const nodes = items.map((item) => drawRow(item, home));
  // Safari takes a list without bullets for no list.
  const list = element('ul', { role: 'list', 'aria-label': day }, ...nodes);
  return element('section', {}, element('h2', {}, day), list);
}

/** @type {(item: Past, home: string | null) => HTMLElement} */
function drawRow({ id, title }, home) {
  const row = rows.get(id) ?? copyOf('#past-item');
  rows.set(id, row);
  const open = find('.open', row);
  open.ariaCurrent = id === home ? 'page' : null;
  if (open.title === title) return row;
  row.dataset.id = id;
  open.textContent = title;
  open.title = title;
  find('[data-do=rename]', row).ariaLabel = `Rename “${title}”`;
  find('[data-do=remove]', row).ariaLabel = `Delete “${title}”`;
  return row;
}

/** @param {Past[]} all */
function dropRows(all) {
  if (rows.size === all.length) return;
  const ids = new Set(all.map(({ id }) => id));
  for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
}

/** The Tab key comes to the row that last had the focus, or to the open one, or to the first. */
function placeStop() {
  const order = rowsInOrder();
  const wanted = [stop, session.state.home].map((id) => rows.get(id ?? ''));
  const row = wanted.find((each) => each && !each.hidden) ?? order[0];
  const button = row && buttonsOf(row)[0];
  if (button === stopButton) return;
  if (stopButton) stopButton.tabIndex = -1;
  if (button) button.tabIndex = 0;
  stopButton = button;
}

/**
 * Up and down from row to row, left and right among the buttons of one.
 * @param {string} key
 */
function move(key) {
  const row = rowOf(document.activeElement);
  if (!row) return false;
  const order = rowsInOrder();
  const at = order.indexOf(row);
  const buttons = buttonsOf(row);
  const button = buttons.findIndex((each) => each === document.activeElement);
  switch (key) {
    case 'ArrowDown':
      return focusRow(order[at + 1], button);
    case 'ArrowUp':
      if (at === 0 && !filter.hidden) filter.focus();
      return focusRow(order[at - 1], button);
    case 'Home':
      return focusRow(order[0]);
    case 'End':
      return focusRow(order.at(-1));
    case 'ArrowRight':
      return focusRow(row, Math.min(button + 1, buttons.length - 1));
    case 'ArrowLeft':
      return focusRow(row, Math.max(button - 1, 0));
    default:
      return false;
  }
}

/** @type {(row: Element | undefined, button?: number) => boolean} */
function focusRow(row, button = 0) {
  if (row) buttonsOf(row)[button].focus();
  return true;
}

/** @param {EventTarget | null} node */
function rowOf(node) {
  return node instanceof Element ? node.closest('li') : null;
}

const rowsInOrder = () => [...root.querySelectorAll('li:not([hidden])')];

/** @param {Element} row */
const buttonsOf = (row) => [...row.querySelectorAll('button')];
