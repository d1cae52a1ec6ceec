import { find } from "./dom.js";
import { hasLater } from "./paging.js";
import { NO_COMMAND } from "./sentences.js";
import { isComposing } from "./typing.js";

/** A list of what one can do on this page, to be searched and run by keyboard. */
export class Palette {
  #dialog;
  #text;
  #list;
  #none;

  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.#dialog = dialog;
    this.#text = find(dialog, "input", HTMLInputElement);
    this.#list = find(dialog, "[role=listbox]", HTMLElement);
    this.#none = find(dialog, "[data-none]", HTMLElement);
    this.#text.addEventListener("input", () => this.#show());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    this.#list.addEventListener("click", ({ target }) => this.#clicked(target));
    dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  }

  /** Open it, or close it if it is open. */
  toggle() {
    if (this.#dialog.open) return this.#dialog.close();
    this.#text.value = "";
    this.#show();
    this.#dialog.showModal();
  }

  #show() {
    const words = this.#text.value.toLowerCase().split(/\s+/);
    const offered = [...commands().keys()].filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    this.#list.replaceChildren(...offered.map((name, index) => option(name, `command-${index}`)));
    this.#none.textContent = offered.length ? "" : NO_COMMAND;
    this.#choose(this.#list.firstElementChild);
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
function commands() {
  /** @type {Map<string, HTMLElement>} */
  const found = new Map();
  const unavailable = hasLater() ? "[hidden], :disabled, [data-message]" : "[hidden], :disabled";
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
