// Which code gets colours. What colours it is loaded when the first such code is finished.

const LONGEST_CODE = 30_000;
// The grammars are regular expressions, quadratic on such lines.
const LONG_LINE = /[^\n]{401}/;

/**
 * Colour a finished <code class="language-...">.
 * @param {Element} code
 */
export async function highlight(code) {
  const text = code.textContent;
  if (!code.className || text.length > LONGEST_CODE || LONG_LINE.test(text)) return;
  if (!globalThis.CSS?.highlights) return;
  const { colour } = await import('./colours.js');
  colour(code);
}
