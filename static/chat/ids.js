/** Not randomUUID(): it needs https, which a chat at home may not have. */
export function randomId() {
  const parts = crypto.getRandomValues(new Uint32Array(4));
  return Array.from(parts, (part) => part.toString(36)).join('-');
}
