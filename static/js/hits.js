// Marks what a search has found in the messages, without a change to them.

import { find } from "./dom.js";

/**
 * @typedef {object} Term words that stand one after another
 * @property {string[]} words
 * @property {boolean} is_prefix whether the last of them may continue
 */
/** @typedef {{word: string, node: Text, start: number, end: number}} Word and where it stands */

// All of this is the same as in chat/words.py.
const PAIRED = "々-〇〡-〩〱-〵ぁ-ゖ\\u3099\\u309aゝ-ゟァ-ヺー-ヿㇰ-ㇿ㐀-䶿一-鿿\\uf900-\\ufaffｦ-ﾟ\\u{20000}-\\u{3ffff}";
const RUN = new RegExp(
  `(?<paired>[${PAIRED}]+)|(?:(?![${PAIRED}])[\\p{L}\\p{N}])(?:(?![${PAIRED}])[\\p{L}\\p{N}\\p{M}])*`,
  "gu",
);
const ACCENTS = /[\u0300-\u036f]/g;

/**
 * Mark the hits of the search that has led to this page, now and whenever the messages change.
 * @param {Document} page
 */
export function markHits(page) {
  const data = page.getElementById("hit-terms");
  if (!data || !CSS.highlights) return;
  /** @type {Term[]} */
  const terms = JSON.parse(data.textContent);
  const list = find(page, "[data-messages]", HTMLElement);
  const marks = new Highlight();
  CSS.highlights.set("hit", marks);

  function mark() {
    marks.clear();
    for (const text of list.querySelectorAll("[data-text]")) for (const range of ranges(text, terms)) marks.add(range);
  }

  mark();
  const target = page.getElementById(location.hash.slice(1));
  const [navigation] = performance.getEntriesByType("navigation");
  // A reload leads back to where the person was.
  if (target && navigation instanceof PerformanceNavigationTiming && navigation.type === "navigate") {
    const first = [...marks].find((range) => target.contains(range.startContainer));
    // By then the browser has scrolled to the message.
    if (first instanceof Range) addEventListener("load", () => show(first), { once: true });
  }
  // At most once for what is drawn: a reply that is being written changes often.
  let frame = 0;
  new MutationObserver(() => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(mark);
  }).observe(list, { childList: true, subtree: true });
}

/**
 * Bring a hit deep in a long message into view, and open what is folded around it.
 * @param {Range} hit
 */
function show(hit) {
  const folded = hit.startContainer.parentElement?.closest(".folded");
  const fold = folded?.nextElementSibling;
  if (folded && fold instanceof HTMLDetailsElement) {
    fold.open ||= hit.getBoundingClientRect().bottom > folded.getBoundingClientRect().bottom;
  }
  const { top, bottom } = hit.getBoundingClientRect();
  // What is fixed at the top and at the bottom of the window covers less than this.
  if (top > innerHeight / 8 && bottom < innerHeight * 0.75) return;
  scrollBy({ top: (top + bottom - innerHeight) / 2, behavior: "instant" });
}

/** @param {Element} text @param {Term[]} terms */
function ranges(text, terms) {
  const words = [...wordsIn(text)];
  const found = [];
  for (let index = 0; index < words.length; index++) {
    for (const term of terms) {
      if (matches(words, index, term)) found.push(range(words, index, term));
    }
  }
  return found;
}

/** @param {Word[]} words @param {number} index @param {Term} term */
function matches(words, index, { words: wanted, is_prefix }) {
  return wanted.every((word, offset) => {
    const found = words[index + offset]?.word;
    return is_prefix && offset === wanted.length - 1 ? found?.startsWith(word) : found === word;
  });
}

/** @param {Word[]} words @param {number} index @param {Term} term */
function range(words, index, { words: wanted }) {
  const first = /** @type {Word} */ (words[index]);
  const last = /** @type {Word} */ (words[index + wanted.length - 1]);
  const isCharacter = [...(wanted.at(-1) ?? "")].length === 1 && isPaired(wanted.at(-1) ?? "");
  const range = new Range();
  range.setStart(first.node, first.start);
  range.setEnd(last.node, isCharacter ? last.start + (wanted.at(-1) ?? "").length : last.end);
  return range;
}

/** @param {Element} text @returns {Generator<Word>} */
function* wordsIn(text) {
  const nodes = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) yield* split(/** @type {Text} */ (nodes.currentNode));
}

/** @param {Text} node @returns {Generator<Word>} */
function* split(node) {
  for (const { 0: run, index: start, groups } of node.data.matchAll(RUN)) {
    const end = start + run.length;
    const folded = fold(run);
    if (!groups?.paired) {
      yield { word: folded, node, start, end };
      continue;
    }
    const characters = [...folded];
    // Folding may join two characters. Then the whole run is the place of each pair.
    const isExact = folded.length === run.length;
    let place = start;
    for (const [position, character] of characters.entries()) {
      const word = character + (characters[position + 1] ?? "");
      yield isExact ? { word, node, start: place, end: place + word.length } : { word, node, start, end };
      place += character.length;
    }
  }
}

/** @param {string} run */
function fold(run) {
  const bare = run.normalize("NFKD").replace(ACCENTS, "");
  return bare.toUpperCase().toLowerCase().replaceAll("ς", "σ").normalize("NFC");
}

/** @param {string} word */
function isPaired(word) {
  return [...word.matchAll(RUN)].some(({ groups }) => groups?.paired);
}
