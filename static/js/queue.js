import { counterpart } from "./swap.js";
import { isComposing } from "./typing.js";

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
  // What was written about a question has been saved, or is no longer needed. A question that was sent had the words
  // from before.
  if (!button?.hasAttribute("data-send")) editOf(target)?.removeAttribute("open");
}

/**
 * Show the questions that are queued now. An edit under way stays as it is.
 * @param {HTMLElement} element the ones on the page
 * @param {HTMLElement} next the server's rendering of them
 * @returns {string[]} what was being written about questions that are no longer queued
 */
export function showQueued(element, next) {
  const focused = document.activeElement;
  const lost = [];
  let find = () => /** @type {HTMLElement | null | undefined} */ (null);
  for (const question of element.querySelectorAll("article")) {
    const same = next.querySelector(`#${question.id}`);
    const edit = question.querySelector("details[open]");
    const text = edit?.querySelector("textarea");
    if (!(same instanceof HTMLElement)) {
      if (text && text.value !== text.defaultValue) lost.push(text.value);
      continue;
    }
    if (edit) same.querySelector("details")?.replaceWith(edit);
    keepErrors(question, same);
    if (question.contains(focused)) {
      const inOther = counterpart(question);
      find = () => inOther(same);
    }
  }
  element.replaceChildren(...next.childNodes);
  // What is moved or replaced loses the focus.
  const control = focused instanceof HTMLElement && element.contains(focused) ? focused : find();
  control?.focus({ preventScroll: true });
  return lost.filter((text) => text.trim());
}

/** @param {HTMLElement} question @param {HTMLElement} same */
function keepErrors(question, same) {
  const errors = same.querySelectorAll("[data-error]");
  for (const [index, error] of question.querySelectorAll("[data-error]").entries()) {
    errors[index]?.replaceChildren(...error.childNodes);
  }
}

/** @param {EventTarget | null} target in a queued question */
function editOf(target) {
  return target instanceof Element ? target.closest("article")?.querySelector("details") : null;
}
