// Connects to the server, while the rest of the page is still loading, and again whenever the page
// comes back. The first conversation is that of history.state: see travel.js.

import { isId } from './chat/ids.js';
import { titleOf } from './chat/past.js';
import { session } from './chat/session.js';
import { endOpening, readOpen } from './chat/storage.js';
import { showLoginIfAsked } from './login.js';

const url = new URL('ws', location.href.replace(/^http/, 'ws')).href;
session.start(url, showLoginIfAsked, first());

// The old socket belongs to the old network.
addEventListener('online', () => session.reconnect());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) session.wake();
});
// An open socket would exclude the page from the back/forward cache.
addEventListener('pagehide', () => {
  session.disconnect();
  endOpening(session.state.home);
});
addEventListener('pageshow', ({ persisted }) => {
  if (persisted) session.wake();
});

function first() {
  const { linked, conversation } = history.state ?? {};
  if (isId(linked)) return linked;
  if (conversation === null || titleOf(conversation)) return conversation;
  return readOpen();
}
