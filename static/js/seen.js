import { Problem, submit } from "./requests.js";

/** Tells the server that a person has seen how the last reply ended, as soon as they look at the page. */
export class Seen {
  #form;
  #isNews;

  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.#form = form;
    // It has ended before the page was loaded.
    this.#isNews = form.hasAttribute("data-news");
    document.addEventListener("visibilitychange", () => this.#tell());
  }

  /** @param {boolean} isRunning whether a reply is being written on the page, so that nothing has ended yet */
  show(isRunning) {
    if (isRunning) this.#isNews = true;
    else this.#tell();
  }

  async #tell() {
    if (document.hidden || !this.#isNews) return;
    this.#isNews = false;
    try {
      await submit(this.#form);
    } catch (error) {
      // Where that may work later, it is tried when they look again.
      this.#isNews = Problem.from(error).isPassing;
    }
  }
}
