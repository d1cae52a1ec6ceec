import { find } from "./dom.js";
import { hasLater } from "./paging.js";
import { counterpart } from "./swap.js";
import { isComposing } from "./typing.js";

// The form for another wording of a question, open or not.
const EDIT = "[data-queued-edit]";

// What the tab keeps of an edit until it is saved, by the id of the question. Another branch has other ones.
const KEPT = `queued ${location.pathname} `;

/** @param {HTMLElement} element the questions that are queued, which change by their forms and from elsewhere */
export function followEdits(element) {
  element.addEventListener("input", keepEdit);
  element.addEventListener("sent", (event) => closeEdit(/** @type {CustomEvent} */ (event)), { capture: true });
  element.addEventListener("keydown", (event) => {
    const edit = editOf(event.target);
    if (event.key !== "Escape" || isComposing(event) || !edit?.open) return;
    event.preventDefault();
    edit.open = false;
    edit.querySelector("summary")?.focus();
  });
}

/**
 * Open the edits that were not saved before the page was loaded again.
 * @param {HTMLElement} element
 * @returns {string[]} what was being written about questions that are no longer queued
 */
export function restoreEdits(element) {
  const kept = keptEdits();
  for (const key of kept) {
    const edit = editOf(element.querySelector(`#${key.slice(KEPT.length)}`));
    if (!edit) continue;
    edit.open = true;
    find(edit, "textarea", HTMLTextAreaElement).value = sessionStorage.getItem(key) ?? "";
  }
  if (hasLater()) return [];
  const lost = kept.filter((key) => !document.getElementById(key.slice(KEPT.length)));
  return lost.map(takeEdit).filter((text) => text.trim());
}

/** Keep nothing of a conversation that ends. */
export function forgetEdits() {
  for (const key of keptEdits()) sessionStorage.removeItem(key);
}

function keptEdits() {
  return Object.keys(sessionStorage).filter((key) => key.startsWith(KEPT));
}

/** @param {Event} event */
function keepEdit({ target }) {
  if (!(target instanceof HTMLTextAreaElement)) return;
  const key = keyOf(target);
  if (target.value === target.defaultValue) sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, target.value);
}

/** @param {string} key */
function takeEdit(key) {
  const text = sessionStorage.getItem(key) ?? "";
  sessionStorage.removeItem(key);
  return text;
}

/** @param {Element} part of a queued question */
function keyOf(part) {
  return `${KEPT}${part.closest("article")?.id}`;
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
  sessionStorage.removeItem(keyOf(edit));
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
      sessionStorage.removeItem(keyOf(question));
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
