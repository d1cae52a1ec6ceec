import { find } from "./dom.js";
import { THOUGHT_FOR_A_MOMENT, thinking, thoughtFor } from "./sentences.js";

const SECOND_MS = 1000;

/** The model's thinking: folded, with its duration. */
export class Reasoning {
  #element;
  #summary;
  #text = new Text();
  #started = 0;
  #ticking = 0;

  /** @param {HTMLDetailsElement} element hidden while there is no thinking */
  constructor(element) {
    this.#element = element;
    this.#summary = find(element, "[data-reasoning-summary]", HTMLElement);
    const container = find(element, "[data-reasoning-text]", HTMLElement);
    this.#text.data = container.textContent;
    container.replaceChildren(this.#text);
    // The difference of two times of the server, because this machine's clock may be wrong.
    const { now, started } = element.dataset;
    if (now) this.#begin((Number(now) - Number(started || now)) * SECOND_MS);
  }

  /** @param {string} text */
  append(text) {
    if (this.#element.hidden) this.#begin(0);
    this.#text.appendData(text);
  }

  /** @param {string} text */
  replace(text) {
    this.#text.data = "";
    if (text) this.append(text);
  }

  /** Stop the clock: the answer has begun, or there will be none. */
  finish() {
    if (!this.#ticking) return;
    clearInterval(this.#ticking);
    this.#ticking = 0;
    const isShort = performance.now() - this.#started < SECOND_MS;
    this.#summary.textContent = isShort ? THOUGHT_FOR_A_MOMENT : thoughtFor(this.#seconds());
  }

  /** @param {number} agoMs */
  #begin(agoMs) {
    this.#started = performance.now() - agoMs;
    this.#element.hidden = false;
    this.#ticking = setInterval(() => this.#tick(), SECOND_MS);
  }

  #tick() {
    this.#summary.textContent = thinking(this.#seconds());
  }

  #seconds() {
    return Math.round((performance.now() - this.#started) / SECOND_MS);
  }
}
