// Code colours without markup: token ranges in the CSS Custom Highlight API. Long code stays plain.

const LONGEST_CODE = 30_000;
const LONG_LINE = /[^\n]{401}/; // The grammars are regular expressions, quadratic on such lines.
const OTHER_NAMES = Object.entries({
  bash: 'console sh shell zsh', c: 'c++ cpp h', docker: 'dockerfile', go: 'golang', html: 'htm',
  js: 'javascript jsx mjs', make: 'makefile', md: 'markdown', pl: 'perl', py: 'python', rs: 'rust', ts: 'tsx typescript',
  xml: 'svg', yaml: 'yml',
});
const STYLES = {
  kwd: 'keyword', deleted: 'keyword', section: 'keyword', str: 'string', insert: 'string', num: 'number',
  bool: 'number', func: 'title', class: 'title', type: 'title', cmnt: 'comment',
};
const coloured = new WeakMap(); // code: a promise of its ranges, each with its style

// The browser looks at each range again in each frame that changes the page: in a long conversation those out
// of sight would cost more than all else. Code that is removed counts as out of sight.
const sight = new IntersectionObserver((entries) => entries.forEach(seen), { scrollMargin: '50%' });

/** Colour a finished <code class="language-..."> while it is in sight, if the library knows its language. */
export function highlight(code) {
  const text = code.textContent;
  if (!code.className || text.length > LONGEST_CODE || LONG_LINE.test(text)) return;
  if (globalThis.CSS?.highlights) sight.observe(code);
}

async function seen({ target: code, isIntersecting }) {
  if (!coloured.has(code)) {
    if (!isIntersecting) return;
    coloured.set(code, rangesIn(code).catch(() => []));
  }
  for (const [style, range] of await coloured.get(code)) {
    if (!CSS.highlights.has(style)) CSS.highlights.set(style, new Highlight());
    CSS.highlights.get(style)[isIntersecting ? 'add' : 'delete'](range);
  }
}

async function rangesIn(code) {
  const { tokenize } = await import('/vendor/speed-highlight/index.js');
  await new Promise((resolve) => (globalThis.requestIdleCallback ?? setTimeout)(resolve, { timeout: 500 }));
  const name = code.className.replace('language-', '').toLowerCase();
  const language = OTHER_NAMES.find(([, others]) => others.split(' ').includes(name))?.[0] ?? name;
  const ranges = [];
  const place = placesIn(code);
  let offset = 0;
  await tokenize(code.textContent, language, (token, type) => {
    const [startContainer, startOffset] = place(offset);
    const [endContainer, endOffset] = place((offset += token.length));
    const range = { startContainer, startOffset, endContainer, endOffset };
    if (token && STYLES[type]) ranges.push([STYLES[type], new StaticRange(range)]);
  });
  return ranges;
}

/** Says for an offset, never less than the one before, in which text node it is and where. */
function placesIn(code) {
  const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  let before = 0;
  let text = texts.nextNode();
  return (offset) => {
    while (offset > before + text.length) {
      before += text.length;
      text = texts.nextNode();
    }
    return [text, offset - before];
  };
}
