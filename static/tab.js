// What the tab's title shows: the conversation, and how its reply is doing. A hidden page is not
// drawn, so this is called for each change.

import { isOpen, shown } from './chat/conversation.js';
import { titleOf } from './chat/past.js';
import { session } from './chat/session.js';

/** @import { State } from './chat/session.js' */

// Whether a reply has ended since the page was last looked at.
let unseen = false;

document.addEventListener('visibilitychange', drawTab);

/** @type {(state: State, before: State) => void} */
export function noteEnds({ conversation }, { conversation: before }) {
  if (!document.hidden) return;
  const open = new Set(shown(before).filter(isOpen).map(({ id }) => id));
  unseen ||= shown(conversation).some((turn) => open.has(turn.id) && !isOpen(turn));
  drawTab();
}

export function drawTab() {
  const { conversation, home } = session.state;
  const title = titleOf(home);
  const isWriting = shown(conversation).some(({ status }) => status === 'open');
  unseen &&= document.hidden;
  const mark = isWriting ? '… ' : unseen ? '● ' : '';
  const text = `${mark}${title ? `${title} · Pocket Chat` : 'Pocket Chat'}`;
  if (document.title !== text) document.title = text;
}
