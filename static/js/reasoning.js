const SECOND_MS = 1000;

/** The model's thinking: folded, with its duration. */
export class Reasoning {
  #element;
  #summary;
  #text;
  #started;
  #ticking = 0;

  /** @param {HTMLDetailsElement} element */
  constructor(element) {
    this.#element = element;
    this.#summary = element.querySelector("[data-reasoning-summary]");
    this.#text = element.querySelector("[data-reasoning-text]").firstChild ?? new Text();
    element.querySelector("[data-reasoning-text]").replaceChildren(this.#text);
    if (!element.hidden) this.#begin();
  }

  append(text) {
    if (this.#element.hidden) this.#begin();
    this.#text.appendData(text);
  }

  replace(text) {
    this.#text.data = "";
    if (text) this.append(text);
  }

  /** The answer has begun, or there will be none. */
  finish() {
    if (!this.#ticking) return;
    clearInterval(this.#ticking);
    this.#ticking = 0;
    this.#summary.textContent = `Thought for ${this.#seconds()} s`;
  }

  #begin() {
    // The server's two times say how long ago it was without trusting the clock of this machine.
    const { now, started } = this.#element.dataset;
    this.#started = performance.now() - (started ? (now - started) * SECOND_MS : 0);
    this.#element.hidden = false;
    this.#ticking = setInterval(() => this.#tick(), SECOND_MS);
  }

  #tick() {
    this.#summary.textContent = `Thinking… ${this.#seconds()} s`;
  }

  #seconds() {
    return Math.round((performance.now() - this.#started) / SECOND_MS);
  }
}
