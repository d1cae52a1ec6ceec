// Markdown in, HTML out: the grammar. chat/markdown.py lists the rules by number; both files follow them, so the server's
// HTML can replace this one's without a visible change.

import MarkdownIt from "../vendor/markdown-it/markdown-it.js";
import * as footnotes from "./footnotes.js";
import * as formulas from "./formulas.js";
import { apart, keyOf } from "./items.js";
import { bare, otherPlace } from "./links.js";

/** @import { Item } from "./items.js" */
/** @import { BlockRule, RendererRule, Token, TokenClass } from "../vendor/markdown-it/markdown-it.js" */

/**
 * A top-level block: its first token knows its lines, from one number to before another.
 * @typedef {[Token & { map: [number, number] }, ...Token[]]} Block
 */

// The budget of a text.
export const MARKDOWN_CHARS = 100_000;
const HTML_CHARS = 400_000;
const TABLE_CELLS = 10_000;
const DRAWN_CHARS = 30_000;
// Steps and not seconds, because a busy or sleeping machine must not cost a text its form. A long text takes at most half
// of these, and these take some half a second.
const STEPS = 500_000;
const DEEPEST = 18;

// Their descendants have none, because an element with a direction has no say in that of the block around it.
const DIRECTED = ["paragraph_open", "heading_open", "bullet_list_open", "ordered_list_open", "blockquote_open"];
const ADDRESS = /^(mailto:|https?:\/\/(\[[\da-f:.]+\]|[\da-z._-]+)(:\d*)?([/?#]|$))/i;
/** @type {[string, string][]} */
const LINK_ATTRS = [
  ["rel", "noopener noreferrer nofollow"],
  ["target", "_blank"],
];
const TASK = /^\[([ xX])\] /;
const LANGUAGE = /^ *([A-Za-z0-9+#._-]{1,30})/;

class OverBudget extends Error {}

/** What the texts before have defined, and what a text may still use. A parse or a rendering changes it. */
export class Budget {
  /** @type {Record<string, object>} */
  references = {};
  /** @type {Set<string>} */
  notes = new Set();
  html = HTML_CHARS;
  cells = TABLE_CELLS;
  drawn = DRAWN_CHARS;
  /** What one text may still take; each starts with all of them. */
  steps = STEPS;
  /** Whether the text now being parsed reaches to the end of all. */
  isEnd = true;

  /** A copy to try things with. */
  copy() {
    return Object.assign(new Budget(), this, {
      references: Object.create(this.references),
      notes: new Set(this.notes),
    });
  }

  step(count = 1) {
    this.steps -= count;
    if (this.steps < 0) throw new OverBudget();
  }

  /** @param {{ html: number, steps?: number, drawn?: number }} cost */
  spend({ html, steps = 0, drawn = 0 }) {
    this.html -= html;
    this.steps -= steps;
    this.drawn -= drawn;
    if (this.html < 0 || this.steps < 0) throw new OverBudget();
  }
}

/**
 * Render the top-level blocks of `text`, whose lines end with LF, that fit into the budget.
 *
 * @param {string} text
 * @param {Budget} budget
 * @param {boolean} isEnd whether nothing else of what is formatted follows
 * @param {Item[]} before the items of the first block when it was last rendered
 * @returns {{ html: string, chars: number, items: Item[], kept: number }} their HTML, how much of the text it shows, the
 * items of the first block, and how many of these are the same as before, which the HTML leaves out
 */
export function render(text, budget, isEnd, before = []) {
  let html = "";
  let line = 0;
  /** @type {Item[]} */
  let items = [];
  let kept = 0;
  try {
    const { blocks, defines } = parse(text, budget, isEnd);
    for (const [index, block] of blocks.entries()) {
      if (index === 0 && !defines) {
        const first = renderBlock(block, budget, before);
        ({ items, kept } = first);
        html += first.html;
      } else {
        html += renderTokens(block, budget);
      }
      line = endOf(block);
    }
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error;
    return { html, chars: charsOfLines(text, line), items, kept };
  }
  return { html, chars: text.length, items, kept };
}

/**
 * @param {Block} block
 * @param {Budget} budget
 * @param {Item[]} before
 * @returns {{ html: string, items: Item[], kept: number }}
 */
function renderBlock(block, budget, before) {
  const { head, items, foot } = apart(block);
  let html = renderTokens(head, budget);
  let kept = 0;
  const rendered = items.map((tokens, index) => {
    const key = keyOf(index ? tokens : [...head, ...tokens]);
    if (kept === index && before[index]?.key === key) {
      kept++;
      budget.spend(before[index]);
      return before[index];
    }
    const { html: htmlLeft, steps, drawn } = budget;
    html += renderTokens(tokens, budget);
    return { key, html: htmlLeft - budget.html, steps: steps - budget.steps, drawn: drawn - budget.drawn };
  });
  return { html: html + renderTokens(foot, budget), items: rendered, kept };
}

/**
 * @param {Token[]} tokens
 * @param {Budget} budget
 */
function renderTokens(tokens, budget) {
  const state = new markdown.core.State("", markdown, budget);
  state.tokens = tokens;
  markdown.core.process(state);
  const html = markdown.renderer.render(state.tokens, markdown.options, budget);
  budget.spend({ html: html.length });
  return html;
}

/**
 * How many characters of `text`, which ends with a line, belong to blocks that nothing to come can change.
 *
 * The last block may always change: a paragraph may grow or turn into a heading or the head of a table, and a list or a
 * quote may continue after an empty line, or lazily without its mark. Only a closed fence is visibly complete. Every
 * other block ended where the next began, as whole lines decided, unless that is a formula without its end: what it
 * turns out to be decides where the block before it ends. Definitions of links between two blocks are no blocks
 * and may be incomplete, so the finished part ends with a block and not where the next begins.
 *
 * @param {string} text
 * @param {Budget} budget
 */
export function finishedChars(text, budget) {
  let blocks;
  try {
    ({ blocks } = parse(text, budget, true));
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error;
    return 0;
  }
  let last = blocks.at(-1);
  if (last?.[0].type === "formula_open") last = blocks.at(-3);
  else if (last && !isClosedFence(last)) last = blocks.at(-2);
  return last ? charsOfLines(text, endOf(last)) : 0;
}

/**
 * The blocks of `text`, and whether it defines links or footnotes. The definitions of links are no blocks.
 * @param {string} text
 * @param {Budget} budget
 * @param {boolean} isEnd
 */
function parse(text, budget, isEnd) {
  /** @type {Token[]} */
  const tokens = [];
  budget.steps = STEPS;
  budget.isEnd = isEnd;
  markdown.block.parse(text, markdown, budget, tokens);
  const blocks = [];
  /** @type {Token[]} */
  let block = [];
  let defines = false;
  for (const token of tokens) {
    defines ||= token.type === "reference_definition" || token.type === "footnote_open";
    block.push(token);
    if (token.level === 0 && token.nesting !== 1) {
      if (token.type !== "reference_definition") blocks.push(/** @type {Block} */ (block));
      block = [];
    }
  }
  return { blocks, defines };
}

/**
 * The number of the line after the block.
 * @param {Block} block
 */
function endOf([{ map }]) {
  return map[1];
}

/** @param {Block} block */
function isClosedFence([{ type, map, content }]) {
  // Between its marks a closed fence has as many lines as its text; an open one lacks the second mark.
  return type === "fence" && content.split("\n").length - 1 === map[1] - map[0] - 2;
}

/**
 * @param {string} text
 * @param {number} lines
 */
function charsOfLines(text, lines) {
  return text
    .split("\n")
    .slice(0, lines)
    .reduce((chars, line) => chars + line.length + 1, 0);
}

/** @type {MarkdownIt<Budget>} */
const markdown = new MarkdownIt("commonmark", { html: false, xhtmlOut: false });
markdown.enable(["table", "strikethrough"]);
const { escapeHtml } = markdown.utils;

// `render` does their work.
markdown.core.ruler.disable(["normalize", "block"]);

// Rule 3. Chromium lets names pass that the server's parser refuses: those with wrong Punycode, and those that Unicode
// would spell in another way. So the name has to be the same after it was decoded.
markdown.validateLink = (url) => {
  const decoded = markdown.normalizeLinkText(url);
  if (!ADDRESS.test(url) || !URL.canParse(url) || !URL.canParse(decoded)) return false;
  return new URL(url).hostname === new URL(decoded).hostname;
};

// The rules whose blocks end where a block of another rule starts.
const INTERRUPTED = ["paragraph", "reference", "blockquote", "list"];

// Rule 2: all that belongs to a container at the bottom becomes one paragraph.
markdown.block.ruler.before("table", "deep", deep, { alt: INTERRUPTED });

/** @type {BlockRule<Budget>} */
function deep(state, start, end, silent) {
  state.env.step();
  if (state.level < DEEPEST || silent) return false;
  let line = start;
  // A lazy line of a quote has a negative indent.
  while (line < end && (state.isEmpty(line) || state.sCount[line] < 0 || state.sCount[line] >= state.blkIndent)) line++;
  state.push("paragraph_open", "p", 1);
  const inline = state.push("inline", "", 0);
  inline.content = formulas.trim(state.getLines(start, line, state.blkIndent, false));
  inline.map = [start, line];
  inline.children = [];
  state.push("paragraph_close", "p", -1);
  state.line = line;
  return true;
}

markdown.inline.ruler.before("text", "step", (state) => {
  state.env.step();
  return false;
});

// Rule 5. A row may leave cells out and still gets them, so a short text can hold millions of cells. The library's own
// rule comes right after the one above.
const table = markdown.block.ruler.getRules("")[1];
markdown.block.ruler.at("table", boundedTable, { alt: ["paragraph", "reference"] });

/** @type {BlockRule<Budget>} */
function boundedTable(state, start, end, silent) {
  const columns = state.src.slice(state.bMarks[start], state.eMarks[start]).split("|").length;
  const rows = Math.floor(state.env.cells / columns);
  // The line below the head holds no cells.
  if (!rows || !table(state, start, Math.min(end, start + rows + 1), silent)) return false;
  if (!silent) state.env.cells -= columns * (state.line - start - 1);
  return true;
}

// Rule 1.
markdown.block.ruler.before("reference", "footnote", footnotes.note, { alt: ["paragraph", "reference"] });
markdown.inline.ruler.before("link", "footnote", footnotes.reference);

// Rule 3.
markdown.inline.ruler.after("text", "bare", bare);

// Rule 7.
markdown.block.ruler.before("fence", "formula", formulas.block, { alt: INTERRUPTED });
markdown.inline.ruler.before("escape", "formula", formulas.inline);

// Rules 1 and 3 to 6, applied to what has been parsed.
markdown.core.ruler.push("restrict", ({ tokens, Token }) => {
  for (const [index, token] of tokens.entries()) {
    if (DIRECTED.includes(token.type) && token.level === 0) {
      token.attrSet("dir", "auto");
    } else if (token.type === "th_open" || token.type === "td_open") {
      const style = token.attrGet("style");
      if (style) token.attrs = [["class", style.replace("text-align:", "align-")]];
    } else if (token.type === "list_item_open" && tokens[index + 1].type === "paragraph_open") {
      makeTask(token, tokens[index + 2], Token);
    } else if (token.children) {
      token.children = restrictLinks(token.children, Token);
    }
  }
});

/**
 * Turn an item that starts with brackets into a task.
 * @param {Token} item
 * @param {Token} text
 * @param {TokenClass} Token
 */
function makeTask(item, text, Token) {
  const first = text.children?.[0];
  const found = first?.type === "text" && TASK.exec(first.content);
  if (!first || !found) return;
  item.attrSet("class", "task");
  first.content = first.content.slice(found[0].length);
  const box = new Token("task", "input", 0);
  box.attrs = [
    ["type", "checkbox"],
    ["disabled", ""],
    ["aria-label", found[1] === " " ? "To do" : "Done"],
  ];
  if (found[1] !== " ") box.attrs.push(["checked", ""]);
  text.children?.unshift(box);
}

/**
 * @param {Token[]} tokens
 * @param {TokenClass} Token
 */
function restrictLinks(tokens, Token) {
  let insideLink = false;
  return tokens.flatMap((token, index) => {
    if (token.type === "image") return image(token, insideLink, Token);
    if (token.type === "code_inline") token.attrSet("dir", "ltr");
    if (token.type === "link_open") {
      const href = token.attrGet("href") ?? "";
      insideLink = href !== "";
      token.attrs?.push(...LINK_ATTRS, ...place(href, linkText(tokens, index)));
    }
    const isKept = insideLink || token.tag !== "a";
    if (token.type === "link_close") insideLink = false;
    return isKept ? [token] : [];
  });
}

/**
 * The text of the link that starts there.
 * @param {Token[]} tokens
 * @param {number} index
 */
function linkText(tokens, index) {
  let text = "";
  for (; tokens[index].type !== "link_close"; index++) text += tokens[index].content;
  return text;
}

/**
 * @param {string} href
 * @param {string} text
 * @returns {[string, string][]}
 */
function place(href, text) {
  const place = otherPlace(href, text);
  return place ? [["data-place", place]] : [];
}

/**
 * @param {Token} token
 * @param {boolean} insideLink
 * @param {TokenClass} Token
 */
function image(token, insideLink, Token) {
  const address = token.attrGet("src") ?? "";
  for (const child of token.children ?? []) {
    if (child.type === "formula_inline") child.type = "text";
  }
  const text = new Token("text", "", 0);
  text.content = markdown.renderer.renderInlineAsText(token.children, markdown.options, {}) || address;
  if (insideLink || !address) return [text];
  const open = new Token("link_open", "a", 1);
  open.attrs = [["href", address], ...LINK_ATTRS, ...place(address, text.content)];
  return [open, text, new Token("link_close", "a", -1)];
}

// Rules 1 and 5 to 7.
Object.assign(markdown.renderer.rules, {
  fence: code,
  code_block: code,
  table_open: () => '<div class="table" dir="auto" role="group" aria-label="Table" tabindex="0"><table>\n',
  table_close: () => "</table></div>\n",
  footnote_reference: footnoteReference,
  footnote_open: footnoteOpen,
  formula_inline: formula,
  formula_block: formula,
  formula_open: openFormula,
});

/** @type {RendererRule<Budget>} */
function footnoteReference(tokens, index) {
  const label = tokens[index].content;
  return `<sup><button type="button" data-note="${label}" aria-label="Footnote ${label}">${label}</button></sup>`;
}

/** @type {RendererRule<Budget>} */
function footnoteOpen(tokens, index) {
  const label = tokens[index].content;
  return (
    `<div class="footnote" dir="auto" role="note" tabindex="-1" data-footnote="${label}">\n` +
    `<button type="button" data-note-end="${label}" aria-label="Footnote ${label}, back to the text">${label}</button>\n`
  );
}

/** @type {RendererRule<Budget>} */
function formula(tokens, index, _options, budget) {
  const { tag, content } = tokens[index];
  budget.drawn -= content.length;
  const name = budget.drawn >= 0 ? "formula" : "formula formula--long";
  return `<${tag} class="${name}" dir="ltr">${escapeHtml(content)}</${tag}>${tag === "div" ? "\n" : ""}`;
}

/** @type {RendererRule<Budget>} */
function openFormula(tokens, index) {
  return `<p dir="ltr">${escapeHtml(tokens[index].content)}</p>\n`;
}

/** @type {RendererRule<Budget>} */
function code(tokens, index) {
  const { info, content } = tokens[index];
  const language = LANGUAGE.exec(info)?.[1].toLowerCase();
  const attribute = language ? ` class="language-${language}"` : "";
  return (
    `<div class="code" dir="ltr"><div class="code__header"><span class="code__language">${language ?? "code"}</span>` +
    '<label class="code__tool"><input type="checkbox">Wrap</label>' +
    '<button class="code__tool" type="button" data-download>Download</button>' +
    '<button class="code__tool" type="button" data-copy>Copy</button></div>' +
    `<pre tabindex="0"><code${attribute}>${escapeHtml(content)}</code></pre></div>\n`
  );
}
