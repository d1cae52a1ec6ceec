import { find } from "./dom.js";
import { hasLater } from "./paging.js";
import { counterpart } from "./swap.js";
import { isComposing } from "./typing.js";

// The form for another wording of a question, open or not.
const EDIT = "[data-queued-edit]";

// What the tab keeps of an edit until it is saved or dropped, by the id of the question. Another branch has other ones.
const KEPT = `queued ${location.pathname} `;

/** @param {HTMLElement} element the questions that are queued, which change by their forms and from elsewhere */
export function followEdits(element) {
  element.addEventListener("input", keepEdit);
  element.addEventListener("toggle", keepClosed, { capture: true });
  element.addEventListener("sent", (event) => closeEdit(/** @type {CustomEvent} */ (event)), { capture: true });
  element.addEventListener("keydown", (event) => {
    const edit = editOf(event.target);
    if (event.key !== "Escape" || isComposing(event) || !edit?.open) return;
    event.preventDefault();
    close(edit);
  });
  element.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest(`[data-cancel], ${EDIT} > summary`);
    const edit = button && editOf(button);
    if (!edit) return;
    event.preventDefault();
    if (button.matches("summary")) open(edit);
    else drop(edit);
  });
}

/** @param {HTMLDetailsElement} edit of which the button goes */
function open(edit) {
  edit.open = true;
  find(edit, "textarea", HTMLTextAreaElement).focus();
  // With its buttons.
  find(edit, "form", HTMLFormElement).scrollIntoView({ block: "nearest" });
}

/** @param {HTMLDetailsElement} edit of which the words stay */
function close(edit) {
  edit.open = false;
  edit.querySelector("summary")?.focus();
}

/** @param {HTMLDetailsElement} edit */
function drop(edit) {
  const text = find(edit, "textarea", HTMLTextAreaElement);
  text.value = text.defaultValue;
  // As if a person had typed that: nothing is kept, and no complaint holds.
  text.dispatchEvent(new Event("input", { bubbles: true }));
  close(edit);
}

/**
 * Show the edits that were not saved before the page was loaded again, open unless they were closed.
 * @param {HTMLElement} element
 * @returns {string[]} what was being written about questions that are no longer queued
 */
export function restoreEdits(element) {
  const kept = keptEdits();
  for (const key of kept) {
    const edit = editOf(element.querySelector(`#${key.slice(KEPT.length)}`));
    if (!edit) continue;
    edit.open = sessionStorage.getItem(closed(key)) === null;
    find(edit, "textarea", HTMLTextAreaElement).value = sessionStorage.getItem(key) ?? "";
  }
  if (hasLater()) return [];
  const lost = kept.filter((key) => !document.getElementById(key.slice(KEPT.length)));
  return lost.map(takeEdit).filter((text) => text.trim());
}

/** Keep nothing of a conversation that ends. */
export function forgetEdits() {
  for (const key of keptEdits()) forget(key);
}

function keptEdits() {
  return Object.keys(sessionStorage).filter((key) => key.startsWith(KEPT));
}

/** @param {Event} event */
function keepEdit({ target }) {
  if (!(target instanceof HTMLTextAreaElement)) return;
  const key = keyOf(target);
  if (target.value === target.defaultValue) forget(key);
  else sessionStorage.setItem(key, target.value);
}

/** @param {Event} event of a form that has been opened or closed */
function keepClosed({ target }) {
  if (!(target instanceof HTMLDetailsElement) || !target.matches(EDIT)) return;
  const key = keyOf(target);
  if (target.open) sessionStorage.removeItem(closed(key));
  else if (sessionStorage.getItem(key) !== null) sessionStorage.setItem(closed(key), "");
}

/** @param {string} key */
function forget(key) {
  sessionStorage.removeItem(key);
  sessionStorage.removeItem(closed(key));
}

/** @param {string} key of an edit @returns {string} the key under which the tab keeps that a person has closed it */
function closed(key) {
  return `closed ${key}`;
}

/** @param {string} key */
function takeEdit(key) {
  const text = sessionStorage.getItem(key) ?? "";
  forget(key);
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
  forget(keyOf(edit));
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
      forget(keyOf(question));
      if (value !== defaultValue) lost.push(value);
      continue;
    }
    if (edit.open || value !== defaultValue) keepForm(edit, find(same, EDIT, HTMLDetailsElement));
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
 * Leave a form open or closed, and what is written in it. Whoever drops that has the words that the question has now.
 * @param {HTMLDetailsElement} edit @param {HTMLDetailsElement} next
 */
function keepForm(edit, next) {
  const { defaultValue } = find(next, "textarea", HTMLTextAreaElement);
  find(edit, "textarea", HTMLTextAreaElement).defaultValue = defaultValue;
  next.replaceWith(edit);
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
