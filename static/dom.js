// Making nodes, and changing them in place, so that what is selected, focused or coloured in them stays so.

const NAMESPACES = { svg: 'http://www.w3.org/2000/svg', use: 'http://www.w3.org/2000/svg' };

export function element(tag, attributes = {}, ...children) {
  const node = document.createElementNS(NAMESPACES[tag] ?? 'http://www.w3.org/1999/xhtml', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Make the nodes of `parent`, from `old` on, like those of `wanted`, keeping each that can be kept. */
export function morph(parent, wanted, old = parent.firstChild) {
  for (const node of [...wanted.childNodes]) {
    const next = old?.nextSibling;
    if (!old) parent.append(node);
    else if (old.nodeName !== node.nodeName) old.replaceWith(node);
    else if (old.nodeType === Node.TEXT_NODE) changeText(old, node.data);
    else {
      for (const { name } of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name);
      for (const { name, value } of node.attributes) {
        if (old.getAttribute(name) !== value) old.setAttribute(name, value);
      }
      morph(old, node);
    }
    old = next;
  }
  while (old) {
    const next = old.nextSibling;
    old.remove();
    old = next;
  }
}

/** Replace only what differs: a selection before it stays. */
export function changeText(node, text) {
  const old = node.data;
  let same = text.startsWith(old) ? old.length : 0;
  while (same < old.length && old[same] === text[same]) same += 1;
  if (text !== old) node.replaceData(same, old.length - same, text.slice(same));
}
