// Replies that are being written, as they come, and a word when the rest of the transcript has changed.

import { find } from "./dom.js";
import { RunningReply } from "./reply.js";
import { fragment, Problem } from "./requests.js";
import { PageStream } from "./stream.js";

/** @param {Document} page */
export function watch(page) {
  const list = find(page, "[data-messages]", HTMLElement);
  // What is in the trash has no version.
  const { watchUrl, messageUrl = "", version = "" } = list.dataset;
  // Who may not read may not watch either.
  if (!watchUrl) return;
  /** @type {NodeListOf<HTMLElement>} */
  const running = list.querySelectorAll("[data-message][data-events-url]");
  // Without replies it only tells versions, and is not recorded as watching.
  const stream = new PageStream(watchUrl, {
    shown: () => ({}),
    change(versions) {
      if (String(versions.version ?? "") !== version) find(page, "[data-changed]", HTMLElement).hidden = false;
    },
    disconnected() {},
  });
  for (const element of running) {
    const entry = /** @type {HTMLElement} */ (element.closest("[data-entry]"));
    // The addresses in the message are those of its person.
    const url = new URL(`../${element.dataset.message}/`, new URL(messageUrl, location.href)).pathname;
    element.dataset.messageUrl = url;
    new RunningReply(element, stream, () => renewFacts(entry, url));
  }
}

/** @param {HTMLElement} entry @param {string} url */
async function renewFacts(entry, url) {
  try {
    const facts = (await fragment(url)).querySelector("[data-facts]");
    if (facts) entry.querySelector("[data-facts]")?.replaceWith(facts);
  } catch (error) {
    // The message itself says what is wrong.
    Problem.from(error);
  }
}
