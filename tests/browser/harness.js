import { followEnd } from '/static/follow.js';
import { highlight } from '/static/markdown/highlight.js';
import { streamMarkdown } from '/static/markdown/stream.js';
import { loadMarkdown } from '/static/markdown/tokens.js';
import { hasRawHtml, shape, shapeOfHtml } from '/shape.js';

window.violations = [];
document.addEventListener('securitypolicyviolation', event => violations.push(event.violatedDirective));

/** A view in `root` that shows all it is given at once: paint(text), finish(text). */
window.paintedView = (root = document.createElement('div'), onCode = undefined) => {
  const view = streamMarkdown(root, onCode);
  const paint = text => {
    view.write(text);
    view.paint();
  };
  const finish = text => {
    view.finish(text);
    while (!view.isDone()) view.paint();
  };
  return { root, paint, finish };
};

/** Renders `text`, painted whenever it has grown to one of `lengths`. */
window.render = (text, lengths = [], onCode = undefined) => {
  const { root, paint, finish } = paintedView(undefined, onCode);
  for (const length of lengths) paint(text.slice(0, length));
  finish(text);
  return root;
};

window.everyLength = (text, step = 1) =>
  Array.from({ length: Math.floor(text.length / step) }, (_, n) => (n + 1) * step);

/** The lengths at which `text` may be cut in two, or "letters", where streaming ends in another DOM. */
window.differences = text => {
  const whole = render(text);
  const cuts = everyLength(text).filter(length => !render(text, [length]).isEqualNode(whole));
  const letters = render(text, everyLength(text)).isEqualNode(whole);
  return letters ? cuts : [...cuts, 'letters'];
};

const PLAIN = 'p br hr h1 h2 h3 h4 h5 h6 em strong s sub sup kbd ul li blockquote table thead tbody tr figcaption';
const ALLOWED = {
  a: ['href', 'rel', 'target', 'title', 'class'], button: ['type', 'data-do'], code: ['class'],
  div: ['class', 'tabindex', 'role', 'aria-label'], figure: ['class'],
  input: ['type', 'disabled', 'checked', 'aria-label'], ol: ['start'],
  pre: ['tabindex', 'role', 'aria-label'], span: ['class', 'tabindex', 'role', 'aria-label'],
  svg: ['class', 'aria-hidden'], td: ['data-align'], th: ['data-align'], use: ['href'],
  ...Object.fromEntries(PLAIN.split(' ').map(tag => [tag, []])),
};
const ANYWHERE = ['dir', 'data-source', 'data-set'];
const MUST_BE = {
  a: node => !node.hasAttribute('href') || /^(https?:\/\/|mailto:)/.test(node.getAttribute('href')),
  button: node => node.matches('figure > figcaption > button[type=button]'),
  input: node => node.matches('li input[type=checkbox][disabled]'),
  svg: node => node.matches('figcaption > button > svg'),
  use: node => node.getAttribute('href') === '#i-copy',
};

/** Whatever Markdown has no need of: elements, attributes, and addresses that lead astray. */
window.forbidden = root => [...root.querySelectorAll('*')].flatMap(node => {
  // Formulas have a test of their own.
  if (node.closest('math')) return [];
  const allowed = ALLOWED[node.localName];
  if (!allowed || MUST_BE[node.localName]?.(node) === false) return [node.outerHTML];
  return node.getAttributeNames().filter(name => !ANYWHERE.includes(name) && !allowed.includes(name));
});

window.frame = () => new Promise(resolve => requestAnimationFrame(resolve));

const parser = await loadMarkdown();
Object.assign(window, { followEnd, streamMarkdown, highlight, parser, shape, shapeOfHtml, hasRawHtml });
window.ready = true;
