import { shape } from '/shape.js';
import MarkdownIt from '/vendor/markdown-it/markdown-it.esm.min.mjs';

window.shapeOfHtml = html => shape(new DOMParser().parseFromString(html, 'text/html').body);

window.hasRawHtml = markdown => {
  const tokens = new MarkdownIt({ html: true }).parse(markdown, {});
  return tokens.flatMap(token => [token, ...token.children ?? []]).some(token => /^html_/.test(token.type));
};
window.ready = true;
