// Markdown that is still being written.
//
// Every top-level block but the last is final and left alone. The last is parsed again and morphed
// in place, so a selection survives. A text is read in windows, with the browser's own work
// between them: a reply that is opened again is drawn like one that comes very fast. Without the
// library replies are plain text.

import { element, morph } from './dom.js';
import { typeset } from './formula.js';
import { grow, growingCode, growingPlain } from './growing.js';
import { toNodes, topBlocks } from './tokens.js';
import { withoutUnclear } from './unclear.js';

/** @import { Token } from 'markdown-it' */
/** @import { Growing } from './growing.js' */
/** @import { References } from './tokens.js' */

// ms
const FRAME = 33;
// After a paint of t ms there is none for 4 t, however slow the device.
const REST = 4;
// ms. What it adds has still to be laid out, which takes up to ten times longer.
const LONGEST_PAINT = 16;
// Characters to parse at a time. A block that is longer than LONGEST_BLOCK goes on as another.
// Accepted: code of 32 KB in a list ends in two pieces.
const WINDOW = 4_096;
const LONGEST_BLOCK = 32_768;
// Elements of a reply. What comes after them is plain text. Accepted: where that begins may differ
// by some blocks between a reply that streamed and the same when it is opened again.
const MOST_ELEMENTS = 10_000;

/**
 * Show a growing answer in `root`: write(answer) takes the whole answer so far, as often as you
 * like, and paces itself; finish(answer) is the last, and isDone() once all of it shows. stop()
 * gives up the view. What makes the drawing throw is shown as plain text. `onCode(code)` is called
 * once for every <code> of a finished code block.
 * @param {Element} root
 * @param {(code: Element) => void} [onCode]
 */
export function streamMarkdown(root, onCode = () => {}) {
  let answer = '';
  // The answer with plain line ends.
  let source = '';
  let finished = false;
  // How much of the source was parsed into blocks, and where the final ones of these end.
  let parsedEnd = 0;
  let finalEnd = 0;
  /** @type {ChildNode | null} */
  let lastFinal = null;
  let elements = 0;
  /** @type {References} */
  const references = {};
  let hasReferences = false;
  /** @type {Growing | null} */
  let growing = null;
  let failed = false;
  let due = 0;
  let timer = 0;
  return { write, finish, paint, stop, isDone: () => finished && timer === 0 };

  /** @param {string} text */
  function write(text) {
    answer = text;
    if (performance.now() >= due) paint();
    else timer ||= setTimeout(paint, due - performance.now());
  }

  /** @param {string} text */
  function finish(text) {
    answer = text;
    finished = true;
    paint();
  }

  function stop() {
    clearTimeout(timer);
    timer = 0;
  }

  function paint() {
    const start = performance.now();
    stop();
    // A lone \r at the end may be half of \r\n.
    const unixLines = answer.replace(/\r\n|\r(?=[^])/g, '\n').replace(/\r$/, finished ? '\n' : '');
    source = unixLines.replaceAll('\0', '\uFFFD');
    let hasMore = false;
    do hasMore = failed ? showPlain() : tryToShowMore();
    while (hasMore && performance.now() - start < LONGEST_PAINT);
    const work = performance.now() - start;
    due = start + Math.max(FRAME, REST * work);
    if (hasMore) timer = setTimeout(paint, finished ? 0 : REST * work);
  }

  function tryToShowMore() {
    try {
      return showMore();
    } catch (error) {
      console.error(error);
      failed = true;
      return true;
    }
  }

  function showPlain() {
    root.replaceChildren(element('div', { class: 'plain' }, answer));
    return false;
  }

  /** Show the next window. Returns whether there is more to show. */
  function showMore() {
    if (growing) continueBlock(growing);
    if (growing) return false;
    if (elements > MOST_ELEMENTS && finalEnd < source.length) {
      startBlock(growingPlain());
      return true;
    }
    const { end, blocks, isLast } = nextBlocks();
    const last = blocks.at(-1);
    if (isLast && finished) {
      showEnd();
    } else if (last && isFenceAt(last, end)) {
      render(source.slice(finalEnd, end));
      finalize(blocks.length - 1);
      startBlock(growingCode(last));
      finalEnd = source.indexOf('\n', end) + 1;
      return true;
    } else if (isLast) {
      render(source.slice(finalEnd, end), withoutUnclear(source.slice(end)));
      finalize(blocks.length - 1);
    } else {
      render(source.slice(finalEnd, end));
      finalize();
    }
    finalEnd = isLast && finished ? source.length : end;
    return !isLast;
  }

  /**
   * The blocks of the next window, and where the final ones of them end. Only of complete lines:
   * half a line may yet turn its block into another.
   */
  function nextBlocks() {
    const complete = source.lastIndexOf('\n') + 1;
    for (let size = WINDOW; ; size *= 2) {
      const cut = source.indexOf('\n', finalEnd + size) + 1;
      const text = complete > parsedEnd ? source.slice(finalEnd, cut || complete) : '';
      const blocks = topBlocks(text, references);
      const last = blocks.at(-1);
      let end = finalEnd;
      for (let line = 0; line < (last?.map?.[0] ?? 0); line++) end = source.indexOf('\n', end) + 1;
      if (!cut) parsedEnd = complete;
      const advances = end > finalEnd || (last && isFenceAt(last, end));
      if (!cut || advances) return { end, blocks, isLast: !cut };
      if (size >= LONGEST_BLOCK) return { end: cut, blocks: [], isLast: false };
    }
  }

  /**
   * An indented fence is not streamed as one: each of its lines would need its indent cut.
   * @type {(token: Token, start: number) => boolean}
   */
  function isFenceAt({ type, markup }, start) {
    return type === 'fence' && source.startsWith(markup, start);
  }

  function showEnd() {
    render(source.slice(finalEnd));
    // A link may stand long before its definition, and half a line may have been parsed as one.
    // Accepted: in a very long reply such a link stays text.
    const isShort = source.length <= LONGEST_BLOCK && elements <= MOST_ELEMENTS;
    if (hasReferences && isShort) {
      morph(root, toNodes(source, {}));
      typeset(root, root);
    }
    finalize();
  }

  /** @type {(text: string, growing?: string) => void} */
  function render(text, growing = '') {
    const known = { ...references };
    const nodes = toNodes(text, known);
    if (growing) nodes.append(toNodes(growing, known, true));
    morph(root, nodes, firstOpen());
    hasReferences ||= Object.keys(known).length > 0;
    for (let node = firstOpen(); node; node = node.nextSibling) typeset(node, root);
  }

  function firstOpen() {
    return lastFinal ? lastFinal.nextSibling : root.firstChild;
  }

  /** @param {number} [count]  of blocks that are final now; all of them without it */
  function finalize(count = Infinity) {
    for (let next = firstOpen(); next && count > 0; next = next.nextSibling) {
      count -= 1;
      lastFinal = next;
      if (!(next instanceof Element)) continue;
      // Formulas have a limit of their own.
      elements += 1 + next.querySelectorAll(':not(math, math *)').length;
      next.querySelectorAll('pre > code').forEach(onCode);
    }
  }

  /** @param {Growing} block */
  function startBlock(block) {
    while (firstOpen()) firstOpen()?.remove();
    root.append(block.node);
    growing = block;
  }

  /** @param {Growing} block */
  function continueBlock(block) {
    const { end, isClosed } = grow(block, source, finalEnd, finished);
    finalEnd = end;
    if (!isClosed && !finished) return;
    growing = null;
    finalize(1);
  }
}
