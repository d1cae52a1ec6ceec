import { find } from "./dom.js";
import { hasLater } from "./paging.js";
import { fragment, Problem } from "./requests.js";
import { countOffers, searchFor } from "./sentences.js";
import { isComposing } from "./typing.js";

// People type this fast, in milliseconds from key to key.
const TYPING_MS = 150;

/** A list of what one can do on this page, and of what one has written and read, searched and used by keyboard. */
export class Palette {
  #dialog;
  #text;
  #list;
  #status;
  /** @type {Element[]} the titles and messages that were found last; without words, the newest conversations */
  #found = [];
  /** The words by which they were found. */
  #sought = "";
  /** Ends a search when the next letter is typed. */
  #searching = new AbortController();

  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.#dialog = dialog;
    this.#text = find(dialog, "input", HTMLInputElement);
    this.#list = find(dialog, "[role=listbox]", HTMLElement);
    this.#status = find(dialog, "[role=status]", HTMLElement);
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    this.#list.addEventListener("click", ({ target }) => this.#clicked(target));
    dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
    dialog.addEventListener("close", () => this.#searching.abort());
  }

  /** Open it, or close it if it is open. */
  toggle() {
    if (this.#dialog.open) return this.#dialog.close();
    this.#text.value = "";
    this.#typed();
    this.#dialog.showModal();
  }

  async #typed() {
    this.#searching.abort();
    this.#searching = new AbortController();
    const { signal } = this.#searching;
    if (!this.#words || !this.#sought) this.#found = [];
    this.#show();
    await new Promise((resolve) => setTimeout(resolve, this.#words ? TYPING_MS : 0));
    if (!signal.aborted) await this.#search(signal);
  }

  /** @param {AbortSignal} signal */
  async #search(signal) {
    const words = this.#words;
    try {
      const offers = await fragment(`${this.#dialog.dataset.searchUrl}?${new URLSearchParams({ q: words })}`, signal);
      if (signal.aborted) return;
      this.#sought = words;
      this.#found = [...offers.querySelectorAll("[role=option]")];
      this.#show();
      const sentence = offers.querySelector("[data-sentence]")?.textContent;
      this.#status.textContent = sentence ?? (words ? countOffers(this.#found.length) : "");
    } catch (error) {
      if (signal.aborted) return;
      const problem = Problem.from(error);
      // The commands work without a server.
      if (words) problem.show(this.#status);
    }
  }

  get #words() {
    return this.#text.value.trim();
  }

  /** Show what there is for these words, and keep what is chosen if it is still there. */
  #show() {
    const words = this.#words.toLowerCase().split(/\s+/);
    const names = [...commands().keys()].filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    const offers = names.map((name, index) => option(name, `command-${index}`));
    // The first one is chosen unless a person has chosen another.
    const chosen = this.#chosen?.previousElementSibling ? this.#chosen.id : "";
    const all = this.#words ? [...offers, ...this.#found, ...this.#everything()] : [...this.#found, ...offers];
    this.#list.replaceChildren(...all);
    this.#status.textContent = "";
    this.#choose([...this.#list.children].find(({ id }) => id === chosen) ?? this.#list.firstElementChild);
  }

  /** The way to the page with all results. */
  #everything() {
    if (!this.#words) return [];
    const all = option(searchFor(this.#words), "offer-all");
    all.dataset.href = `${this.#dialog.dataset.resultsUrl}?${new URLSearchParams({ q: this.#words })}`;
    return [all];
  }

  get #chosen() {
    return this.#list.querySelector("[aria-selected=true]");
  }

  /** @param {Element | null} option */
  #choose(option) {
    this.#chosen?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    this.#text.setAttribute("aria-activedescendant", option?.id ?? "");
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (isComposing(event)) return;
    const { firstElementChild: first, lastElementChild: last } = this.#list;
    if (event.key === "ArrowDown") this.#choose(this.#chosen?.nextElementSibling ?? first);
    else if (event.key === "ArrowUp") this.#choose(this.#chosen?.previousElementSibling ?? last);
    else if (event.key === "Enter") this.#run(this.#chosen);
    else return;
    event.preventDefault();
  }

  /** @param {EventTarget | null} target */
  #clicked(target) {
    if (target instanceof Element) this.#run(target.closest("[role=option]"));
  }

  /** @param {Element | null} option */
  #run(option) {
    if (option instanceof HTMLElement && option.dataset.href) return location.assign(option.dataset.href);
    // What the page offers may have changed since the list was shown.
    const control = commands().get(option?.textContent ?? "");
    if (!control) return this.#show();
    // The focus returns to where it was before the control is used.
    this.#dialog.close();
    control.click();
  }
}

/**
 * What the page offers now, by name. Of controls with one name, such as those of each message, the last one counts, if it
 * is that of the last message.
 */
export function commands() {
  /** @type {Map<string, HTMLElement>} */
  const found = new Map();
  const unavailable = `[hidden], :disabled, [aria-disabled=true]${hasLater() ? ", [data-message]" : ""}`;
  for (const control of document.querySelectorAll("[data-command]")) {
    if (control instanceof HTMLElement && !control.closest(unavailable)) {
      found.set(control.dataset.command ?? "", control);
    }
  }
  return found;
}

/** @param {string} name @param {string} id */
function option(name, id) {
  const option = document.createElement("li");
  option.id = id;
  option.role = "option";
  option.ariaSelected = "false";
  option.textContent = name;
  return option;
}
