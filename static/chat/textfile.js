// The text of a file as a message has it. Pure.

const ENCODINGS = ['utf-8', 'utf-16le', 'utf-16be'];

/**
 * The text in these bytes, or null if they are no text. Bytes that are not `whole` may end in the
 * middle of a character.
 * @type {(bytes: Uint8Array<ArrayBuffer>, whole?: boolean) => string | null}
 */
export function decode(bytes, whole = true) {
  const [first, second] = bytes;
  // Without a mark at its beginning it is UTF-8.
  const marked = first === 0xff && second === 0xfe ? 1 : first === 0xfe && second === 0xff ? 2 : 0;
  try {
    const decoder = new TextDecoder(ENCODINGS[marked], { fatal: true });
    const text = decoder.decode(bytes, { stream: !whole });
    return text.includes('\0') ? null : text.replace(/\r\n?/g, '\n');
  } catch {
    return null;
  }
}

/**
 * A code block with the name of the file. Its fence is longer than any in the text.
 * @param {string} name
 * @param {string} text
 */
export function fenced(name, text) {
  const runs = text.match(/`{3,}/g) ?? [];
  const fence = '`'.repeat(Math.max(3, ...runs.map((run) => run.length + 1)));
  // Backticks or a line break in the name would end the fence's line.
  const info = name.replace(/[`\s]+/g, ' ').trim();
  return `${fence}${info}\n${text}${text.endsWith('\n') ? '' : '\n'}${fence}`;
}
