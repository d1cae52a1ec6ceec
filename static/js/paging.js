import { find } from "./dom.js";

// How far from the window messages are loaded, so that a reader does not wait for them.
const AHEAD = "1500px 0px";

/**
 * Load more messages when the reader comes near the end of those on the page. The links there work by themselves.
 * @param {Document} page
 * @param {import("./messages.js").Messages} messages
 */
export function loadMoreNearby(page, messages) {
  loadNear(find(page, "[data-earlier]", HTMLElement), () => messages.addEarlier());
  loadNear(find(page, "[data-later]", HTMLElement), () => messages.addLater());
}

/** Whether the conversation continues after the last message on the page. */
export function hasLater() {
  return document.querySelector("[data-later] a") !== null;
}

/** @param {HTMLElement} place that holds a link while there is more @param {() => Promise<void>} load */
function loadNear(place, load) {
  const observer = new IntersectionObserver(
    async (entries) => {
      const isNear = entries.at(-1)?.isIntersecting;
      if (!isNear || !place.querySelector("[data-more]")) return;
      observer.unobserve(place);
      try {
        await load();
        observer.observe(place);
      } catch {
        // The link stays, and a person can follow it.
      }
    },
    { rootMargin: AHEAD },
  );
  observer.observe(place);
}
