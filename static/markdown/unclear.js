// What is held back of Markdown that is still being written, since it would jump when more comes.

const BARE_MARKERS = /^[-=*+_#>~`\d.)\s]*$/;
const FENCE = /^[\s>]*(?:`{3}|~{3})/;
const TABLE_ROW = /^ {0,3}\|/;
const PART_OF_DELIMITERS = /^[ \t|:-]*$/;
const MARKERS = /([*_~`])\1*/g;
const BULLET = /^[\s>]*[*] /;

/**
 * Holds back what would jump when more comes: a bare "-", a ``` line, a table's first row, half a
 * "**".
 * @param {string} text
 */
export function withoutUnclear(text) {
  const lines = text.split('\n');
  const [before, above, last] = ['', '', ...lines].slice(-3);
  const isSecondRow = TABLE_ROW.test(above) && !TABLE_ROW.test(before);
  if (isSecondRow && PART_OF_DELIMITERS.test(last)) return wholeLines(lines.slice(0, -2));
  const isFirstRow = TABLE_ROW.test(last) && !TABLE_ROW.test(above);
  const isUnclear = isFirstRow || BARE_MARKERS.test(last) || FENCE.test(last);
  if (isUnclear) return wholeLines(lines.slice(0, -1));
  return text.slice(0, text.length - last.length) + withoutHalfPairs(last);
}

/** @param {string[]} lines */
const wholeLines = (lines) => lines.map((line) => `${line}\n`).join('');

/**
 * Markers at the end stay if they close what the same markers opened: others may be halves. No
 * line has many of them in earnest.
 * @type {(line: string, most?: number) => string}
 */
function withoutHalfPairs(line, most = 9) {
  const [marker, ...others] = line.replace(BULLET, '').match(MARKERS)?.reverse() ?? [];
  if (!marker || !line.endsWith(marker) || most === 0) return line;
  const before = line.slice(0, -marker.length);
  const closes = /\S$/.test(before) && others.filter((other) => other === marker).length % 2 === 1;
  return closes ? line : withoutHalfPairs(before, most - 1);
}
