// Formulas, drawn by KaTeX, which is loaded with the first of them.

import { backoff, pause } from "./backoff.js";
import { find } from "./dom.js";

/** What chat/markdown.py and markup.js make of a formula: its source with its marks. */
const FORMULAS = ".formula:not(.formula--long, [data-tex])";
const BLOCKS = "p, li, td, th, h1, h2, h3, h4, h5, h6, div";
// Nothing may load, link or define styles. Without limits, a macro could double itself for ever, and a rule or a space
// could reach across the page. An input that LaTeX would not take is no reason not to draw it.
const OPTIONS = { trust: false, maxExpand: 300, maxSize: 20, strict: "ignore" };
// Chromium dies of elements that are nested some thousands deep. Parsers of HTML stop at this depth.
const DEEPEST = 512;
// The server's rendering takes the place of the page's own, with the same formulas.
const KEPT = 500;
// The page may draw and answer in between.
const SLICE_MS = 8;
/** @type {Map<string, HTMLElement>} */
const kept = new Map();
let isLoading = false;

/**
 * Draw the formulas of the page, and those that are added later before they are painted. Without KaTeX, or if it cannot
 * read one, the source stays.
 */
export function drawFormulas() {
  draw();
  const observer = new MutationObserver((changes) => changes.some(bringsFormulas) && draw());
  observer.observe(document.body, { childList: true, subtree: true });
  document.addEventListener("copy", copy);
}

/**
 * Looks only at what is new, as the page may have two thousand messages.
 * @param {MutationRecord} change
 */
function bringsFormulas({ addedNodes }) {
  return [...addedNodes].some(
    (node) => node instanceof Element && (node.matches(FORMULAS) || node.querySelector(FORMULAS)),
  );
}

function draw() {
  /** @type {NodeListOf<HTMLElement>} */
  const formulas = document.querySelectorAll(FORMULAS);
  if (!formulas.length) return;
  if (!("katex" in globalThis)) {
    return load();
  }
  const end = performance.now() + SLICE_MS;
  /** @type {HTMLElement[]} */
  const drawn = [];
  for (const formula of formulas) {
    if (performance.now() > end) break;
    drawOne(formula);
    drawn.push(formula);
  }
  letWideScroll(drawn);
  // The first formulas are drawn in other letters until their fonts have come.
  if (document.fonts.status === "loading") document.fonts.ready.then(() => letWideScroll(drawn));
  if (drawn.length < formulas.length) setTimeout(draw);
}

/** @param {HTMLElement[]} formulas */
function letWideScroll(formulas) {
  // Measured together, because each measure after a change costs a layout.
  for (const formula of formulas.filter(isWide)) formula.tabIndex = 0;
}

/**
 * Whether the formula is wider than its line. It then scrolls, also with the keyboard.
 * @param {HTMLElement} formula
 */
function isWide(formula) {
  const room = formula.closest(BLOCKS)?.clientWidth ?? 0;
  const parts = formula.querySelectorAll(".katex-display .katex-html, .katex-html > .katex-base");
  return [...parts].some((part) => part.scrollWidth > room);
}

async function load() {
  if (isLoading) return;
  isLoading = true;
  for (let failures = 1; !(await isLoaded()); failures++) await pause(backoff(failures));
  draw();
}

async function isLoaded() {
  try {
    await loadStyles();
    await import("../vendor/katex/katex.js");
    return true;
  } catch {
    return false;
  }
}

async function loadStyles() {
  const styles = find(document, "[data-math-styles]", HTMLLinkElement);
  if (!styles.disabled) return;
  const loaded = new Promise((resolve, reject) => {
    styles.onload = resolve;
    styles.onerror = (error) => {
      // Enabling them again fetches them again.
      styles.disabled = true;
      reject(error);
    };
  });
  styles.disabled = false;
  await loaded;
}

/** @param {HTMLElement} formula */
function drawOne(formula) {
  const source = formula.textContent;
  formula.dataset.tex = source;
  const known = kept.get(source);
  if (known) return formula.replaceChildren(...known.cloneNode(true).childNodes);
  const marks = /^\$(?!\$)/.test(source) ? 1 : 2;
  const displayMode = /^(\\\[|\$\$)/.test(source);
  const copy = document.createElement("span");
  try {
    globalThis.katex.render(source.slice(marks, -marks), copy, { ...OPTIONS, displayMode });
    if (depthOf(copy) > DEEPEST) return;
  } catch {
    return;
  }
  if (kept.size >= KEPT) kept.clear();
  kept.set(source, copy);
  formula.replaceChildren(...copy.cloneNode(true).childNodes);
}

/**
 * How deep the elements in `root` are nested.
 * @param {Element} root
 */
function depthOf(root) {
  let deepest = 0;
  let depth = 0;
  /** @type {Element | null} */
  let element = root;
  while (element) {
    deepest = Math.max(deepest, depth);
    if (element.firstElementChild) {
      element = element.firstElementChild;
      depth++;
    } else {
      while (element !== root && !element.nextElementSibling) {
        element = /** @type {Element} */ (element.parentElement);
        depth--;
      }
      element = element === root ? null : element.nextElementSibling;
    }
  }
  return deepest;
}

/**
 * Copy the sources of selected formulas instead of what was drawn.
 * @param {ClipboardEvent} event
 */
function copy(event) {
  const selection = getSelection();
  if (!selection?.rangeCount || selection.isCollapsed || !event.clipboardData) return;
  const range = selection.getRangeAt(0).cloneRange();
  const [first, last] = [range.startContainer, range.endContainer].map(formulaAround);
  if (first) range.setStartBefore(first);
  if (last) range.setEndAfter(last);
  const box = document.createElement("div");
  box.className = "copied";
  box.append(range.cloneContents());
  const formulas = box.querySelectorAll("[data-tex]");
  if (!formulas.length) return;
  for (const formula of formulas) formula.textContent = /** @type {HTMLElement} */ (formula).dataset.tex ?? "";
  document.body.append(box);
  // biome-ignore lint/performance/useDomNodeTextContent: only this has the ends of lines.
  event.clipboardData.setData("text/plain", box.innerText);
  event.clipboardData.setData("text/html", box.innerHTML);
  box.remove();
  event.preventDefault();
}

/** @param {Node} node */
function formulaAround(node) {
  return (node instanceof Element ? node : node.parentElement)?.closest("[data-tex]");
}
