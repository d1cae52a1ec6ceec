// Formulas in Markdown. chat/formulas.py says what is one; both files have the same rules.

/** @import { BlockRule, BlockState, InlineRule } from "../vendor/markdown-it/markdown-it.js" */
/** @typedef {{ step(count: number): void }} Steps */

const FORMULA_CHARS = 5_000;
// Looking at this many characters takes no longer than a step of the parser.
const CHARS_PER_STEP = 100;

/** @type {Record<string, string>} */
const CLOSING = { "\\(": "\\)", "\\[": "\\]", $$: "$$", $: "$" };
const INLINE_OPENING = /\\[([]|(?<!\$)\$\$(?!\$)|(?<![$0-9A-Za-z])\$(?![$ \t\n])/y;
const BLOCK_OPENING = /\\\[|\$\$(?!\$)/y;
const DOLLAR = /(?<!\\)\$/;
const AFTER_DOLLAR = /^[^0-9$]?$/;
// In quotes, empty lines have marks.
const EMPTY_LINE = /\n[ \t>]*\n/;

/** @type {InlineRule<Steps>} */
export function inline(state, silent) {
  const opening = matchAt(INLINE_OPENING, state.src, state.pos);
  if (!opening) return false;
  const closing = CLOSING[opening];
  const find = closing === "$" ? dollar : indexOf;
  const at = find(state, closing, state.pos + opening.length, Math.min(state.posMax, state.pos + FORMULA_CHARS));
  const source = state.src.slice(state.pos, at + closing.length);
  if (at < 0 || !isFormula(source, closing)) return false;
  if (!silent) state.push("formula_inline", "span", 0).content = source;
  state.pos += source.length;
  return true;
}

/**
 * Where a single dollar closes the formula, or -1.
 * @param {{ src: string, env: Steps }} state
 * @param {string} _mark
 * @param {number} start
 * @param {number} end
 */
function dollar(state, _mark, start, end) {
  const at = indexOf(state, DOLLAR, start, end);
  if (at < 0) return -1;
  const closes = !/[ \t]$|\n/.test(state.src.slice(start, at)) && AFTER_DOLLAR.test(state.src.slice(at + 1, at + 2));
  return closes ? at : -1;
}

/**
 * @param {string} source
 * @param {string} closing
 */
function isFormula(source, closing) {
  return source.length <= FORMULA_CHARS && trim(source.slice(closing.length, -closing.length)) !== "";
}

/** @type {BlockRule<Steps & { isEnd: boolean }>} */
export function block(state, start, end, silent) {
  const at = state.bMarks[start] + state.tShift[start];
  const opening = matchAt(BLOCK_OPENING, state.src, at);
  if (!opening || state.sCount[start] - state.blkIndent >= 4) return false;
  const closing = CLOSING[opening];
  const closed = indexOf(state, closing, at + opening.length, at + FORMULA_CHARS);
  if (closed < 0) return open(state, start, end, silent);
  const last = start + state.src.slice(at, closed).split("\n").length - 1;
  if (last >= end || /[^ \t]/.test(state.src.slice(closed + closing.length, state.eMarks[last]))) return false;
  const source = sourceOf(state, start, last, closed);
  if (!isFormula(source, closing)) return false;
  if (!silent) push(state, "formula_block", "div", source, [start, last + 1]);
  return true;
}

/** @type {BlockRule<Steps & { isEnd: boolean }>} */
function open(state, start, end, silent) {
  if (!state.env.isEnd) return false;
  const at = state.bMarks[start] + state.tShift[start];
  // A line end may follow the last line.
  if (state.src.length - at > FORMULA_CHARS || state.src.length - state.eMarks[end - 1] > 1) return false;
  const source = sourceOf(state, start, end - 1, state.src.length);
  if (!source) return false;
  if (!silent) push(state, "formula_open", "p", source, [start, end]);
  return true;
}

/**
 * The text of these lines, or nothing if one leaves the container or is empty before `end`.
 * @param {BlockState<object>} state
 * @param {number} start
 * @param {number} last
 * @param {number} end
 */
function sourceOf(state, start, last, end) {
  const isWhole = state.sCount.slice(start, last + 1).every((indent) => indent >= state.blkIndent);
  const isDense = !EMPTY_LINE.test(state.src.slice(state.bMarks[start], end));
  return isWhole && isDense ? trim(state.getLines(start, last + 1, state.blkIndent, false)) : "";
}

/**
 * @param {BlockState<object>} state
 * @param {string} type
 * @param {string} tag
 * @param {string} source
 * @param {[number, number]} lines
 */
function push(state, type, tag, source, lines) {
  const token = state.push(type, tag, 0);
  token.content = source;
  token.map = lines;
  state.line = lines[1];
}

/**
 * Without spaces, tabs and line ends at its ends.
 * @param {string} text
 */
export function trim(text) {
  // Without the look behind, a long row of spaces in the middle would be searched from each of them.
  return text.replace(/^[ \t\n]+|(?<![ \t\n])[ \t\n]+$/g, "");
}

/**
 * Where the part is between these places, or -1. A search takes steps, because a text may need thousands.
 * @param {{ src: string, env: Steps }} state
 * @param {string | RegExp} part
 * @param {number} start
 * @param {number} end
 */
function indexOf({ src, env }, part, start, end) {
  const text = src.slice(start, end);
  const at = typeof part === "string" ? text.indexOf(part) : text.search(part);
  env.step(Math.ceil((at < 0 ? text.length : at) / CHARS_PER_STEP));
  return at < 0 ? -1 : start + at;
}

/**
 * @param {RegExp} pattern a sticky one
 * @param {string} text
 * @param {number} at
 */
function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}
