// The items of a list and the rows of a table: while either grows, only those that are new are drawn.

/** @import { Token } from "../vendor/markdown-it/markdown-it.js" */

/**
 * An item or row that is drawn: what it was made from, and what it took from the budget.
 * @typedef {{ key: string, html: number, steps: number, drawn: number }} Item
 */

/**
 * Take a top-level block apart: what comes before its items, each of them, and what follows. Most blocks have none.
 * @param {Token[]} block
 * @returns {{ head: Token[], items: Token[][], foot: Token[] }}
 */
export function apart(block) {
  const start = startOfItems(block);
  if (!start) return { head: block, items: [], foot: [] };
  const { level } = block[start];
  /** @type {Token[][]} */
  const items = [];
  let end = start;
  for (; block[end].level >= level; end++) {
    if (block[end].level === level && block[end].nesting === 1) items.push([]);
    items.at(-1)?.push(block[end]);
  }
  return { head: block.slice(0, start), items, foot: block.slice(end) };
}

/** @param {Token[]} block */
function startOfItems(block) {
  if (/_list_open$/.test(block[0].type)) return 1;
  return block[0].type === "table_open" ? block.findIndex(({ type }) => type === "tbody_open") + 1 : 0;
}

/**
 * All that the HTML of these tokens depends on, except what the text defines.
 * @param {Token[]} tokens as the parser of blocks made them
 */
export function keyOf(tokens) {
  return JSON.stringify(
    tokens.map(({ type, tag, attrs, hidden, info, content }) => [type, tag, attrs, hidden, info, content]),
  );
}

/**
 * The element whose children the items are. A line end comes before the first and after each.
 * @param {HTMLElement} block as the page has drawn it
 */
export function listOf(block) {
  return block.querySelector(":scope > table > tbody") ?? block;
}
