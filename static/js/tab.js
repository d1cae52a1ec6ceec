import { notify } from "./notifications.js";
import { titled } from "./sentences.js";

/** @typedef {keyof typeof import("./sentences.js").ENDINGS} Ending */

/** What a person sees of this page while looking at another one: the tab's title and icon, and a notification. */
export class Tab {
  #name = document.title;
  #icon;
  #plain;
  #running = 0;
  #mark = "";

  /** @param {HTMLLinkElement} icon the page's icon; its data has the other ones */
  constructor(icon) {
    this.#icon = icon;
    this.#plain = icon.href;
    document.addEventListener("visibilitychange", () => this.#looked());
  }

  /** @param {string} title that the conversation on the page has by now */
  rename(title) {
    this.#name = titled(title);
    document.title = this.#mark + this.#name;
  }

  /** Show that one more reply is being written. */
  writing() {
    this.#running += 1;
    this.#show("● ", this.#icon.dataset.writing);
  }

  /** @param {Ending} status how a reply ended */
  ended(status) {
    this.#running -= 1;
    if (document.hidden) notify(status, this.#name);
    if (this.#running) return;
    if (!document.hidden) this.#show();
    else if (status === "complete") this.#show("✓ ", this.#icon.dataset.done);
    else this.#show("! ");
  }

  /** Show that one reply less is being written on this page, though it has not ended. */
  left() {
    this.#running -= 1;
    if (!this.#running) this.#show();
  }

  #looked() {
    if (!document.hidden && !this.#running) this.#show();
  }

  #show(mark = "", icon = this.#plain) {
    this.#mark = mark;
    document.title = mark + this.#name;
    this.#icon.href = icon;
  }
}
