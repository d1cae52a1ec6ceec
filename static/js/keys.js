// The keys that work everywhere on the page. The composer and the dialogs have their own.

import { find } from "./dom.js";
import { hasLater } from "./paging.js";
import { commands, Palette } from "./palette.js";
import { isComposing, isField } from "./typing.js";

const IS_MAC = navigator.platform.startsWith("Mac");
const SINGLE = "single-keys";

/** @param {Document} page */
export function listenForKeys(page) {
  const palette = new Palette(find(page, "[data-palette]", HTMLDialogElement));
  const shortcuts = find(page, "[data-shortcuts]", HTMLDialogElement);
  describe(shortcuts);
  find(page, "[data-show-shortcuts]", HTMLElement).addEventListener("click", () => shortcuts.showModal());
  page.addEventListener("keydown", (event) => {
    if (isComposing(event)) return;
    const isCommand = (IS_MAC ? event.metaKey : event.ctrlKey) && !event.altKey && !event.shiftKey;
    const isOther = page.querySelector("dialog:modal:not([data-palette])");
    if (isOther) return;
    if (isCommand && event.key === "k") palette.toggle();
    else if ((isCommand && event.key === "/") || isQuestionMark(event)) shortcuts.showModal();
    else if (isUpInEmptyComposer(event)) editLastQuestion(page);
    else if (!runCommandOf(event)) return;
    event.preventDefault();
  });
}

/** @param {KeyboardEvent} event */
function isUpInEmptyComposer({ key, repeat, target, ctrlKey, altKey, metaKey, shiftKey }) {
  const isPlain = !repeat && !ctrlKey && !altKey && !metaKey && !shiftKey;
  return (
    key === "ArrowUp" && isPlain && target instanceof HTMLTextAreaElement && target.id === "question" && !target.value
  );
}

/**
 * Run the command that the page gives to this letter with Alt+Shift, on a Mac with ⌃⇧. With Ctrl+Shift or ⌘⇧, browsers
 * open their own lists and tools; with ⌥, a Mac writes characters.
 * @param {KeyboardEvent} event
 * @returns {boolean} whether there is one
 */
function runCommandOf({ key, repeat, shiftKey, altKey, ctrlKey, metaKey }) {
  const isHeld = shiftKey && !metaKey && altKey === !IS_MAC && ctrlKey === IS_MAC;
  if (!isHeld || repeat) return false;
  const control = [...commands().values()].find(({ dataset }) => dataset.key === key.toLowerCase());
  control?.click();
  return control !== undefined;
}

/** @param {Document} page */
function editLastQuestion(page) {
  if (hasLater()) return;
  const links = page.querySelectorAll("[data-edit-link]");
  /** @type {HTMLElement | undefined} */ ([...links].at(-1))?.click();
}

/** @param {HTMLDialogElement} shortcuts */
function describe(shortcuts) {
  if (IS_MAC) for (const key of document.querySelectorAll("[data-modifier]")) key.textContent = "⌘";
  if (IS_MAC) for (const key of document.querySelectorAll("[data-alt]")) key.textContent = "⌃";
  const choice = find(shortcuts, "[data-single-keys]", HTMLInputElement);
  choice.checked = hasSingleKeys();
  choice.addEventListener("change", () => localStorage.setItem(SINGLE, choice.checked ? "on" : "off"));
}

/** @param {KeyboardEvent} event */
function isQuestionMark({ key, target, ctrlKey, altKey, metaKey }) {
  return key === "?" && !isField(target) && !ctrlKey && !altKey && !metaKey && hasSingleKeys();
}

/** Speech input may press single keys by mistake, so a person can switch them off. */
function hasSingleKeys() {
  return localStorage.getItem(SINGLE) !== "off";
}
