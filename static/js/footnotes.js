// Footnotes in Markdown. chat/footnotes.py says what is one; both files have the same rules.

/** @import { BlockRule, InlineRule } from "../vendor/markdown-it/markdown-it.js" */

const REFERENCE = /\[\^(\d{1,3}|[A-Za-z][\w-]{0,29})\](?!\()/y;
const NOTE = /\[\^(\d{1,3}|[A-Za-z][\w-]{0,29})\]:/y;

/** @type {InlineRule<{ notes: Set<string> }>} */
export function reference(state, silent) {
  REFERENCE.lastIndex = state.pos;
  const found = REFERENCE.exec(state.src);
  if (!found || REFERENCE.lastIndex > state.posMax || state.linkLevel) return false;
  if (!/^\d/.test(found[1]) && !state.env.notes.has(found[1])) return false;
  if (!silent) state.push("footnote_reference", "sup", 0).content = found[1];
  state.pos += found[0].length;
  return true;
}

/** @type {BlockRule<{ notes: Set<string> }>} */
export function note(state, start, end, silent) {
  NOTE.lastIndex = state.bMarks[start] + state.tShift[start];
  const found = NOTE.exec(state.src);
  if (!found || NOTE.lastIndex > state.eMarks[start] || state.sCount[start] - state.blkIndent >= 4) return false;
  if (silent) return true;
  const textStart = NOTE.lastIndex;
  state.env.notes.add(found[1]);
  const opening = state.push("footnote_open", "div", 1);
  opening.content = found[1];
  const before = [state.bMarks[start], state.tShift[start], state.sCount[start]];
  const { parentType } = state;
  const text = state.src.slice(textStart, state.eMarks[start]);
  state.bMarks[start] = textStart;
  state.tShift[start] = text.length - text.replace(/^[ \t]+/, "").length;
  state.blkIndent += 4;
  state.sCount[start] = state.blkIndent;
  state.parentType = "footnote";
  state.md.block.tokenize(state, start, end);
  state.blkIndent -= 4;
  [state.bMarks[start], state.tShift[start], state.sCount[start]] = before;
  state.parentType = parentType;
  opening.map = [start, state.line];
  state.push("footnote_close", "div", -1);
  return true;
}
