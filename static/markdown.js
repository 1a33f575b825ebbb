// Markdown that is still being written.
//
// Every top-level block but the last can no longer change and is left alone. The last is parsed again and morphed in
// place, so a selection survives. One huge list is one block: each line costs more than the one before, and the pacing
// keeps that to a quarter of the time. Without the library replies are plain text.

import { morph } from './dom.js';
import { codeBlock, filling, parser, toNodes, topBlocks } from './markup.js';

const FRAME = 33; // ms
const REST = 4; // after a paint of t ms none for 4 t, however slow the device

/**
 * Show a growing answer in `root`: write(answer) takes the whole answer so far, as often as you like, and paces itself;
 * finish(answer) shows all of it now, also when the view is given up. `onCode(code)` is called once for every <code> of
 * a finished code block.
 */
export function streamMarkdown(root, onCode = () => {}) {
  let answer = '';
  let source = ''; // the answer with plain line ends
  let looked = 0; // how much of it was looked at for blocks that cannot change,
  let settled = 0; // and where those end
  let lastSettled = null;
  const references = {}; // of links
  let defines = false; // whether there are any
  let fence = null; // the open code block, while the answer is in one
  let due = 0;
  let timer = 0;
  return { write, finish, paint };

  function write(text) {
    answer = text;
    if (performance.now() >= due) paint();
    else timer ||= setTimeout(paint, due - performance.now());
  }

  function finish(text) {
    answer = text;
    paint(true);
  }

  function paint(finished = false) {
    const start = performance.now();
    clearTimeout(timer);
    timer = 0;
    source = answer.replace(/\r\n|\r(?=[^])/g, '\n').replace(/\r$/, finished ? '\n' : '').replaceAll('\0', '\uFFFD');
    if (finished) showAll();
    else showSoFar();
    due = start + Math.max(FRAME, REST * (performance.now() - start));
  }

  /** Looks at complete lines only: half a line may yet turn its block, or the one before, into another. */
  function showSoFar() {
    if (fence) growFence();
    if (fence) return;
    const complete = source.lastIndexOf('\n') + 1;
    const blocks = complete > looked ? topBlocks(source.slice(settled, complete), references) : [];
    const last = blocks.at(-1);
    let end = settled;
    for (let line = 0; line < last?.map[0]; line++) end = source.indexOf('\n', end) + 1;
    // An indented fence is no `fence` here: its indent would have to be taken from each of its lines.
    const isFence = last?.type === 'fence' && source.startsWith(last.markup, end);
    render(isFence ? source.slice(settled, end) : readable(source.slice(settled)));
    for (let count = 1; count < blocks.length; count++) settleNext();
    looked = complete;
    settled = end;
    if (!isFence) return;
    startFence(last);
    showSoFar();
  }

  function showAll() {
    if (fence) growFence(true);
    render(source.slice(settled));
    // A link may stand long before its definition, and half a line may have looked like one.
    if (defines) morph(root, toNodes(source, {}));
    while (firstOpen()) settleNext();
  }

  function render(text) {
    const known = { ...references };
    morph(root, toNodes(text, known), firstOpen());
    defines ||= Object.keys(known).length > 0;
  }

  function firstOpen() {
    return lastSettled ? lastSettled.nextSibling : root.firstChild;
  }

  function settleNext() {
    lastSettled = firstOpen();
    lastSettled.querySelectorAll('pre > code').forEach(onCode);
  }

  function startFence({ info, markup: [mark, ...more] }) {
    const figure = codeBlock(info, '');
    root.append(figure);
    settled = source.indexOf('\n', settled) + 1;
    fence = {
      append: filling(figure.querySelector('code')),
      closing: new RegExp(`^ {0,3}${mark}{${more.length + 1},}[ \\t]*$`, 'gm'),
      perhapsClosing: new RegExp(`^ {0,3}${mark}*[ \\t]*$(?![^])`, 'gm'), // half a line, at the very end
    };
  }

  /** Only ever appends, however long the block: nothing inside a fence is parsed. */
  function growFence(finished = false) {
    const { append, closing, perhapsClosing } = fence;
    closing.lastIndex = perhapsClosing.lastIndex = settled;
    const found = closing.exec(source);
    const isClosed = found && (finished || source[closing.lastIndex] === '\n');
    const heldBack = found ?? (finished ? null : perhapsClosing.exec(source));
    const end = heldBack?.index ?? source.length;
    append(source.slice(settled, end));
    settled = isClosed ? closing.lastIndex + 1 : end;
    if (!isClosed && !finished) return;
    fence = null;
    settleNext();
  }
}

const BARE_MARKERS = /^[-=*+_#>~`\d.)\s]*$/;
const FENCE = /^[\s>]*(?:`{3}|~{3})/;
const TABLE_ROW = /^ {0,3}\|/;
const PART_OF_DELIMITERS = /^[ \t|:-]*$/;
const MARKERS = /([*_~`])\1*/g;
const BULLET = /^[\s>]*[*] /;

/** Holds back what would jump when more comes: a bare "-", a ``` line, a table's first row, half a "**". */
function readable(text) {
  const lines = text.split('\n');
  const [before, above, last] = ['', '', ...lines].slice(-3);
  const startsTable = TABLE_ROW.test(above) && !TABLE_ROW.test(before) && PART_OF_DELIMITERS.test(last);
  if (startsTable) return wholeLines(lines.slice(0, -2));
  const isFirstRow = TABLE_ROW.test(last) && !TABLE_ROW.test(above);
  if (isFirstRow || BARE_MARKERS.test(last) || FENCE.test(last)) return wholeLines(lines.slice(0, -1));
  return text.slice(0, text.length - last.length) + withoutHalfPairs(last);
}

const wholeLines = (lines) => lines.map((line) => `${line}\n`).join('');

/** Markers at the end stay if they close what the same markers opened; others may be half of themselves. */
function withoutHalfPairs(line) {
  const [marker, ...others] = line.replace(BULLET, '').match(MARKERS)?.reverse() ?? [];
  if (!marker || !line.endsWith(marker)) return line;
  const before = line.slice(0, -marker.length);
  const closes = /\S$/.test(before) && others.filter((other) => other === marker).length % 2 === 1;
  return closes ? line : withoutHalfPairs(before);
}
