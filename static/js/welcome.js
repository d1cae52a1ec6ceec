// The page on which a conversation begins. What only messages need is fetched while a person writes.

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
    async (answer) => {
      if ("conversation" in answer) go(answer.conversation.url);
    },
    // There is no conversation yet that somebody could have changed.
    async () => {},
  );
  return { draft: composer.draft, shown: {}, reach() {}, tell: (problem) => composer.tell(problem) };
});
for (const event of ["input", "submit"]) document.addEventListener(event, prepare, { once: true });

function prepare() {
  const modules = [
    import("./conversation.js"),
    import("./copy.js"),
    import("./download.js"),
    import("./hits.js"),
    import("./math.js"),
    import("./notes.js"),
    import("./reply.js"),
  ];
  // The page of the conversation fetches again what fails here.
  Promise.all(modules).catch(() => {});
}
