import { find } from "./dom.js";
import { JUMP_TO_LATEST, NEW_TEXT } from "./sentences.js";

// The bottom, give or take fractions of a pixel and rounding.
const SLACK_PX = 2;

/** Keeps a growing page scrolled to the bottom while the reader is there; otherwise shows a button that leads there. */
export class Follower {
  #button;
  #label;
  #isFollowing;
  #lastTop = 0;

  /** @param {Element} content that grows @param {HTMLButtonElement} button that leads to the bottom */
  constructor(content, button) {
    this.#button = button;
    this.#label = find(button, "[data-to-end-label]", HTMLElement);
    // A reload restores the position of the reader, unless that was the bottom: the page has grown since.
    const [navigation] = performance.getEntriesByType("navigation");
    const type = navigation instanceof PerformanceNavigationTiming ? navigation.type : "navigate";
    this.#isFollowing =
      history.scrollRestoration === "manual" || (type === "navigate" && (!location.hash || namesRunningReply()));
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("resize", () => this.#follow());
    new ResizeObserver(() => this.#follow()).observe(content);
    button.addEventListener("click", () => this.toEnd());
  }

  /** Go to the end and follow again. */
  toEnd() {
    this.#isFollowing = true;
    this.#follow();
  }

  /** Say that there is new text, if the reader cannot see it. */
  news() {
    if (this.#isFollowing || isAtEnd()) return;
    this.#button.toggleAttribute("data-news", true);
    this.#label.textContent = NEW_TEXT;
  }

  #scrolled() {
    const { scrollTop } = document.documentElement;
    // If the page grew and nobody scrolled up, the position is only late.
    this.#isFollowing = isAtEnd() || (this.#isFollowing && scrollTop >= this.#lastTop);
    this.#lastTop = scrollTop;
    this.#show();
  }

  #follow() {
    if (this.#isFollowing) {
      const page = document.documentElement;
      scrollTo({ top: page.scrollHeight, behavior: "instant" });
      // A page that shrinks scrolls up by itself; that is not the reader.
      this.#lastTop = page.scrollTop;
    }
    this.#show();
  }

  #show() {
    history.scrollRestoration = this.#isFollowing ? "manual" : "auto";
    this.#button.hidden = this.#isFollowing;
    if (!this.#isFollowing) return;
    this.#button.removeAttribute("data-news");
    this.#label.textContent = JUMP_TO_LATEST;
  }
}

function isAtEnd() {
  const { scrollTop, scrollHeight, clientHeight } = document.documentElement;
  return scrollHeight - clientHeight - scrollTop <= SLACK_PX;
}

/** Retry and Continue link to the message, for pages without scripts. Here the end of that message is what matters. */
function namesRunningReply() {
  return document.getElementById(location.hash.slice(1))?.hasAttribute("data-events-url") ?? false;
}
