import { find } from "./dom.js";
import { Problem } from "./requests.js";

/** Lets a person filter the list by a label. The address of the page names it, so that the next page keeps it. */
export class LabelFilter {
  #page;
  #form;
  #select;
  #all;
  /** The one by which the list is filtered, or nothing. */
  #label;

  /** @param {Document} page @param {() => Promise<void>} changed shows the list for another label */
  constructor(page, changed) {
    this.#page = page;
    this.#form = find(page, "[data-label-filter]", HTMLFormElement);
    this.#select = find(this.#form, "select", HTMLSelectElement);
    this.#all = find(this.#form, "[data-all]", HTMLAnchorElement);
    this.#label = this.#select.value;
    this.#select.addEventListener("change", () => this.#chosen(changed));
    this.#all.addEventListener("click", (event) => {
      if (this.#form.hasAttribute("data-reloads")) return;
      event.preventDefault();
      this.#select.value = "";
      this.#select.focus();
      void this.#chosen(changed);
    });
  }

  /** The part of a query that names the label, or nothing. */
  get query() {
    return this.#label && String(new URLSearchParams({ label: this.#label }));
  }

  /** @param {() => Promise<void>} changed */
  async #chosen(changed) {
    if (this.#form.hasAttribute("data-reloads")) return this.#form.requestSubmit();
    const before = this.#label;
    const error = find(this.#form, "[data-error]", HTMLElement);
    error.replaceChildren();
    try {
      this.#set(this.#select.value);
      await changed();
    } catch (problem) {
      this.#set(before);
      Problem.from(problem).show(error);
    }
  }

  /** Show all conversations again. */
  clear() {
    this.#set("");
  }

  /** @param {HTMLTemplateElement} template with the labels that there are now */
  renew(template) {
    template.remove();
    if (labelsIn(this.#select) !== labelsIn(template.content)) this.#select.replaceChildren(template.content);
    this.#select.value = this.#label;
    this.#form.hidden = this.#select.length === 1;
  }

  /** @param {string} label */
  #set(label) {
    this.#label = label;
    this.#select.value = label;
    this.#all.hidden = !label;
    history.replaceState(history.state, "", labelled(location.href, label));
    const links = /** @type {NodeListOf<HTMLAnchorElement>} */ (this.#page.querySelectorAll("[data-keeps-filter]"));
    for (const link of links) link.href = String(labelled(link.href, label));
  }
}

/**
 * Go to another page of the chat, and keep the filter of the list.
 * @param {string} url
 */
export function go(url) {
  location.assign(labelled(url, new URLSearchParams(location.search).get("label") ?? ""));
}

/** @param {string} url @param {string} label */
function labelled(url, label) {
  const address = new URL(url, location.href);
  if (label) address.searchParams.set("label", label);
  else address.searchParams.delete("label");
  return address;
}

/** @param {ParentNode} list of options */
function labelsIn(list) {
  return [...list.querySelectorAll("option")].map(({ value, text }) => `${value} ${text}`).join();
}
