// What formats replies. The first sight of a conversation does not wait for it.

import { formatReplies, showPlain } from './markdown/reply.js';

/** Load it, and format all replies. */
export async function loadFormatting() {
  try {
    const [{ streamMarkdown }, { highlight }, { loadMarkdown }] = await Promise.all([
      import('./markdown/stream.js'),
      import('./markdown/highlight.js'),
      import('./markdown/tokens.js'),
    ]);
    await loadMarkdown();
    formatReplies((root) => streamMarkdown(root, highlight));
  } catch {
    // Accepted: they stay plain until the page is loaded again.
    formatReplies(showPlain);
  }
}
