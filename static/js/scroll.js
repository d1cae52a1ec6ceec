import { find } from "./dom.js";
import { JUMP_TO_LATEST, NEW_TEXT } from "./sentences.js";

// Fractions of a pixel and a browser's rounding count as the bottom.
const SLACK_PX = 2;

/** Follows the growing page down, but only while the reader is at its bottom; otherwise offers a way back down. */
export class Follower {
  #button;
  #label;
  #isFollowing;
  #lastTop = 0;

  /** @param {Element} content that grows @param {HTMLButtonElement} button that leads back down */
  constructor(content, button) {
    this.#button = button;
    this.#label = find(button, "[data-to-end-label]", HTMLElement);
    // A reload puts the reader back where they were, unless that was the end: the page has grown since.
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

  /** There is new text, which the reader may not see. */
  news() {
    if (this.#isFollowing || isAtEnd()) return;
    this.#button.toggleAttribute("data-news", true);
    this.#label.textContent = NEW_TEXT;
  }

  #scrolled() {
    const { scrollTop } = document.documentElement;
    // Where the page grew and nobody scrolled up, the bottom is only late.
    this.#isFollowing = isAtEnd() || (this.#isFollowing && scrollTop >= this.#lastTop);
    this.#lastTop = scrollTop;
    this.#show();
  }

  #follow() {
    if (this.#isFollowing) {
      const page = document.documentElement;
      scrollTo({ top: page.scrollHeight, behavior: "instant" });
      // A page that has shrunk moves up by itself, which is not the reader's doing.
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

/** Retry and Continue lead to the message, for those without this script; with it its end is what there is to see. */
function namesRunningReply() {
  return document.getElementById(location.hash.slice(1))?.hasAttribute("data-events-url") ?? false;
}
