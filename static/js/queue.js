import { find } from "./dom.js";
import { counterpart } from "./swap.js";
import { isComposing } from "./typing.js";

// The form for another wording of a question, open or not.
const EDIT = "[data-queued-edit]";

/** @param {HTMLElement} element the questions that are queued, which change by their forms and from elsewhere */
export function closeEdits(element) {
  element.addEventListener("sent", (event) => closeEdit(/** @type {CustomEvent} */ (event)), { capture: true });
  element.addEventListener("keydown", (event) => {
    const edit = editOf(event.target);
    if (event.key !== "Escape" || isComposing(event) || !edit?.open) return;
    event.preventDefault();
    edit.open = false;
    edit.querySelector("summary")?.focus();
  });
}

/** @param {CustomEvent<HTMLElement | null>} event of a form, with its button */
function closeEdit({ target, detail: button }) {
  const edit = editOf(target);
  // What was written about a question has been saved, or is no longer needed. A question that was sent had the words
  // from before.
  if (!edit || button?.hasAttribute("data-send")) return;
  edit.open = false;
  const text = find(edit, "textarea", HTMLTextAreaElement);
  text.defaultValue = text.value;
}

/**
 * Show the questions that are queued now. An edit that is open or not saved stays as it is.
 * @param {HTMLElement} element the ones on the page
 * @param {HTMLElement} next the server's rendering of them
 * @returns {string[]} what was being written about questions that are no longer queued
 */
export function showQueued(element, next) {
  const focused = document.activeElement;
  const lost = [];
  let again = () => /** @type {HTMLElement | null | undefined} */ (null);
  for (const question of element.querySelectorAll("article")) {
    const same = next.querySelector(`#${question.id}`);
    const edit = find(question, EDIT, HTMLDetailsElement);
    const { value, defaultValue } = find(edit, "textarea", HTMLTextAreaElement);
    if (!(same instanceof HTMLElement)) {
      if (value !== defaultValue) lost.push(value);
      continue;
    }
    if (edit.open || value !== defaultValue) same.querySelector(EDIT)?.replaceWith(edit);
    keepText(question, same);
    keepErrors(question, same);
    if (question.contains(focused)) {
      const inOther = counterpart(question);
      again = () => inOther(same);
    }
  }
  element.replaceChildren(...next.childNodes);
  // What is moved or replaced loses the focus.
  const control = focused instanceof HTMLElement && element.contains(focused) ? focused : again();
  control?.focus({ preventScroll: true });
  return lost.filter((text) => text.trim());
}

/**
 * Leave unfolded what a person has unfolded. A text that is still the same stays, with its code wrapped or not.
 * @param {HTMLElement} question @param {HTMLElement} same
 */
function keepText(question, same) {
  const text = find(question, "[data-text]", HTMLElement);
  const next = find(same, "[data-text]", HTMLElement);
  const isUnfolded = text.querySelector(".fold[open]") !== null;
  next.querySelector(".fold")?.toggleAttribute("open", isUnfolded);
  if (text.isEqualNode(next)) next.replaceWith(text);
}

/** @param {HTMLElement} question @param {HTMLElement} same */
function keepErrors(question, same) {
  const errors = same.querySelectorAll("[data-error]");
  for (const [index, error] of question.querySelectorAll("[data-error]").entries()) {
    errors[index]?.replaceChildren(...error.childNodes);
  }
}

/**
 * @param {EventTarget | null} target in a queued question
 * @returns {HTMLDetailsElement | null | undefined} the form for another wording of it
 */
function editOf(target) {
  return target instanceof Element ? target.closest("article")?.querySelector(EDIT) : null;
}
