// What the keys do.

/**
 * @typedef {object} Deeds
 * @property {() => boolean} sendsByEnter  whether Enter alone sends
 * @property {() => void} send
 * @property {(() => void)} editLast
 * @property {() => void} escape
 * @property {() => void} newChat
 * @property {(step: -1 | 1) => void} goToQuestion
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
function deedOf(event, deeds) {
  const { key, code, ctrlKey, metaKey, shiftKey, target } = event;
  const command = ctrlKey || metaKey;
  const step = stepOf(event);
  if (step) return () => deeds.goToQuestion(step);
  if (target instanceof HTMLTextAreaElement) {
    const sends = command || (!shiftKey && deeds.sendsByEnter());
    if (key === 'Enter' && sends) return deeds.send;
    if (key === 'ArrowUp' && target.value === '') return deeds.editLast;
  }
  if (key === 'Escape' && !document.querySelector('dialog[open], :popover-open')) return deeds.escape;
  return command && shiftKey && code === 'KeyO' ? deeds.newChat : null;
}

/**
 * Which way a key goes: -1 to the question before, 1 to the next, 0 nowhere.
 * @param {KeyboardEvent} event
 */
function stepOf({ key, altKey, ctrlKey, metaKey, shiftKey, target }) {
  if (!altKey || ctrlKey || metaKey || shiftKey || document.querySelector('dialog[open]')) return 0;
  // There, these keys go from paragraph to paragraph.
  const isText = target instanceof HTMLTextAreaElement && target.value !== '';
  if (isText && /Mac|iP/.test(navigator.platform)) return 0;
  return key === 'ArrowUp' ? -1 : key === 'ArrowDown' ? 1 : 0;
}
