// Following the end of a growing log. It is a state, not a distance: a reader who moves up,
// however little, is not followed any more. Moving down to the end, or follow(), starts it again.

/**
 * Where the reader is; `unseen`: the log has grown since the reader left its end.
 * @typedef {{ following: boolean, unseen: boolean }} Place
 */

// px
const NEAR_END = 24;
// px; a finger that only taps moves less.
const DRAG = 10;
const UPWARD_KEYS = ['ArrowUp', 'PageUp', 'Home'];

/**
 * @param {HTMLElement} log  what scrolls
 * @param {Element} content  what grows in it
 * @param {(place: Place) => void} [changed]
 */
export function followEnd(log, content, changed = () => {}) {
  const end = { following: false, unseen: false, follow, leave };
  let top = 0;
  let range = 0;
  let leftAtHeight = 0;
  let fingerStart = 0;

  const passive = { passive: true };
  log.addEventListener('scroll', scrolled, passive);
  log.addEventListener('wheel', ({ deltaX, deltaY, ctrlKey }) => {
    if (deltaY < 0 && -deltaY > Math.abs(deltaX) && !ctrlKey) leave();
  }, passive);
  // A key scrolls smoothly: without leaving at once, each line of a quick reply would undo its
  // first pixel.
  log.addEventListener('keydown', ({ key, target }) => {
    if (UPWARD_KEYS.includes(key) && !(target instanceof HTMLTextAreaElement)) leave();
  }, passive);
  log.addEventListener('touchstart', ({ touches }) => {
    fingerStart = touches[0].clientY;
  }, passive);
  log.addEventListener('touchmove', ({ touches }) => {
    if (touches[0].clientY - fingerStart > DRAG) leave();
  }, passive);
  const resizes = new ResizeObserver(resized);
  resizes.observe(log);
  resizes.observe(content);
  follow();
  return end;

  /** Never smooth: an animation chases an end that moves, and seems to be a reader who scrolls. */
  function follow() {
    update(true, false);
    log.scrollTop = log.scrollHeight;
    measure();
  }

  function scrolled() {
    const topBefore = top;
    const gapBefore = range - top;
    measure();
    const gap = range - top;
    // A range that shrank also moves the log up, but then to its very end.
    if (top < topBefore - 1 && gap > 1) leave();
    // Growth above also moves the log down, but then no nearer to the end.
    else if (top > topBefore && gap < gapBefore && gap <= NEAR_END) follow();
  }

  function resized() {
    if (end.following) return follow();
    measure();
    if (log.scrollHeight > leftAtHeight) update(false, true);
  }

  function leave() {
    if (!end.following || range <= 0) return;
    leftAtHeight = log.scrollHeight;
    update(false, false);
  }

  function measure() {
    top = log.scrollTop;
    range = log.scrollHeight - log.clientHeight;
  }

  /** @type {(following: boolean, unseen: boolean) => void} */
  function update(following, unseen) {
    if (following === end.following && unseen === end.unseen) return;
    end.following = following;
    end.unseen = unseen;
    // Growth above a reader moves nothing.
    log.style.overflowAnchor = following ? 'none' : 'auto';
    changed({ following, unseen });
  }
}
