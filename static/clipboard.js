// Copying a reply, or code in it.

import { find } from './markdown/dom.js';

/** @import { News } from './chat/news.js' */

// ms that a copy button shows a check mark.
const COPIED = 1600;

/** @type {(button: HTMLButtonElement, text: string) => Promise<News>} */
export async function copy(button, text) {
  const icon = find('use', button, SVGUseElement);
  const label = button.lastChild;
  /** @type {(href: string, word: string) => void} */
  const show = (href, word) => {
    icon.setAttribute('href', href);
    if (label instanceof Text) label.data = word;
  };
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return { alarm: 'The browser blocked copying.' };
  }
  show('#i-check', 'Copied');
  setTimeout(show, COPIED, '#i-copy', 'Copy');
  return { notice: 'Copied' };
}
