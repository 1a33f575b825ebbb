// What a screen reader announces.

import { session } from './chat/session.js';
import { find } from './markdown/dom.js';

/** @import { News } from './chat/news.js' */

/** @param {News} news */
export function announce({ notice, alarm }) {
  if (notice) find('#say').textContent = notice;
  if (alarm) find('#alarm').textContent = alarm;
}

/** @param {News} news  of what a person did: a problem also shows, under the message box */
export function report({ notice, alarm }) {
  announce({ notice });
  if (alarm) session.warn(alarm);
}
