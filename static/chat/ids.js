/** Not randomUUID(): it needs https, which a chat at home may not have. */
export function randomId() {
  const parts = crypto.getRandomValues(new Uint32Array(4));
  return Array.from(parts, (part) => part.toString(36)).join('-');
}

/**
 * Whether the server may have made this id.
 * @param {unknown} value
 */
export const isId = (value) => typeof value === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(value);
