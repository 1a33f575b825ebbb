// What the keys do.

/**
 * @typedef {object} Deeds
 * @property {() => boolean} sendsByEnter  whether Enter alone sends
 * @property {() => void} send
 * @property {(() => void)} editLast
 * @property {() => void} escape
 * @property {() => void} newChat
 */

/** @param {Deeds} deeds */
export function listenToKeys(deeds) {
  if (/Mac|iP/.test(navigator.platform)) {
    for (const button of document.querySelectorAll('button')) {
      button.title = button.title.replace('Ctrl+Shift+', '⌘⇧');
    }
  }
  document.addEventListener('keydown', (event) => {
    // The keys of an input method are not ours. 229 is how Safari marks them.
    if (event.isComposing || event.keyCode === 229) return;
    const deed = deedOf(event, deeds);
    if (!deed) return;
    deed();
    event.preventDefault();
  });
}

/** @type {(event: KeyboardEvent, deeds: Deeds) => (() => void) | null} */
function deedOf({ key, code, ctrlKey, metaKey, shiftKey, target }, deeds) {
  const command = ctrlKey || metaKey;
  if (target instanceof HTMLTextAreaElement) {
    const sends = command || (!shiftKey && deeds.sendsByEnter());
    if (key === 'Enter' && sends) return deeds.send;
    if (key === 'ArrowUp' && target.value === '') return deeds.editLast;
  }
  if (key === 'Escape' && !document.querySelector('dialog[open]')) return deeds.escape;
  return command && shiftKey && code === 'KeyO' ? deeds.newChat : null;
}
