// All of the open conversation: its earlier turns come in pages.

/** @import { Session } from './session.js' */
/** @import { Turn } from './conversation.js' */

/**
 * Load all earlier turns. Resolves to false if `signal` ends it, or another conversation is opened.
 * @param {Session} session
 * @param {AbortSignal} signal
 * @param {(count: number) => void} progress  called with the number of turns that are here
 * @returns {Promise<boolean>}
 */
export function loadAll(session, signal, progress) {
  const { home } = session.state;
  return new Promise((resolve) => {
    const unsubscribe = session.subscribe(step);
    signal.addEventListener('abort', () => end(false), { once: true });
    step();

    function step() {
      const { conversation } = session.state;
      if (session.state.home !== home) return end(false);
      if (conversation.loaded && !conversation.earlier) return end(true);
      progress(conversation.turns.length);
      session.loadEarlier();
    }

    /** @param {boolean} complete */
    function end(complete) {
      unsubscribe();
      resolve(complete);
    }
  });
}
