import { firstInWindow, messagesIn } from "./batches.js";
import { find } from "./dom.js";
import { usesArrows } from "./typing.js";

/**
 * Let a reader go from one question to the next.
 * @param {Document} page
 * @param {HTMLElement} list of messages
 * @param {import("./scroll.js").Follower} follower
 */
export function goBetweenQuestions(page, list, follower) {
  const previous = find(page, "[data-previous-question]", HTMLButtonElement);
  const next = find(page, "[data-next-question]", HTMLButtonElement);

  function toPrevious() {
    const messages = messagesIn(list);
    const question = messages.slice(0, firstBelowTop(messages, -1)).findLast(isQuestion);
    if (question) follower.toTop(question);
  }

  function toNext() {
    const messages = messagesIn(list);
    const question = messages.slice(firstBelowTop(messages, 1)).find(isQuestion);
    if (question) follower.toTop(question);
  }

  /** @param {HTMLElement[]} messages @param {number} slack in pixels */
  function firstBelowTop(messages, slack) {
    const visible = firstInWindow(list);
    const start = visible ? messages.indexOf(visible) : 0;
    const index = messages.findIndex((message, index) => index >= start && follower.isBelowTop(message, slack));
    return index < 0 ? messages.length : index;
  }

  previous.addEventListener("click", toPrevious);
  next.addEventListener("click", toNext);
  page.addEventListener("keydown", (event) => {
    const isOther = !event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
    if (isOther || usesArrows(event.target) || page.querySelector("dialog:modal")) return;
    if (event.key === "ArrowUp") toPrevious();
    else if (event.key === "ArrowDown") toNext();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => {
    // Where all is on screen there is nowhere to go.
    const { scrollHeight, clientHeight } = document.documentElement;
    previous.hidden = next.hidden = scrollHeight <= clientHeight;
  }).observe(list);
}

/** @param {HTMLElement} message */
function isQuestion({ dataset }) {
  return dataset.role === "user";
}
