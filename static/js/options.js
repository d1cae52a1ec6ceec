import { find } from "./dom.js";

/** The menu with what can be done with an entry of the history. All entries share it. */
export class OptionsMenu {
  #menu;
  /** @type {HTMLButtonElement | null} the one that has opened it */
  #button = null;
  /** @type {HTMLButtonElement | null} the one whose menu the pointer has just closed, by going down */
  #closed = null;

  /**
   * @param {Document} page
   * @param {(entry: HTMLElement) => void} rename
   * @param {(entry: HTMLElement) => void} label
   */
  constructor(page, rename, label) {
    this.#menu = find(page, "[data-options-menu]", HTMLElement);
    const form = find(page, "[data-history-options]", HTMLFormElement);
    form.addEventListener("submit", (event) => this.#opened(event));
    page.addEventListener("pointerdown", () => this.#pointed(), { capture: true });
    // While it is open, the entry stays where it is, in a list that is renewed too.
    this.#menu.addEventListener("beforetoggle", ({ newState }) => {
      this.#entry?.toggleAttribute("data-open", newState === "open");
    });
    this.#menu.addEventListener("keydown", (event) => this.#pressed(event));
    this.#menu.addEventListener("click", ({ target }) => {
      if (!(target instanceof HTMLButtonElement)) return;
      // The focus returns to the button of the entry.
      this.#menu.hidePopover();
      if (target.hasAttribute("data-rename") && this.#entry) rename(this.#entry);
      if (target.hasAttribute("data-label") && this.#entry) label(this.#entry);
    });
  }

  /**
   * The entry that a button is about.
   * @param {HTMLElement} button in the menu, or in an entry
   */
  entryOf(button) {
    return this.#menu.contains(button) ? this.#entry : button.closest("li");
  }

  get #entry() {
    return this.#button?.closest("li") ?? null;
  }

  #pointed() {
    this.#closed = this.#menu.matches(":popover-open") ? this.#button : null;
  }

  /** @param {SubmitEvent} event of the button of an entry, which without scripts leads to a page */
  #opened(event) {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement} */ (event.submitter);
    // A second press only closes it.
    if (button === this.#closed) return;
    this.#button = button;
    const entry = /** @type {HTMLElement} */ (button.closest("li"));
    const url = find(entry, "[data-title]", HTMLAnchorElement).pathname;
    const isPinned = entry.hasAttribute("data-pinned");
    find(this.#menu, "[data-pin]", HTMLElement).hidden = isPinned;
    find(this.#menu, "[data-unpin]", HTMLElement).hidden = !isPinned;
    for (const action of this.#buttons) {
      action.setAttribute("formaction", action.hasAttribute("data-delete") ? `${url}delete/` : `${url}options/`);
    }
    this.#menu.showPopover({ source: button });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const shown = this.#buttons.filter(({ hidden }) => !hidden);
    const index = shown.findIndex((button) => button.matches(":focus"));
    shown.at((index + step) % shown.length)?.focus();
  }

  get #buttons() {
    return [...this.#menu.querySelectorAll("button")];
  }
}
