// Files of conversations that are being made: how far they are, without a reload.

import { find } from "./dom.js";
import { fragment, Problem } from "./requests.js";
import { EXPORT_FAILED, EXPORT_READY } from "./sentences.js";

// Milliseconds between two looks.
const PAUSE_MS = 2000;
const MADE = "[data-state=running], [data-state=queued]";

while (document.querySelector(MADE)) {
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  if (document.hidden) continue;
  try {
    renew(await fragment(location.href));
  } catch (error) {
    // What is passing is tried again.
    if (!Problem.from(error).isPassing) break;
  }
}

/** @param {DocumentFragment} page */
function renew(page) {
  for (const shown of document.querySelectorAll(MADE)) {
    const { export: id = "" } = /** @type {HTMLElement} */ (shown).dataset;
    const now = page.querySelector(`[data-export="${id}"]`);
    if (!(now instanceof HTMLElement)) continue;
    const old = /** @type {HTMLTableRowElement} */ (shown.closest("tr"));
    replaceCells(old, /** @type {HTMLTableRowElement} */ (now.closest("tr")));
    const news = { ready: EXPORT_READY, failed: EXPORT_FAILED }[now.dataset.state ?? ""];
    if (news) find(document, "[data-news]", HTMLElement).textContent = news;
  }
}

/** @param {HTMLTableRowElement} row @param {HTMLTableRowElement} now */
function replaceCells(row, now) {
  for (const [index, cell] of [...row.cells].entries()) {
    const next = /** @type {HTMLTableCellElement} */ (now.cells[index]);
    if (cell.innerHTML === next.innerHTML) continue;
    const hadFocus = cell.contains(document.activeElement);
    cell.replaceChildren(...next.childNodes);
    // What was focused is gone; what is there instead is near.
    if (hadFocus) cell.querySelector("button")?.focus();
  }
}
