// Code colours without markup: token ranges in the CSS Custom Highlight API.

/** @import { ShjLanguage } from '@speed-highlight/core' */

/** @typedef {[style: string, range: StaticRange]} Colour */

/** @type {Record<string, string>} */
const OTHER_NAMES = {
  bash: 'console sh shell zsh',
  c: 'c++ cpp h',
  docker: 'dockerfile',
  go: 'golang',
  html: 'htm',
  js: 'javascript jsx mjs',
  make: 'makefile',
  md: 'markdown',
  pl: 'perl',
  py: 'python',
  rs: 'rust',
  ts: 'tsx typescript',
  xml: 'svg',
  yaml: 'yml',
};
/** @type {Record<string, string>} */
const STYLES = {
  kwd: 'keyword',
  deleted: 'deleted',
  section: 'keyword',
  str: 'string',
  insert: 'string',
  num: 'number',
  bool: 'number',
  func: 'title',
  class: 'title',
  type: 'title',
  cmnt: 'comment',
};

/** @type {WeakMap<Element, Promise<Colour[]>>} */
const coloured = new WeakMap();

// The browser checks each range again in each frame that changes the page: in a long conversation
// those out of sight would cost more than all else. Code that is removed counts as out of sight.
const sight = new IntersectionObserver((entries) => entries.forEach(show), { scrollMargin: '50%' });

// There each range is an inverse box, whatever the style sheet says. Accepted: when they are
// switched off, code has no colours until it comes into sight again.
const forcedColors = matchMedia('(forced-colors: active)');
forcedColors.addEventListener('change', () => CSS.highlights.clear());

/**
 * Colour code while it is in sight.
 * @param {Element} code
 */
export function colour(code) {
  sight.observe(code);
}

/** @param {IntersectionObserverEntry} entry */
async function show({ target: code, isIntersecting }) {
  let colours = coloured.get(code);
  if (!colours) {
    if (!isIntersecting) return;
    colours = coloursOf(code).catch(() => []);
    coloured.set(code, colours);
  }
  for (const [style, range] of await colours) {
    const ranges = CSS.highlights.get(style) ?? new Highlight();
    if (ranges.size === 0) CSS.highlights.set(style, ranges);
    if (isIntersecting && !forcedColors.matches) ranges.add(range);
    else ranges.delete(range);
  }
}

/** @param {Element} code */
async function coloursOf(code) {
  const { tokenize } = await import('../../vendor/speed-highlight/index.js');
  await idle();
  const name = code.className.replace('language-', '').toLowerCase();
  const languages = Object.keys(OTHER_NAMES);
  const language = languages.find((other) => OTHER_NAMES[other].split(' ').includes(name)) ?? name;
  /** @type {Colour[]} */
  const colours = [];
  const placeOf = placesIn(code);
  let offset = 0;
  await tokenize(code.textContent, /** @type {ShjLanguage} */ (language), (token, type) => {
    const [startContainer, startOffset] = placeOf(offset);
    offset += token.length;
    const [endContainer, endOffset] = placeOf(offset);
    if (!token || !type || !STYLES[type]) return;
    const range = { startContainer, startOffset, endContainer, endOffset };
    colours.push([STYLES[type], new StaticRange(range)]);
  });
  return colours;
}

/** Safari has no requestIdleCallback. */
function idle() {
  return new Promise((resolve) => {
    if ('requestIdleCallback' in globalThis) requestIdleCallback(resolve, { timeout: 500 });
    else setTimeout(resolve);
  });
}

/**
 * A function from an offset, never less than the one before, to a text node and the offset in it.
 * @param {Element} code
 * @returns {(offset: number) => [Text, number]}
 */
function placesIn(code) {
  const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  const next = () => /** @type {Text} */ (texts.nextNode());
  let text = next();
  let before = 0;
  return (offset) => {
    while (offset > before + text.length) {
      before += text.length;
      text = next();
    }
    return [text, offset - before];
  };
}
