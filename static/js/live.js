// Markdown, drawn while it is being written.

import { pause } from "./backoff.js";
import { listOf } from "./items.js";
import { Budget, finishedChars, MARKDOWN_CHARS, render } from "./markup.js";
import { patch, removeFrom } from "./patch.js";
import { TOO_MUCH } from "./sentences.js";

// Twenty-five times a second reads as a flow. Unlike animation frames, timers also run in a hidden tab.
const PACE_MS = 40;
// Drawing takes at most a fifth of the time, however long the last block has become.
const REST = 4;

/** @import { Item } from "./items.js" */

/**
 * Draws a growing text. A top-level block that nothing to come can change is drawn once and never touched again. Only
 * what follows it is rendered again, and of a list or table only the items that have changed.
 */
export class LiveMarkdown {
  #element;
  #source = ""; // Its lines end with LF.
  #endsWithReturn = false; // Whether the LF of a CRLF may still come.
  #complete = 0; // How much of the source was whole lines at the last look.
  #finished = 0; // How much of it is drawn for good,
  /** @type {ChildNode | null} */
  #lastFinished = null; // up to which node,
  #budget = new Budget(); // and what is left after it.
  /** @type {Item[]} */
  #items = []; // Those of the first block that is not finished, as drawn.
  #end = Infinity; // How much of it is formatted at most.
  #timer = 0;
  #drawnAt = 0;
  #took = 0;

  /** @param {Element} element whose children this object owns from now on */
  constructor(element) {
    this.#element = element;
  }

  /**
   * Add text to the end; it is drawn within a moment.
   * @param {string} text
   */
  append(text) {
    if (!text) return;
    const added = this.#endsWithReturn && text.startsWith("\n") ? text.slice(1) : text;
    this.#endsWithReturn = text.endsWith("\r");
    this.#source += added.replace(/\r\n?/g, "\n").replaceAll("\0", "\ufffd");
    this.#schedule();
  }

  /**
   * Draw this text instead of all there is, within a moment.
   * @param {string} text
   */
  replace(text) {
    this.#clear();
    this.append(text);
    this.#schedule();
  }

  /** Draw what there is now. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const start = performance.now();
    if (this.#source.length > MARKDOWN_CHARS) this.#limit(this.#source.lastIndexOf("\n", MARKDOWN_CHARS - 1) + 1);
    this.#drawFinished();
    this.#drawTail();
    // The layout must come anyway; here it counts.
    this.#element.getBoundingClientRect();
    this.#drawnAt = performance.now();
    this.#took = this.#drawnAt - start;
  }

  #clear() {
    this.#source = "";
    this.#endsWithReturn = false;
    this.#complete = 0;
    this.#finished = 0;
    this.#lastFinished = null;
    this.#budget = new Budget();
    this.#items = [];
    this.#end = Infinity;
  }

  #schedule() {
    const rest = Math.max(PACE_MS, REST * this.#took) - (performance.now() - this.#drawnAt);
    this.#timer ||= setTimeout(() => this.flush(), rest);
  }

  /**
   * Format no more than the first characters.
   * @param {number} chars
   */
  #limit(chars) {
    this.#end = Math.min(this.#end, chars);
  }

  #drawFinished() {
    const end = this.#newlyFinished();
    if (end <= this.#finished) return;
    const text = this.#source.slice(this.#finished, end);
    const { html, chars, kept } = render(text, this.#budget, end === this.#end, this.#items);
    this.#items = [];
    const next = this.#patch(parsed(html), kept);
    highlight(codesBetween(this.#tail, next));
    this.#finished += chars;
    this.#lastFinished = next ? next.previousSibling : this.#element.lastChild;
    if (this.#finished < end) this.#limit(this.#finished);
  }

  #newlyFinished() {
    if (this.#end <= this.#source.length) return this.#end;
    const complete = this.#source.lastIndexOf("\n") + 1;
    if (complete === this.#complete) return this.#finished;
    this.#complete = complete;
    return this.#finished + finishedChars(this.#source.slice(this.#finished, complete), this.#budget.copy());
  }

  #drawTail() {
    const tail = this.#source.slice(this.#finished, this.#end);
    const { html, chars, items, kept } = render(tail, this.#budget.copy(), true, this.#items);
    this.#items = items;
    if (chars < tail.length) this.#limit(this.#finished + chars);
    const nodes = parsed(html);
    const rest = this.#source.slice(this.#end);
    if (/[^\n]/.test(rest)) nodes.append(...plain(rest));
    removeFrom(this.#patch(nodes, kept));
  }

  /**
   * Draw these nodes behind what is finished, and return the first that is left over.
   * @param {DocumentFragment} nodes
   * @param {number} kept how many items of the first one are left out, as they are drawn already
   */
  #patch(nodes, kept) {
    const old = this.#tail;
    if (!kept) return patch(this.#element, old, nodes);
    const list = listOf(/** @type {HTMLElement} */ (old));
    const items = listOf(/** @type {HTMLElement} */ (nodes.firstChild));
    items.firstChild?.remove();
    removeFrom(patch(list, list.childNodes[2 * kept + 1] ?? null, items));
    nodes.firstChild?.remove();
    return patch(this.#element, old?.nextSibling ?? null, nodes);
  }

  /** The first node that is not finished. */
  get #tail() {
    return this.#lastFinished ? this.#lastFinished.nextSibling : this.#element.firstChild;
  }
}

/**
 * The nodes of `plain` in chat/markdown.py.
 * @param {string} text
 */
function plain(text) {
  const reason = document.createElement("em");
  reason.textContent = TOO_MUCH;
  const paragraph = document.createElement("p");
  paragraph.append(reason);
  const pre = document.createElement("pre");
  pre.className = "plain";
  pre.dir = "auto";
  pre.tabIndex = 0;
  pre.textContent = text;
  return [paragraph, "\n", pre];
}

/**
 * The nodes of HTML that came from `render`.
 * @param {string} html
 */
function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/**
 * @param {ChildNode | null} first
 * @param {ChildNode | null} end
 */
function codesBetween(first, end) {
  const codes = [];
  for (let node = first; node && node !== end; node = node.nextSibling) {
    if (node instanceof Element) codes.push(...node.querySelectorAll("code[class]"));
  }
  return codes;
}

/** @param {Element[]} codes */
async function highlight(codes) {
  if (!codes.length) return;
  const colours = await import("./highlight.js").catch(() => null);
  // The next code tries again, and at the end the server colours all of it.
  if (!colours) return;
  for (const code of codes) {
    colours.highlight(code);
    // The page may answer in between: hostile code of the greatest length takes half a second.
    await pause();
  }
}
