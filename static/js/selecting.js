import { find } from "./dom.js";
import { go } from "./filter.js";
import { Problem, submit } from "./requests.js";
import { ALL_RESTORED, selected } from "./sentences.js";
import { isField } from "./typing.js";

/**
 * @typedef {object} Around what the list can do
 * @property {() => Promise<void>} renew
 * @property {(sentence: string) => void} tell for screen readers
 * @property {(url: string) => void} label opens the form of that page, to which this adds what is selected
 */

/** @type {Record<string, string>} by what is done: what takes it back */
const OPPOSITES = { archive: "unarchive", pin: "unpin", unpin: "pin" };

/** Lets a person select several conversations in the list, and do one thing with all of them. */
export class Selecting {
  #list;
  #around;
  #tools;
  #link;
  #bar;
  #undo;
  /** @type {Set<string>} the ids of what is selected, whether or not the list shows it now */
  #selected = new Set();
  /** The id of the entry that was used last, at which a range begins. */
  #last = "";
  /** @type {string[]} the ids of what Undo takes back, but a deletion */
  #done = [];

  /** @param {Document} page @param {HTMLElement} list @param {Around} around */
  constructor(page, list, around) {
    this.#list = list;
    this.#around = around;
    this.#tools = find(page, "[data-history-tools]", HTMLElement);
    this.#link = find(page, "[data-select]", HTMLAnchorElement);
    this.#bar = find(page, "[data-selecting]", HTMLFormElement);
    this.#undo = find(page, "[data-selection-undo]", HTMLFormElement);
    this.#link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.#begin();
    });
    find(this.#bar, "[data-done]", HTMLElement).addEventListener("click", () => this.#end());
    find(this.#bar, "[data-all]", HTMLElement).addEventListener("click", () => this.#chooseAll());
    const labels = find(this.#bar, "[data-labels-url]", HTMLElement);
    labels.addEventListener("click", () => around.label(labels.dataset.labelsUrl ?? ""));
    list.addEventListener("click", (event) => this.#clicked(event));
    page.addEventListener("keydown", (event) => this.#pressed(event), { capture: true });
    const send = (/** @type {Iterable<string>} */ ids, /** @type {FormDataEvent} */ { formData }) => {
      for (const id of ids) formData.append("conversation", id);
    };
    this.#bar.addEventListener("formdata", (event) => send(this.#selected, event));
    this.#undo.addEventListener("formdata", (event) => send(this.#done, event));
    find(page, "[data-labels-dialog]", HTMLElement).addEventListener("formdata", (event) =>
      send(this.#selected, event),
    );
    this.#bar.addEventListener("submit", (event) => this.#submitted(event, (button) => this.#act(button)));
    this.#undo.addEventListener("submit", (event) => this.#submitted(event, (button) => this.#restore(button)));
  }

  get #isOn() {
    return this.#list.hasAttribute("data-selecting");
  }

  get #boxes() {
    return /** @type {HTMLInputElement[]} */ ([...this.#list.querySelectorAll("[data-check]")]);
  }

  #begin() {
    this.#undo.hidden = true;
    this.#set(true);
    const { top } = this.#list.getBoundingClientRect();
    const inView = this.#boxes.find((box) => box.getBoundingClientRect().top >= top);
    inView?.focus({ preventScroll: true });
  }

  #end() {
    this.#set(false);
    this.#link.focus();
  }

  /** @param {boolean} isOn */
  #set(isOn) {
    this.#selected.clear();
    this.#last = "";
    find(this.#bar, "[data-error]", HTMLElement).replaceChildren();
    this.#list.toggleAttribute("data-selecting", isOn);
    this.#bar.hidden = !isOn;
    this.#tools.hidden = isOn;
    this.show();
  }

  /** Check the boxes of what is selected, in a list that has changed. */
  show() {
    for (const box of this.#boxes) box.checked = this.#selected.has(box.value);
    // From one box to the next.
    for (const title of this.#list.querySelectorAll("[data-title]")) {
      if (title instanceof HTMLElement) title.tabIndex = this.#isOn ? -1 : 0;
    }
    find(this.#bar, "[data-count]", HTMLElement).textContent = selected(this.#selected.size);
    find(this.#bar, "[data-is-all]", HTMLElement).hidden = this.#areAll;
    find(this.#bar, "[data-is-none]", HTMLElement).hidden = !this.#areAll;
    const pinned = this.#pinned;
    const arePinned = this.#selected.size > 0 && [...this.#selected].every((id) => pinned.has(id));
    find(this.#bar, "[data-pin]", HTMLElement).hidden = arePinned;
    find(this.#bar, "[data-unpin]", HTMLElement).hidden = !arePinned;
    for (const button of this.#bar.querySelectorAll(".button")) {
      if (button instanceof HTMLButtonElement) button.disabled = !this.#selected.size;
    }
  }

  /** The ids of what is pinned in the list. */
  get #pinned() {
    return new Set(this.#boxes.filter((box) => box.closest("[data-pinned]")).map(({ value }) => value));
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const { target, shiftKey } = event;
    if (!this.#isOn || !(target instanceof Element) || event.ctrlKey || event.metaKey) return;
    const box = target.closest("[data-entry]")?.querySelector("[data-check]");
    if (!(box instanceof HTMLInputElement)) return;
    if (target === box) return this.#choose(box, shiftKey);
    if (!target.closest("[data-title]")) return;
    event.preventDefault();
    box.checked = !box.checked;
    this.#choose(box, shiftKey);
  }

  /** @param {HTMLInputElement} box @param {boolean} isRange from the one before to this one */
  #choose(box, isRange) {
    const boxes = this.#boxes;
    const end = boxes.indexOf(box);
    const last = isRange ? boxes.findIndex(({ value }) => value === this.#last) : -1;
    const begin = last < 0 ? end : last;
    for (const { value } of boxes.slice(Math.min(begin, end), Math.max(begin, end) + 1)) {
      if (box.checked) this.#selected.add(value);
      else this.#selected.delete(value);
    }
    this.#last = box.value;
    this.show();
  }

  /** Whether all that the list shows are selected. */
  get #areAll() {
    return this.#boxes.length > 0 && this.#boxes.every(({ value }) => this.#selected.has(value));
  }

  /** Select all that the list shows, or none if they are. */
  #chooseAll() {
    if (this.#areAll) this.#selected.clear();
    else for (const { value } of this.#boxes) this.#selected.add(value);
    this.show();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { key, target } = event;
    if (key !== "Escape" || !this.#isOn || !(target instanceof Element)) return;
    if (isField(target) || target.closest(".stage, dialog, .menu:popover-open")) return;
    // It would close the drawer, or stop the reply.
    event.preventDefault();
    event.stopPropagation();
    this.#end();
  }

  /** @param {SubmitEvent} event @param {(button: HTMLButtonElement) => Promise<unknown>} work */
  async #submitted(event, work) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (form.ariaBusy) return;
    form.ariaBusy = "true";
    const error = find(form, "[data-error]", HTMLElement);
    error.replaceChildren();
    try {
      await work(/** @type {HTMLButtonElement} */ (event.submitter));
    } catch (problem) {
      Problem.from(problem).show(error);
    } finally {
      form.ariaBusy = null;
    }
  }

  /** @param {HTMLButtonElement} button */
  async #act(button) {
    const ids = [...this.#selected];
    // What was pinned before stays so.
    const pinned = this.#pinned;
    const changed = button.value === "pin" ? ids.filter((id) => !pinned.has(id)) : ids;
    const { message, deleted } = await submit(this.#bar, button);
    // Its page has nothing left to show. The next one offers to undo this.
    if (deleted && ids.some((id) => location.pathname.includes(id))) {
      return go(`/?${new URLSearchParams({ deleted })}`);
    }
    this.#set(false);
    this.#done = deleted ? [] : changed;
    if (deleted) this.#offerUndo(message, "deleted", deleted);
    else this.#offerUndo(message, "do", OPPOSITES[button.value]);
    await this.#around.renew();
  }

  /** @param {string} message @param {"do" | "deleted"} name @param {string} value */
  #offerUndo(message, name, value) {
    const button = find(this.#undo, "button", HTMLButtonElement);
    this.#undo.action = name === "deleted" ? (this.#list.dataset.undoUrl ?? "") : this.#bar.action;
    button.name = name;
    button.value = value;
    find(this.#undo, "[data-what]", HTMLElement).textContent = message;
    this.#undo.hidden = false;
    button.focus();
    this.#around.tell(message);
  }

  /** @param {HTMLButtonElement} button */
  async #restore(button) {
    const { message = ALL_RESTORED } = await submit(this.#undo, button);
    this.#undo.hidden = true;
    await this.#around.renew();
    this.#around.tell(message);
    this.#link.focus();
  }
}
