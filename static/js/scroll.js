import { find } from "./dom.js";
import { JUMP_TO_LATEST, NEW_TEXT } from "./sentences.js";
import { usesArrows } from "./typing.js";

// The bottom, give or take a line.
const SLACK_PX = 40;
// A browser scrolls a page as it was some frames ago.
const FRAMES_MS = 300;

/**
 * The place of the reader in a page that grows. A new question goes to the top of the window and its answer fills the
 * room below; the text is not chased. A reader who goes to the bottom follows it from then on.
 */
export class Follower {
  #list;
  #bar;
  #button;
  #label;
  #isFollowing = false;
  #lastTop = 0;
  /** How far down a gesture must lead to reach the bottom: to where that was when it began. */
  #goal = Infinity;
  #height = document.documentElement.scrollHeight;
  /** @type {{at: number, from: number}[]} when the page grew, and from which height */
  #growths = [];

  /**
   * @param {Element} content that grows
   * @param {HTMLElement} list its part with the messages
   * @param {HTMLElement} bar that may cover the top of the window
   * @param {HTMLButtonElement} button that leads to the bottom
   */
  constructor(content, list, bar, button) {
    this.#list = list;
    this.#bar = bar;
    this.#button = button;
    this.#label = find(button, "[data-to-end-label]", HTMLElement);
    for (const gesture of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      addEventListener(gesture, (event) => this.#gestured(event), { passive: true });
    }
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("resize", () => this.#follow());
    new ResizeObserver(() => this.#grew()).observe(content);
    button.addEventListener("click", () => this.toEnd());
    this.#begin();
  }

  #begin() {
    // A reload restores the position of the reader, unless that depends on the window's height.
    const [navigation] = performance.getEntriesByType("navigation");
    const type = navigation instanceof PerformanceNavigationTiming ? navigation.type : "navigate";
    const isNew = type === "navigate" && (!location.hash || namesRunningReply());
    if (!isNew && history.scrollRestoration !== "manual") return this.#show();
    const running = this.#list.querySelector(":scope > [data-events-url]");
    if (running?.previousElementSibling) this.toTop(running.previousElementSibling);
    else this.toEnd();
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

  /**
   * Put a message at the top of the window, and do not follow.
   * @param {Element} message
   */
  toTop(message) {
    this.leave();
    this.keep(message, new DOMRect(0, this.#bar.offsetHeight));
  }

  /**
   * @param {Element} message
   * @param {number} slack in pixels
   */
  isBelowTop(message, slack) {
    return message.getBoundingClientRect().top > this.#bar.offsetHeight + slack;
  }

  /** Stop following until the reader is at the bottom again: the page is about to change above it. */
  leave() {
    this.#isFollowing = false;
    this.#goal = Infinity;
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
    this.#lastTop = page.scrollTop;
    this.#show();
  }

  /** Say that there is new text, if the reader cannot see it. */
  news() {
    if (this.#isFollowing || this.#isAtEnd()) return;
    this.#button.toggleAttribute("data-news", true);
    this.#label.textContent = NEW_TEXT;
  }

  /** @param {Event} event by which the reader may scroll */
  #gestured(event) {
    this.#goal = this.#recentHeight;
    if (event instanceof KeyboardEvent && event.key === "End" && !usesArrows(event.target)) this.toEnd();
  }

  #scrolled() {
    const { scrollTop, clientHeight } = document.documentElement;
    if (scrollTop < this.#lastTop) this.#isFollowing = false;
    else if (scrollTop > this.#lastTop && !this.#room) {
      this.#isFollowing ||= scrollTop + clientHeight >= this.#goal - SLACK_PX;
    }
    this.#lastTop = scrollTop;
    this.#show();
  }

  #grew() {
    this.#growths.push({ at: performance.now(), from: this.#height });
    this.#height = document.documentElement.scrollHeight;
    this.#follow();
  }

  /** The height of the page that the browser may be scrolling. */
  get #recentHeight() {
    const since = performance.now() - FRAMES_MS;
    this.#growths = this.#growths.filter(({ at }) => at > since);
    return this.#growths[0]?.from ?? document.documentElement.scrollHeight;
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
    const isAtEnd = this.#isFollowing || this.#isAtEnd();
    history.scrollRestoration = this.#isFollowing || this.#room ? "manual" : "auto";
    this.#button.hidden = isAtEnd;
    if (!isAtEnd) return;
    this.#button.removeAttribute("data-news");
    this.#label.textContent = JUMP_TO_LATEST;
  }

  /** Pixels below the messages that an answer can still fill. */
  get #room() {
    const last = this.#list.lastElementChild;
    if (!last || !this.#list.style.minHeight) return 0;
    return Math.round(this.#list.getBoundingClientRect().bottom - last.getBoundingClientRect().bottom);
  }

  /** Whether the end of the last message is on screen. */
  #isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = document.documentElement;
    return scrollHeight - clientHeight - scrollTop - this.#room <= SLACK_PX;
  }
}

/** Forms lead to the message, for pages without scripts. Here the end of that message is what matters. */
function namesRunningReply() {
  return document.getElementById(location.hash.slice(1))?.hasAttribute("data-events-url") ?? false;
}
