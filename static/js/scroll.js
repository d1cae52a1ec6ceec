import { find } from "./dom.js";
import { JUMP_TO_LATEST, NEW_TEXT } from "./sentences.js";

// The bottom, give or take fractions of a pixel and rounding.
const SLACK_PX = 2;

/** Keeps a growing page scrolled to the bottom while the reader is there; otherwise shows a button that leads there. */
export class Follower {
  #list;
  #button;
  #label;
  #isFollowing;
  #lastTop = 0;

  /**
   * @param {Element} content that grows
   * @param {HTMLElement} list its part with the messages
   * @param {HTMLButtonElement} button that leads to the bottom
   */
  constructor(content, list, button) {
    this.#list = list;
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

  get isFollowing() {
    return this.#isFollowing;
  }

  /** Go to the end and follow again. */
  toEnd() {
    this.#list.style.minHeight = "";
    this.#isFollowing = true;
    this.#follow();
  }

  /** Stop following until the reader is at the bottom again: the page is about to change above it. */
  leave() {
    this.#isFollowing = false;
  }

  /**
   * Scroll an element back to where it was on screen: its top, or its bottom if the top was above the window.
   * @param {Element} element
   * @param {DOMRect} before
   */
  keep(element, before) {
    const edge = before.top < 0 ? "bottom" : "top";
    const page = document.documentElement;
    const top = page.scrollTop + element.getBoundingClientRect()[edge] - before[edge];
    this.#list.style.minHeight = "";
    // Where too little follows the element, leave room below.
    const missing = top - (page.scrollHeight - page.clientHeight);
    if (missing > 0) this.#list.style.minHeight = `${this.#list.offsetHeight + missing}px`;
    scrollTo({ top, behavior: "instant" });
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
    this.#isFollowing ||= isAtEnd();
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

/** Forms lead to the message, for pages without scripts. Here the end of that message is what matters. */
function namesRunningReply() {
  return document.getElementById(location.hash.slice(1))?.hasAttribute("data-events-url") ?? false;
}
