import { find } from "./dom.js";
import { patch, removeFrom } from "./patch.js";
import { selectionIn } from "./selection.js";

/**
 * Put another rendering of a message, or its sibling, in its place. What was unfolded, wrapped, selected or had
 * the focus still is or has.
 * @param {HTMLElement} old
 * @param {HTMLElement} next
 */
export function swap(old, next) {
  const isOpen = old.querySelector("[data-reasoning][open]") !== null;
  next.querySelector("[data-reasoning]")?.toggleAttribute("open", isOpen);
  if (next.id === old.id) keepWraps(old, next);
  const focus = counterpart(old);
  const select = selectionIn(old.querySelector("[data-text]"));
  old.replaceWith(next);
  select(next.querySelector("[data-text]"));
  focus(next)?.focus({ preventScroll: true });
}

/**
 * Make a reply the server's rendering of it. Its text changes only where it differs: a long one takes long to lay out.
 * @param {HTMLElement} message
 * @param {HTMLElement} next of which little is left
 */
export function settle(message, next) {
  const isOpen = message.querySelector("[data-reasoning][open]") !== null;
  next.querySelector("[data-reasoning]")?.toggleAttribute("open", isOpen);
  const focus = counterpart(message);
  const text = find(message, "[data-text]", HTMLElement);
  const wanted = find(next, "[data-text]", HTMLElement);
  const select = selectionIn(text);
  removeFrom(patch(text, text.firstChild, wanted));
  surround(text, wanted);
  for (const name of message.getAttributeNames()) message.removeAttribute(name);
  for (const { name, value } of next.attributes) message.setAttribute(name, value);
  select(text);
  if (!message.contains(document.activeElement)) focus(message)?.focus({ preventScroll: true });
}

/**
 * Give a node the siblings of another one instead of its own.
 * @param {ChildNode} node
 * @param {ChildNode} other
 */
function surround(node, other) {
  for (const sibling of [...(node.parentNode?.childNodes ?? [])]) if (sibling !== node) sibling.remove();
  const siblings = [...(other.parentNode?.childNodes ?? [])];
  const index = siblings.indexOf(other);
  node.before(...siblings.slice(0, index));
  node.after(...siblings.slice(index + 1));
}

/** @param {HTMLElement} old @param {HTMLElement} next the same message, with the same blocks of code */
function keepWraps(old, next) {
  const wraps = wrapsIn(next);
  for (const [index, { checked }] of wrapsIn(old).entries()) {
    const wrap = wraps[index];
    if (wrap) wrap.checked = checked;
  }
}

/** @param {HTMLElement} message */
function wrapsIn(message) {
  return /** @type {NodeListOf<HTMLInputElement>} */ (message.querySelectorAll(".code__tool input"));
}

/**
 * How to find in another message what has the focus in this one: the control with the same name, as far from the start.
 * @param {HTMLElement} message
 * @returns {(other: HTMLElement) => HTMLElement | null | undefined}
 */
export function counterpart(message) {
  const focused = document.activeElement;
  if (!(focused instanceof HTMLElement) || !message.contains(focused)) return () => null;
  const name = nameOf(focused);
  const index = named(message, name).indexOf(focused);
  return (other) => {
    const control = named(other, name)[index];
    // At the last sibling there is nothing further to show, only the way back.
    if (control?.matches(":disabled")) return control.closest("form")?.querySelector("button:enabled");
    return control;
  };
}

/** @param {HTMLElement} message @param {string} name */
function named(message, name) {
  /** @type {NodeListOf<HTMLElement>} */
  const controls = message.querySelectorAll("a, button, summary, .code__tool input, [tabindex]");
  return [...controls].filter((control) => nameOf(control) === name);
}

/** @param {HTMLElement} control */
function nameOf(control) {
  return control.ariaLabel ?? control.textContent.trim();
}
