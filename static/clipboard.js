// Copying a reply, or code in it.

import { find } from './markdown/dom.js';

/** @import { News } from './chat/news.js' */

// ms that a copy button shows a check mark.
const COPIED = 1600;

/** @type {(button: HTMLButtonElement, text: string) => Promise<News>} */
export async function copy(button, text) {
  const icon = find('use', button, SVGUseElement);
  const news = await copyText(text);
  if (news.alarm) return news;
  icon.setAttribute('href', '#i-check');
  setTimeout(() => icon.setAttribute('href', '#i-copy'), COPIED);
  return news;
}

/** @type {(text: string) => Promise<News>} */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return { alarm: 'The browser blocked copying.' };
  }
  return { notice: 'Copied' };
}
