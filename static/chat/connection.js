// One WebSocket that stays open: it comes back after a loss, and treats a refusal as final. It
// stores no messages: what must survive a loss is the session's to store and to send again.

/** @typedef {import('./conversation.js').Frame} Frame */

/**
 * How the connection is doing, as far as a person should notice: a loss of less than a second
 * stays 'open'.
 * @typedef {'connecting' | 'open' | 'reconnecting' | 'offline' | 'busy' | 'refused'} Network
 */

/**
 * @typedef {object} Handlers
 * @property {() => object} hello  the first frame to send on each socket
 * @property {() => boolean} isReading  whether somebody waits for the rest of a reply
 * @property {(frame: Frame) => void} received
 * @property {(code?: number) => void} closed  called for each loss
 * @property {() => void} failed  called when a socket could not be opened: refused, or no network
 * @property {(network: Network) => void} changed
 */

// ms, doubled by each failure. The real wait is a random part of it ("full jitter"), so that a
// thousand pages do not come back in the same instant.
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
// ms. A deploy disconnects every page at about the same time; replies go on meanwhile. Few pages
// show one, and those come back first.
const RESTART_WAIT = 5_000;
const READER_WAIT = 100;
// ms. A server without another beside it is away until it has started again. It will come, so the
// waits stay as short as the first one.
const RESTART = 60_000;
const OPENING = 10_000;
// The server sends a ping every 20 s: a socket that is silent for this long is dead.
const SILENCE = 45_000;
// A restart takes less, and nobody needs to read about it.
const NOTICEABLE = 1_000;
const OFFLINE = 10_000;

const REFUSED = 1008;
const RESTARTING = 1012;
const BUSY = 1013;

/**
 * Open a socket to `url`, and another after each loss.
 * @param {string} url
 * @param {Handlers} handlers
 */
export function connect(url, { hello, isReading, received, closed, failed, changed }) {
  /** @type {WebSocket | null} */
  let socket = null;
  /** @type {Network | null} */
  let network = null;
  let opened = false;
  let failures = 0;
  let receivedAt = -Infinity;
  let restartEnds = -Infinity;
  let retryTimer = 0;
  let silenceTimer = 0;
  let lossTimer = 0;

  reportLossLater();
  open();
  return { send, open, wake, close };

  function open() {
    if (network === 'refused') return;
    close();
    opened = false;
    socket = new WebSocket(url);
    socket.onopen = () => {
      opened = true;
      send(hello());
    };
    socket.onmessage = ({ data }) => receive(JSON.parse(data));
    socket.onclose = ({ code }) => retry(code);
    silenceTimer = setTimeout(retry, OPENING);
  }

  /** @param {Frame} frame */
  function receive(frame) {
    clearTimeout(silenceTimer);
    silenceTimer = setTimeout(retry, SILENCE);
    receivedAt = Date.now();
    if (frame.type !== 'ping') received(frame);
    // The server closes after this one, with 1013: it is no sign that things are well.
    if (frame.type === 'error' && frame.code === 'unavailable') return;
    failures = 0;
    report('open');
  }

  /** @param {number} [code]  of the close frame; none after a silence */
  function retry(code) {
    close();
    if (code === REFUSED) report('refused');
    else if (code === BUSY) report('busy');
    else reportLossLater();
    if (code === RESTARTING) restartEnds = Date.now() + RESTART;
    const most = Date.now() < restartEnds ? RESTART_WAIT : LONGEST_WAIT;
    let longest = Math.min(most, FIRST_WAIT * 2 ** failures);
    if (code === RESTARTING) longest = isReading() ? READER_WAIT : RESTART_WAIT;
    failures += 1;
    retryTimer = setTimeout(open, Math.random() * longest);
    closed(code);
    if (!opened) failed();
  }

  function close() {
    clearTimeout(retryTimer);
    clearTimeout(silenceTimer);
    if (!socket) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
    socket = null;
  }

  /** Report a loss once a person would notice it, and 'offline' only if it lasts. */
  function reportLossLater() {
    lossTimer ||= setTimeout(() => {
      lossTimer = setTimeout(change, OFFLINE - NOTICEABLE, 'offline');
      change(network ? 'reconnecting' : 'connecting');
    }, NOTICEABLE);
  }

  /** @param {Network} next */
  function report(next) {
    clearTimeout(lossTimer);
    lossTimer = 0;
    change(next);
  }

  /** @param {Network} next */
  function change(next) {
    if (next === network) return;
    network = next;
    changed(next);
  }

  /** @param {object} frame */
  function send(frame) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  /** Reconnect at once, unless the socket is alive. After a sleep it may be dead unnoticed. */
  function wake() {
    if (socket && Date.now() - receivedAt < SILENCE) return;
    failures = 0;
    open();
  }
}

/**
 * Have the server delete a conversation, over a socket of its own.
 * @param {string} url
 * @param {string} conversation
 * @param {() => void} done
 */
export function deleteConversation(url, conversation, done) {
  const socket = new WebSocket(url);
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: 'resume', conversation }));
    socket.send(JSON.stringify({ type: 'delete' }));
  };
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type !== 'history' || frame.turns.length > 0) return;
    done();
    socket.close();
  };
}
