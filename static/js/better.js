// A better answer that begins with the words of the one that it is about.

import { find } from "./dom.js";

// Separates what is in the box from the words that are added.
const GAP = "\n\n";

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
  // What is there already stays; where that has the words, there is nothing to add.
  if (!(GAP + box.value).includes(GAP + words)) {
    const before = box.value && box.value + GAP;
    box.value = before + words;
    box.setSelectionRange(before.length, before.length);
  }
  box.focus();
}
