// What a reviewer does with a transcript by keyboard. Each key presses the link that names it.

import { find } from "./dom.js";
import { isComposing, isField } from "./typing.js";

// The same choice as in the chat: see keys.js.
const SINGLE = "single-keys";

/** @param {Document} page */
export function listenForKeys(page) {
  const shortcuts = find(page, "[data-shortcuts]", HTMLDialogElement);
  const show = find(page, "[data-show-shortcuts]", HTMLButtonElement);
  const choice = find(shortcuts, "[data-single-keys]", HTMLInputElement);
  show.hidden = false;
  show.addEventListener("click", () => shortcuts.showModal());
  find(shortcuts, "[data-close]", HTMLElement).addEventListener("click", () => shortcuts.close());
  choice.checked = hasSingleKeys();
  choice.addEventListener("change", () => localStorage.setItem(SINGLE, choice.checked ? "on" : "off"));
  page.addEventListener("keydown", (event) => {
    const { key, target, ctrlKey, altKey, metaKey, repeat } = event;
    const isPlain = !ctrlKey && !altKey && !metaKey && !repeat && !isComposing(event) && !isField(target);
    if (!isPlain || !hasSingleKeys() || page.querySelector("dialog:modal")) return;
    const pressed = key === "?" ? show : page.querySelector(`[data-key="${CSS.escape(key.toLowerCase())}"]`);
    if (!(pressed instanceof HTMLElement)) return;
    event.preventDefault();
    pressed.click();
  });
}

/** Speech input may press single keys by mistake, so a person can switch them off. */
function hasSingleKeys() {
  return localStorage.getItem(SINGLE) !== "off";
}
