// One WebSocket that stays: it comes back after a loss, wakes with the network and the tab, and takes a refusal for an
// answer. It holds no messages; what must survive is the conversation's to keep and to send again.

const FIRST_WAIT = 500; // ms, doubled by each failure. The real wait is random below it ('full jitter'), so that
const LONGEST_WAIT = 30_000; // a thousand pages do not come back in the same instant.
const OPENING = 10_000;
const SILENCE = 45_000; // The server says something every 20 s: a socket this quiet is dead.
const NOTICED = 1_000; // A restart takes less, and nobody needs to read about it.
const LASTING = 10_000;
const REFUSED = 1008;
const BUSY = 1013;

/**
 * Keep a socket to `url` open. `hello()` gives the first frame of each, `received(frame)` gets all that comes, and
 * `closed(code)` hears of each loss. `changed(state)`: open, connecting, reconnecting, offline, busy or refused.
 */
export function connect(url, { hello, received, closed, changed }) {
  let socket, state, retrying, silence, missing, heard;
  let failures = 0;

  function open() {
    if (state === 'refused') return;
    drop();
    socket = new WebSocket(url);
    socket.onopen = () => send(hello());
    socket.onmessage = ({ data }) => hear(JSON.parse(data));
    socket.onclose = ({ code }) => lose(code);
    silence = setTimeout(lose, OPENING);
  }

  function hear(frame) {
    clearTimeout(silence);
    silence = setTimeout(lose, SILENCE);
    heard = Date.now();
    failures = 0;
    know('open');
    if (frame.type !== 'ping') received(frame);
  }

  function lose(code) {
    drop();
    if (code === REFUSED) know('refused');
    else if (code === BUSY) know('busy');
    else miss();
    retrying = setTimeout(open, Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures++));
    closed(code);
  }

  function drop() {
    [retrying, silence].forEach(clearTimeout);
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    socket?.close();
    socket = null;
  }

  /** Say that a connection is missing when a person would notice it, and 'offline' only when it lasts. */
  function miss() {
    const what = state ? 'reconnecting' : 'connecting';
    missing ??= setTimeout(() => {
      missing = setTimeout(tell, LASTING - NOTICED, 'offline');
      tell(what);
    }, NOTICED);
  }

  function know(next) {
    clearTimeout(missing);
    missing = null;
    tell(next);
  }

  function tell(next) {
    if (next !== state) changed((state = next));
  }

  function send(frame) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  /** The network or the person is back: no more waiting. After a sleep the socket may be dead without knowing. */
  function wake() {
    if (socket && Date.now() - heard < SILENCE) return;
    failures = 0;
    open();
  }

  addEventListener('online', open); // The old socket belongs to the old network.
  document.addEventListener('visibilitychange', () => document.hidden || wake());
  addEventListener('pagehide', drop); // An open socket would keep the page out of the back/forward cache.
  addEventListener('pageshow', ({ persisted }) => persisted && wake());
  miss();
  open();
  return { send, reopen: open };
}

/** Have the server forget a conversation, over a socket of its own; `done()` once it has. */
export function forget(url, conversation, done) {
  const socket = new WebSocket(url);
  const say = (frame) => socket.send(JSON.stringify(frame));
  socket.onopen = () => [{ type: 'resume', conversation }, { type: 'delete' }].forEach(say);
  socket.onmessage = ({ data }) => {
    const { type, turns } = JSON.parse(data);
    if (type !== 'history' || turns.length) return;
    done();
    socket.close();
  };
}
