// Markdown, drawn while it is being written. The rules of the markup stand in chat/markdown.py, numbered; both sides
// follow them, so that the server's own rendering can take this one's place without a visible change.

import MarkdownIt from "../vendor/markdown-it/markdown-it.js";

const MARKDOWN_CHARS = 100_000;
const TABLE_CELLS = 10_000;
const DEEPEST = 18;

const LINK = /^(https?|mailto):/i;
const LINK_ATTRS = [["rel", "noopener noreferrer nofollow"], ["target", "_blank"]];
const LANGUAGE = /^ *([A-Za-z0-9+#._-]{1,30})/;

// Twenty-five times a second reads as a flow. Timers, unlike animation frames, go on in a hidden tab.
const PACE_MS = 40;
// Drawing takes at most a fifth of the time, however long the block at the end has become.
const REST = 4;

const markdown = new MarkdownIt("commonmark", { html: false, xhtmlOut: false }).enable(["table", "strikethrough"]);
const { escapeHtml } = markdown.utils;

// Rule 3.
markdown.validateLink = (url) => LINK.test(url);

// Rule 5: a row may leave cells out and has them all the same, so a short text can hold millions.
// The first of the rules for blocks is the table's.
const [table] = markdown.block.ruler.getRules("");
markdown.block.ruler.at("table", boundedTable, { alt: ["paragraph", "reference"] });

function boundedTable(state, start, end, silent) {
  if (!table(state, start, end, true)) return false;
  if (silent) return true;
  let last = start;
  while (last < end && !state.isEmpty(last)) last++;
  const columns = state.src.slice(state.bMarks[start], state.eMarks[start]).split("|").length;
  const cells = (state.env.cells ?? 0) + (last - start) * columns;
  if (cells > TABLE_CELLS) return false;
  state.env.cells = cells;
  return table(state, start, end, false);
}

// Rule 2: at the bottom all that belongs to a container becomes one paragraph.
markdown.block.ruler.before("table", "deep", (state, start, end, silent) => {
  if (state.level < DEEPEST || silent) return false;
  let line = start;
  while (line < end && (state.isEmpty(line) || state.sCount[line] >= state.blkIndent)) line++;
  state.push("paragraph_open", "p", 1);
  const inline = state.push("inline", "", 0);
  inline.content = state.getLines(start, line, state.blkIndent, false).trim();
  inline.map = [start, line];
  inline.children = [];
  state.push("paragraph_close", "p", -1);
  state.line = line;
  return true;
});

// Rules 3 to 5, on what has been parsed.
markdown.core.ruler.push("restrict", ({ tokens, Token }) => {
  for (const token of tokens) {
    if (token.type === "th_open" || token.type === "td_open") {
      if (token.attrs) token.attrs = [["class", token.attrGet("style").replace("text-align:", "align-")]];
    } else if (token.children) {
      token.children = withoutImages(token.children, Token);
    }
  }
});

function withoutImages(tokens, Token) {
  let insideLink = false;
  return tokens.flatMap((token) => {
    if (token.type === "image") return image(token, insideLink, Token);
    if (token.tag === "a") insideLink = token.nesting === 1;
    if (token.type === "link_open") token.attrs.push(...LINK_ATTRS);
    return token;
  });
}

function image(token, insideLink, Token) {
  const address = token.attrGet("src");
  const text = new Token("text", "", 0);
  text.content = markdown.renderer.renderInlineAsText(token.children, markdown.options, {}) || address;
  if (insideLink) return [text];
  const open = new Token("link_open", "a", 1);
  open.attrs = [["href", address], ...LINK_ATTRS];
  return [open, text, new Token("link_close", "a", -1)];
}

// Rules 5 and 6.
Object.assign(markdown.renderer.rules, {
  fence: code,
  code_block: code,
  table_open: () => '<div class="table" role="group" aria-label="Table" tabindex="0"><table>\n',
  table_close: () => "</table></div>\n",
});

function code(tokens, index) {
  const { info, content } = tokens[index];
  const language = LANGUAGE.exec(info)?.[1].toLowerCase();
  const attribute = language ? ` class="language-${language}"` : "";
  return (
    `<div class="code"><div class="code__header"><span class="code__language">${language ?? "code"}</span>` +
    '<button class="code__copy" type="button" data-copy>Copy</button></div>' +
    `<pre tabindex="0"><code${attribute}>${escapeHtml(content)}</code></pre></div>\n`
  );
}

/**
 * Draws a growing text. A top-level block that nothing to come can change is drawn once and never touched again; only
 * what follows it is rendered anew.
 */
export class LiveMarkdown {
  #element;
  #source;
  #complete; // How much of the source was whole lines at the last look.
  #finished; // How much of it is drawn for good,
  #lastFinished; // up to which node,
  #env; // with which references and table cells.
  #timer = 0;
  #drawnAt = 0;
  #took = 0;

  /** @param {Element} element whose children this object owns from now on */
  constructor(element) {
    this.#element = element;
    this.#clear();
  }

  /** Add text to the end; it is drawn within a moment. */
  append(text) {
    this.#source += withoutReturns(text);
    this.#schedule();
  }

  /** Put other text in the place of all there is; it is drawn within a moment. */
  replace(text) {
    this.#clear();
    this.append(text);
  }

  /** Draw what there is now. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const start = performance.now();
    if (this.#source.length > MARKDOWN_CHARS) {
      this.#drawPlain();
    } else {
      this.#drawFinished();
      this.#drawTail();
    }
    // The layout must come anyway; here it counts.
    this.#element.getBoundingClientRect();
    this.#drawnAt = performance.now();
    this.#took = this.#drawnAt - start;
  }

  #clear() {
    this.#source = "";
    this.#complete = 0;
    this.#finished = 0;
    this.#lastFinished = null;
    this.#env = { references: {}, cells: 0 };
  }

  #schedule() {
    const rest = Math.max(PACE_MS, REST * this.#took) - (performance.now() - this.#drawnAt);
    this.#timer ||= setTimeout(() => this.flush(), rest);
  }

  #drawPlain() {
    const plain = document.createElement("pre");
    plain.className = "plain";
    plain.tabIndex = 0;
    plain.textContent = this.#source;
    this.#element.replaceChildren(plain);
  }

  #drawFinished() {
    const complete = this.#source.lastIndexOf("\n") + 1;
    if (complete === this.#complete) return;
    this.#complete = complete;
    const end = this.#finished + finishedChars(this.#source.slice(this.#finished, complete), this.#scratch());
    if (end === this.#finished) return;
    const html = markdown.render(this.#source.slice(this.#finished, end), this.#env);
    const next = patch(this.#element, this.#tail, parsed(html));
    highlight(codesBetween(this.#tail, next));
    this.#finished = end;
    this.#lastFinished = next ? next.previousSibling : this.#element.lastChild;
  }

  #drawTail() {
    const html = markdown.render(this.#source.slice(this.#finished), this.#scratch());
    removeFrom(patch(this.#element, this.#tail, parsed(html)));
  }

  /** The first node that is not finished. */
  get #tail() {
    return this.#lastFinished ? this.#lastFinished.nextSibling : this.#element.firstChild;
  }

  /** What the finished blocks have defined, with room for what may still be half a definition. */
  #scratch() {
    return { references: Object.create(this.#env.references), cells: this.#env.cells };
  }
}

/**
 * How many characters of `text`, which ends with a line, belong to blocks that are finished.
 *
 * The last block never is: a paragraph may go on or turn out a heading or the head of a table, a list or a quote may go
 * on after an empty line or lazily without its mark. Only a fence can be seen to be closed. Every other block ended where
 * the next began, and that was decided by whole lines. The definitions of links between two blocks make no block and
 * may be half of one, so what is finished ends with a block and not where the next begins.
 */
function finishedChars(text, env) {
  const tokens = [];
  markdown.block.parse(text, markdown, env, tokens);
  const blocks = tokens.filter(({ level, map, type }) => level === 0 && map && type !== "reference_definition");
  if (blocks.length && !isClosedFence(blocks.at(-1))) blocks.pop();
  const end = blocks.at(-1)?.map[1] ?? 0;
  return text.split("\n").slice(0, end).reduce((chars, line) => chars + line.length + 1, 0);
}

function isClosedFence({ type, map, content }) {
  // Between its marks a closed fence has as many lines as its text; an open one lacks the second mark.
  return type === "fence" && content.split("\n").length - 1 === map[1] - map[0] - 2;
}

// CRLF is a line's end too, and its halves may come in two pieces.
function withoutReturns(text) {
  return text.replaceAll("\r", "");
}

/** Nodes of HTML that markdown-it made. */
function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/**
 * Make the children of `parent` from `old` on the same as `wanted`, and return the first that is left over. What is the
 * same already is left alone: the browser has less to lay out, and a selection in the text survives.
 */
function patch(parent, old, wanted) {
  for (const node of [...wanted.childNodes]) {
    const next = old?.nextSibling ?? null;
    if (!old) parent.append(node);
    else if (!old.isEqualNode(node)) patchNode(old, node);
    old = next;
  }
  return old;
}

function patchNode(old, wanted) {
  if (old instanceof Text && wanted instanceof Text) {
    // The layout of a long text goes on where it is added to, and begins anew where it is set.
    if (wanted.data.startsWith(old.data)) old.appendData(wanted.data.slice(old.length));
    else old.data = wanted.data;
  } else if (old.cloneNode(false).isEqualNode(wanted.cloneNode(false))) {
    removeFrom(patch(old, old.firstChild, wanted));
  } else {
    old.replaceWith(wanted);
  }
}

function removeFrom(node) {
  while (node) {
    const next = node.nextSibling;
    node.remove();
    node = next;
  }
}

function codesBetween(first, end) {
  const codes = [];
  for (let node = first; node !== end; node = node.nextSibling) {
    if (node instanceof Element) codes.push(...node.querySelectorAll("code[class]"));
  }
  return codes;
}

async function highlight(codes) {
  if (!codes.length) return;
  const { highlight } = await import("./highlight.js");
  for (const code of codes) highlight(code);
}
