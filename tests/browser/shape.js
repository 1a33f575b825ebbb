/**
 * What a reader gets from rendered Markdown, as one string. The page differs from the specification's HTML on
 * purpose, and this is the whole list: an image is a link with its text (inside a link, just the text); an
 * address that is not absolute http, https or mailto is left out; code stands in a figure.
 */
const BLOCKS = 'p|ul|ol|li|blockquote|h[1-6]|hr|pre|br';

export function shape(root) {
  const around = new RegExp(`\\s*(</?(?:${BLOCKS})(?: [^>]*)?>)\\s*`, 'g');
  return [...root.childNodes].map(describe).join('').replace(around, '$1').trim();
}

function describe(node) {
  if (node.nodeType === Node.TEXT_NODE) return escape(node.data);
  const inside = () => [...node.childNodes].map(describe).join('');
  const tag = node.localName;
  if (node.matches('figure.code')) return describe(node.querySelector('pre'));
  if (node.matches('pre > code')) return `${node.className}:${JSON.stringify(escape(node.textContent))}`;
  if (node.matches('.image')) return `[${inside()}|${node.getAttribute('href') ?? ''}]`;
  const source = () => node.closest('a') ? '' : absolute(node, 'src');
  if (tag === 'img') return `[${escape(node.alt || 'image')}|${source()}]`;
  const facts = tag === 'a' ? [absolute(node, 'href'), node.title] : [node.getAttribute('start')];
  const open = [tag, ...facts.filter(Boolean).map(escape)].join(' ');
  return `<${open}>${inside()}</${tag}>`;
}

function absolute(node, attribute) {
  const address = node.getAttribute(attribute) ?? '';
  return /^(https?|mailto):/i.test(address) ? new URL(address).href : '';
}

const escape = text => text.replace(/[&<>]/g, character => `&#${character.charCodeAt(0)};`);

/** What the specification expects. Only without a policy, since it parses HTML text. */
export const shapeOfHtml = html => shape(new DOMParser().parseFromString(html, 'text/html').body);

export const hasRawHtml = markdown => {
  const tokens = new parser.constructor({ html: true }).parse(markdown, {});
  return tokens.flatMap(token => [token, ...token.children ?? []]).some(token => /^html_/.test(token.type));
};
