// A better answer that begins with the words of the one that it is about.

import { find } from "./dom.js";

/** @param {Document} page */
export function beginWithAnswers(page) {
  /** @type {NodeListOf<HTMLButtonElement>} */
  const buttons = page.querySelectorAll("button[data-begin]");
  for (const button of buttons) {
    button.hidden = false;
    button.addEventListener("click", () => begin(page, /** @type {HTMLElement} */ (button.closest("[data-entry]"))));
  }
}

/** @param {Document} page @param {HTMLElement} entry the one of the answer */
function begin(page, entry) {
  const box = find(page, "#mark-form [name=correction]", HTMLTextAreaElement);
  find(entry, "[name=about]", HTMLInputElement).checked = true;
  const words = find(entry, "[data-source]", HTMLTemplateElement).content.textContent;
  // At the caret: what is there already stays.
  box.setRangeText(words, box.selectionStart, box.selectionEnd, "start");
  box.focus();
}
