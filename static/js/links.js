// Links in Markdown. chat/links.py says what is one; both files have the same rules.

/** @import { InlineRule } from "../vendor/markdown-it/markdown-it.js" */

const SCHEME = /(?<![0-9A-Za-z])https?$/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they end an address.
const REST = /[^\x00- "<>[\\\]^`{|}\x7f-\xbf\u0530-\uffff]+/y;
const AFTER_IT = "?!.,:;*_~'";
const START = /^(?:https?:\/\/|mailto:)([^/?#]*)/i;

/** @type {InlineRule<object>} */
export function bare(state, silent) {
  if (state.linkLevel || !state.src.startsWith("://", state.pos)) return false;
  const scheme = SCHEME.exec(state.src.slice(Math.max(0, state.pos - 6), state.pos))?.[0];
  // First, so that no text is scanned again and again.
  if (!scheme) return false;
  REST.lastIndex = state.pos + 3;
  const rest = REST.exec(state.src.slice(0, state.posMax))?.[0];
  const text = withoutEnd(rest ?? "");
  if (!text) return false;
  const typed = `${scheme}://${text}`;
  const href = state.md.normalizeLink(typed);
  if (!silent) {
    if (state.md.validateLink(href)) {
      state.pending = state.pending.slice(0, -scheme.length);
      state.push("link_open", "a", 1).attrs = [["href", href]];
      state.push("text", "", 0).content = typed;
      state.push("link_close", "a", -1);
    } else {
      state.pending += `://${text}`;
    }
  }
  state.pos += 3 + text.length;
  return true;
}

/** @param {string} text */
function withoutEnd(text) {
  let openBrackets = text.split(")").length - text.split("(").length;
  let end = text.length;
  while (end && (AFTER_IT.includes(text[end - 1]) || (text[end - 1] === ")" && openBrackets > 0))) {
    if (text[end - 1] === ")") openBrackets--;
    end--;
  }
  return text.slice(0, end);
}

/**
 * The host or the mailbox that `href` leads to, unless `text` starts with it.
 * @param {string} href
 * @param {string} text
 */
export function otherPlace(href, text) {
  const place = START.exec(href)?.[1] ?? "";
  const trimmed = text.replace(/^[ \n]+|(?<![ \n])[ \n]+$/g, "");
  const shown = START.exec(trimmed) ?? START.exec(`https://${trimmed}`);
  return shown?.[1].toLowerCase() === place.toLowerCase() ? "" : place;
}
