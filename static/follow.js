// Following the end of a growing log. It is a state, not a distance: a reader who moves up, however little, is let go
// for good; moving down to the end, or follow(), holds on again.

const NEAR_END = 24; // px
const DRAG = 10; // px; a finger that only taps moves less
const UPWARD_KEYS = new Set(['ArrowUp', 'PageUp', 'Home']);

/** `log` scrolls and `content` grows in it. `unseen`: there is more below than when the reader let go. */
export function followEnd(log, content, changed = () => {}) {
  const end = { following: false, unseen: false, follow };
  let top, range, heightSeen, finger;

  const on = (type, listener) => log.addEventListener(type, listener, { passive: true });
  on('scroll', scrolled);
  on('wheel', ({ deltaX, deltaY, ctrlKey }) => deltaY < 0 && -deltaY > Math.abs(deltaX) && !ctrlKey && letGo());
  // A key scrolls smoothly: unless let go at once, each line of a quick reply would undo its first pixel.
  on('keydown', ({ key, target }) => UPWARD_KEYS.has(key) && !target.matches('textarea') && letGo());
  on('touchstart', ({ touches }) => (finger = touches[0].clientY));
  on('touchmove', ({ touches }) => touches[0].clientY - finger > DRAG && letGo());
  const resizes = new ResizeObserver(resized);
  for (const element of [log, content]) resizes.observe(element);
  follow();
  return end;

  /** Never smooth: an animation would chase an end that moves, and could not be told from the reader. */
  function follow() {
    become(true, false);
    log.scrollTop = log.scrollHeight;
    look();
  }

  function scrolled() {
    const topBefore = top;
    const gapBefore = range - top;
    look();
    const gap = range - top;
    // A range that shrank also moves the log up, but then to its very end.
    if (top < topBefore - 1 && gap > 1) letGo();
    // Growth above also moves the log down, but then no nearer to the end.
    else if (top > topBefore && gap < gapBefore && gap <= NEAR_END) follow();
  }

  function resized() {
    if (end.following) return follow();
    look();
    if (log.scrollHeight > heightSeen) become(false, true);
  }

  function letGo() {
    if (!end.following || range <= 0) return;
    heightSeen = log.scrollHeight;
    become(false, false);
  }

  function look() {
    top = log.scrollTop;
    range = log.scrollHeight - log.clientHeight;
  }

  function become(following, unseen) {
    if (following === end.following && unseen === end.unseen) return;
    Object.assign(end, { following, unseen });
    log.style.overflowAnchor = following ? 'none' : 'auto'; // Growth above a reader moves nothing.
    changed({ following, unseen });
  }
}
