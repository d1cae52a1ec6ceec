// What a reviewer does with a transcript by keyboard. Each key presses the link or button that names it, opens the form
// that does, or leads to what it would press.

import { find } from "./dom.js";
import { isComposing, isField } from "./typing.js";

// The same choice as in the chat: see keys.js.
const SINGLE = "single-keys";

const FIRST_MARK = "#mark-form :is(input:not([type=hidden]), textarea)";

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
  page.addEventListener("keydown", leaveOrSend);
  page.addEventListener("keydown", (event) => {
    const { key, target, ctrlKey, altKey, metaKey, repeat } = event;
    const isPlain = !ctrlKey && !altKey && !metaKey && !repeat && !isComposing(event) && !isField(target);
    if (!isPlain || !hasSingleKeys() || page.querySelector("dialog:modal")) return;
    const pressed = key === "?" ? show : (numbered(target, key) ?? meant(page, key.toLowerCase()));
    if (!pressed) return;
    event.preventDefault();
    if (pressed.parentElement instanceof HTMLDetailsElement) writeIn(pressed.parentElement);
    // Nobody settles what they have not seen.
    else if (pressed.hasAttribute("data-key-leads")) pressed.focus();
    else pressed.click();
    // A choice, or a link to the rubric.
    if (pressed.hasAttribute("data-to-marks")) find(page, FIRST_MARK, HTMLElement).focus();
    else if (pressed instanceof HTMLInputElement) pressed.focus();
  });
}

/**
 * Escape leaves a field, so that letters are keys again. Ctrl or ⌘ with Enter sends a text.
 * @param {KeyboardEvent} event
 */
function leaveOrSend(event) {
  const { key, target, ctrlKey, metaKey } = event;
  if (!isField(target) || isComposing(event)) return;
  if (key === "Escape") target.blur();
  // Its first button adds a note, or saves the marks.
  else if (key === "Enter" && (ctrlKey || metaKey) && target instanceof HTMLTextAreaElement)
    target.form?.querySelector("button")?.click();
}

/**
 * The choice of this number, where the focus is in one of several.
 * @param {EventTarget | null} target
 * @param {string} key
 */
function numbered(target, key) {
  if (!(target instanceof HTMLInputElement) || target.type !== "radio") return null;
  const choices = target.form?.querySelectorAll(`[name="${CSS.escape(target.name)}"]`) ?? [];
  return /** @type {HTMLInputElement | undefined} */ ([...choices].find((_, index) => String(index + 1) === key));
}

/**
 * What a key means. Where several have it, the one that has the focus, or the next one if the key only leads there;
 * at first that of the message at which the reviewer is.
 * @param {Document} page
 * @param {string} key
 */
function meant(page, key) {
  const all = /** @type {HTMLElement[]} */ ([...page.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)]);
  const focused = all.find((one) => one.matches(":focus"));
  if (focused) return focused.hasAttribute("data-key-leads") ? all[(all.indexOf(focused) + 1) % all.length] : focused;
  const here = page.activeElement?.closest("[data-entry]") ?? page.querySelector("[data-entry]:has(:target)");
  const own = here && isInWindow(here) && all.find((one) => here.contains(one));
  return own || all.find((one) => one.getBoundingClientRect().bottom > 0) || all.at(-1);
}

/** @param {Element} element */
function isInWindow(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return top < innerHeight && bottom > 0;
}

/** @param {HTMLDetailsElement} form */
function writeIn(form) {
  form.open = true;
  find(form, "textarea", HTMLTextAreaElement).focus();
}

/** Speech input may press single keys by mistake, so a person can switch them off. */
function hasSingleKeys() {
  return localStorage.getItem(SINGLE) !== "off";
}
