// The page on which a conversation begins. What only messages need comes when all else is there.

import { nameModels } from "./answering.js";
import { Composer } from "./composer.js";
import { find } from "./dom.js";
import { go } from "./filter.js";
import { startPage } from "./page.js";

nameModels(document);
startPage(() => {
  const composer = new Composer(
    find(document, "[data-composer]", HTMLFormElement),
    find(document, "[data-stop-form]", HTMLFormElement),
    () => undefined,
    async (answer) => {
      if ("conversation" in answer) go(answer.conversation.url);
    },
    // There is no conversation yet that somebody could have changed.
    async () => {},
  );
  return { draft: composer.draft, shown: {}, reach() {}, tell: (problem) => composer.tell(problem) };
});
// Whoever writes will see a reply being written in a moment.
for (const event of ["input", "submit"])
  document.addEventListener(event, () => fetched(import("./reply.js")), { once: true });
addEventListener("load", () => (window.requestIdleCallback ?? setTimeout)(prepare), { once: true });

/** Fetch what only messages need, for the next page. */
function prepare() {
  fetched(import("./conversation.js"));
  fetched(import("./copy.js"));
  fetched(import("./download.js"));
  fetched(import("./hits.js"));
  fetched(import("./math.js"));
  fetched(import("./notes.js"));
}

/** @param {Promise<unknown>} module which the next page fetches again if that fails */
function fetched(module) {
  module.catch(() => {});
}
