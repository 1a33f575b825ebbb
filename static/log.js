// The log of the conversation: its end is followed, and earlier turns come before a reader misses
// them.

import { session } from './chat/session.js';
import { followEnd } from './follow.js';
import { find } from './markdown/dom.js';

// px to the top of the log: the page of earlier messages has time to come.
const NEAR_TOP = 600;
const log = find('#log');
const down = find('#down');

export const end = followEnd(log, find('#turns'), ({ following, unseen }) => {
  down.hidden = following;
  down.classList.toggle('fresh', unseen);
});

export function loadNearTop() {
  if (!end.following && log.scrollTop < NEAR_TOP) session.loadEarlier();
}
