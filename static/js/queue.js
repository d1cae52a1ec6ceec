/**
 * Show the questions that are queued now. An edit under way stays as it is.
 * @param {HTMLElement} element the ones on the page
 * @param {HTMLElement} next the server's rendering of them
 * @returns {string[]} what was being written about questions that are no longer queued
 */
export function showQueued(element, next) {
  const focused = document.activeElement;
  const lost = [];
  /** @type {NodeListOf<HTMLDetailsElement>} */
  const edits = element.querySelectorAll("details[open]");
  for (const edit of edits) {
    const same = next.querySelector(`#${edit.closest("[id]")?.id} details`);
    if (same) same.replaceWith(edit);
    else lost.push(edit.querySelector("textarea")?.value ?? "");
  }
  element.replaceChildren(...next.childNodes);
  // What is moved loses the focus.
  if (focused instanceof HTMLElement && element.contains(focused)) focused.focus({ preventScroll: true });
  return lost.filter((text) => text.trim());
}
