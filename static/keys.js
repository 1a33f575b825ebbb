// What the keys do.

/**
 * @typedef {object} Actions
 * @property {() => boolean} sendsByEnter  whether Enter alone sends
 * @property {() => void} send
 * @property {(() => void)} editLast
 * @property {() => void} escape
 * @property {() => void} newChat
 * @property {(step: -1 | 1) => void} goToQuestion
 */

/** @param {Actions} actions */
export function listenToKeys(actions) {
  if (/Mac|iP/.test(navigator.platform)) {
    for (const button of document.querySelectorAll('button')) {
      button.title = button.title.replace('Ctrl+Shift+', '⌘⇧');
    }
  }
  document.addEventListener('keydown', (event) => {
    // The keys of an input method are not ours. 229 is how Safari marks them.
    if (event.isComposing || event.keyCode === 229) return;
    const action = actionOf(event, actions);
    if (!action) return;
    action();
    event.preventDefault();
  });
}

/** @type {(event: KeyboardEvent, actions: Actions) => (() => void) | null} */
function actionOf(event, actions) {
  const { key, code, ctrlKey, metaKey, shiftKey, target } = event;
  const command = ctrlKey || metaKey;
  const step = stepOf(event);
  if (step) return () => actions.goToQuestion(step);
  if (target instanceof HTMLTextAreaElement) {
    const sends = command || (!shiftKey && actions.sendsByEnter());
    if (key === 'Enter' && sends) return actions.send;
    if (key === 'ArrowUp' && target.value === '') return actions.editLast;
  }
  if (key === 'Escape' && !document.querySelector('dialog[open], :popover-open')) return actions.escape;
  return command && shiftKey && code === 'KeyO' ? actions.newChat : null;
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
