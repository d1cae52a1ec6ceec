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
    const questions = questionsIn(list);
    const index = questions.findIndex((question) => follower.isBelowTop(question, -1));
    const question = index < 0 ? questions.at(-1) : questions[index - 1];
    if (question) follower.toTop(question);
  }

  function toNext() {
    const question = questionsIn(list).find((question) => follower.isBelowTop(question, 1));
    if (question) follower.toTop(question);
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

/** @param {HTMLElement} list */
function questionsIn(list) {
  return [...list.querySelectorAll(":scope > [data-role=user]")];
}
