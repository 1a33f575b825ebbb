// Text files that are dropped on the page go into the message box. The browser never opens what
// is dropped here in place of the chat.

import { decode, fenced } from './chat/textfile.js';

// Bytes. No message is that long, so the rest is not read.
const LARGEST = 1024 * 1024;

/**
 * @typedef {object} Target
 * @property {HTMLElement} box  shows that the files can be dropped
 * @property {(block: string) => boolean} insert  returns false if there is no room for it
 * @property {(sentence: string) => void} refuse
 * @property {() => number} limit  characters in a message
 */

/** @param {Target} target */
export function acceptDroppedFiles({ box, insert, refuse, limit }) {
  addEventListener('dragover', (event) => {
    if (isText(event)) return;
    event.preventDefault();
    box.classList.toggle('accepting', hasFiles(event));
    if (event.dataTransfer) event.dataTransfer.dropEffect = hasFiles(event) ? 'copy' : 'none';
  });
  addEventListener('dragleave', ({ relatedTarget }) => {
    if (!relatedTarget) box.classList.remove('accepting');
  });
  addEventListener('drop', async (event) => {
    box.classList.remove('accepting');
    if (isText(event)) return;
    event.preventDefault();
    // The list is empty once this handler has waited for something.
    for (const file of [...(event.dataTransfer?.files ?? [])]) {
      const problem = await add(file);
      if (problem) refuse(`“${file.name}” ${problem}`);
    }
  });

  /** @param {File} file */
  async function add(file) {
    const text = await read(file);
    if (text === null) return 'is not a text file. Only text can be added.';
    if (text === '') return 'is empty, so there is nothing to add.';
    if (file.size <= LARGEST && insert(fenced(file.name, text))) return '';
    return `is too long. A message can have ${limit().toLocaleString('en')} characters.`;
  }
}

/** @param {DragEvent} event */
const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes('Files') ?? false;

/**
 * The browser itself puts words that are dragged into a text field.
 * @param {DragEvent} event
 */
function isText(event) {
  const { target } = event;
  return !hasFiles(event) && target instanceof Element && target.matches('textarea, input');
}

/**
 * The text of a file; null if it has none, as a picture or a folder.
 * @type {(file: File) => Promise<string | null>}
 */
async function read(file) {
  try {
    const bytes = await file.slice(0, LARGEST).arrayBuffer();
    return decode(new Uint8Array(bytes), file.size <= LARGEST);
  } catch {
    return null;
  }
}
