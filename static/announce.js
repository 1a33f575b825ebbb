// News for a person: announced, and where nothing else on the page shows it, shown for a while.

import { find } from './markdown/dom.js';

/** @import { News } from './chat/news.js' */

// ms
const SHOWN = 6_000;
const toast = find('#toast');
let timer = 0;

/**
 * Have a screen reader read it out.
 * @param {News} news
 */
export function announce({ notice, alarm }) {
  if (notice) find('#say').textContent = notice;
  if (alarm) find('#alarm').textContent = alarm;
}

/**
 * Announce it, and show it over the message box.
 * @param {News} news
 */
export function notify(news) {
  announce(news);
  clearTimeout(timer);
  toast.textContent = news.alarm ?? news.notice ?? '';
  toast.hidden = false;
  timer = setTimeout(() => {
    toast.hidden = true;
  }, SHOWN);
}

/** @param {News} news  of a button that shows its success itself */
export function report(news) {
  if (news.alarm) notify(news);
  else announce(news);
}
