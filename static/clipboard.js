// Copying a reply, or code in it.

import { find } from './markdown/dom.js';

/** @import { News } from './chat/news.js' */

// ms that a button shows that it copied.
const COPIED = 1600;

/** @type {(button: HTMLButtonElement, text: string) => Promise<News>} */
export async function copy(button, text) {
  const news = await copyText(text);
  // A second click within the time would take “Copied” for the button's own text.
  if (!news.alarm && button.dataset.copied === undefined) showCopied(button);
  return news;
}

/** @type {(text: string) => Promise<News>} */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return { alarm: 'The browser blocked copying. Select the text and copy it by hand.' };
  }
  return { notice: 'Copied' };
}

/** @param {HTMLButtonElement} button */
function showCopied(button) {
  const icon = find('use', button, SVGUseElement);
  // A button that is only an icon has a name, and no text.
  const name = button.ariaLabel;
  const label = button.lastChild instanceof Text ? button.lastChild : new Text();
  const usual = label.data;
  button.append(label);
  button.dataset.copied = '';
  icon.setAttribute('href', '#i-check');
  label.data = 'Copied';
  // What a person reads and what one hears must be the same.
  if (name) button.ariaLabel = 'Copied';
  setTimeout(() => {
    delete button.dataset.copied;
    icon.setAttribute('href', '#i-copy');
    label.data = usual;
    if (!name) return;
    button.ariaLabel = name;
    label.remove();
  }, COPIED);
}
