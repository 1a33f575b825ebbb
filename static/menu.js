// The menu of the conversation: it leaves this browser as Markdown, or by a link.

import { shown } from './chat/conversation.js';
import { loadAll } from './chat/pages.js';
import { titleOf } from './chat/past.js';
import { session } from './chat/session.js';
import { fileName, toMarkdown } from './chat/transcript.js';
import { element, find } from './markdown/dom.js';

const loading = find('#loading', document, HTMLDialogElement);
const linkDialog = find('#link', document, HTMLDialogElement);
const linkField = find('#link-field', document, HTMLInputElement);

/** Save the conversation as a file, unless a person cancels that. */
export async function saveAsMarkdown() {
  const text = await wholeConversation();
  if (text === null) return;
  const url = URL.createObjectURL(new Blob([text], { type: 'text/markdown' }));
  const link = element('a', { href: url, download: fileName(title()) });
  link.dispatchEvent(new MouseEvent('click'));
  // Some browsers read it only after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** All of the conversation as Markdown; null if a person cancelled. */
export async function wholeConversation() {
  const cancelling = new AbortController();
  loading.onclose = () => cancelling.abort();
  const { loaded, earlier } = session.state.conversation;
  if (!loaded || earlier) loading.showModal();
  const isWhole = await loadAll(session, cancelling.signal, (count) => {
    find('#loading-count').textContent = `${count} so far`;
  });
  loading.onclose = null;
  loading.close();
  return isWhole ? toMarkdown(title(), shown(session.state.conversation)) : null;
}

/** @param {string} link */
export function showLink(link) {
  linkField.value = link;
  find('#link-local').hidden = !/^(localhost|127\.|\[::1\])/.test(location.hostname);
  linkDialog.showModal();
}

const title = () => titleOf(session.state.home) ?? 'New chat';
