import { find } from "./dom.js";
import { fragment, Problem, submit } from "./requests.js";

// More is loaded when the end is this close to the view.
const AHEAD = "400px";

/** The list of conversations: loads more when scrolled, and deletes. */
export class History {
  #list;
  #dialog;
  #form;
  #error;
  #name;
  /** @type {Element | null} the conversation that a person is asked about */
  #entry = null;
  #observer;

  /** @param {HTMLElement} list @param {HTMLDialogElement} dialog that asks before a conversation is deleted */
  constructor(list, dialog) {
    this.#list = list;
    this.#dialog = dialog;
    this.#form = find(dialog, "form", HTMLFormElement);
    this.#error = find(dialog, "[data-delete-error]", HTMLElement);
    this.#name = find(dialog, "[data-delete-name]", HTMLElement);
    this.#observer = new IntersectionObserver((entries) => this.#seen(entries), { root: list, rootMargin: AHEAD });
    this.#watchForMore();
    list.addEventListener("click", (event) => this.#clicked(event));
    this.#form.addEventListener("submit", (event) => this.#confirmed(event));
    find(dialog, "[data-delete-cancel]", HTMLElement).addEventListener("click", () => dialog.close());
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  /** Reload the list, unless the conversation on the page is at its top already. */
  async renew() {
    if (this.#list.querySelector("[data-title]")?.ariaCurrent === "page") return;
    try {
      const newest = await fragment(this.#list.dataset.url ?? "");
      this.#list.replaceChildren();
      this.#add(newest);
      this.#watchForMore();
    } catch {
      // The order is out of date until the next page load.
    }
  }

  #watchForMore() {
    const more = this.#list.querySelector("[data-history-more]");
    if (more) this.#observer.observe(more);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #seen(entries) {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting && target instanceof HTMLElement) this.#load(target);
    }
  }

  /** @param {HTMLElement} more the link to the next batch */
  async #load(more) {
    this.#observer.unobserve(more);
    try {
      this.#add(await fragment(more.dataset.url ?? ""));
      more.remove();
      this.#watchForMore();
    } catch {
      // The link stays, so a person can follow it.
    }
  }

  /** @param {DocumentFragment} batch */
  #add(batch) {
    this.#continueGroup(batch);
    this.#list.append(batch);
    for (const link of this.#list.querySelectorAll("[data-title]")) {
      const isCurrent = link instanceof HTMLAnchorElement && link.pathname === location.pathname;
      if (isCurrent) link.setAttribute("aria-current", "page");
    }
  }

  /**
   * Append a first group without a name to the last group of the list.
   * @param {DocumentFragment} batch
   */
  #continueGroup(batch) {
    const group = batch.querySelector("[data-group='']");
    const last = [...this.#list.querySelectorAll("[data-group] ul")].at(-1);
    // If everything above it has been deleted, it stays a group of its own.
    if (!group || !last) return;
    last.append(...group.querySelectorAll("li"));
    group.remove();
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const link = event.target instanceof Element && event.target.closest("[data-delete], [data-history-more]");
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (link.hasAttribute("data-delete")) {
      this.#askToDelete(link);
    } else {
      this.#load(link);
    }
  }

  /** @param {HTMLAnchorElement} link */
  #askToDelete(link) {
    this.#entry = link.closest("li");
    this.#form.action = link.href;
    this.#error.textContent = "";
    this.#name.textContent = link.dataset.delete ?? "";
    this.#dialog.showModal();
  }

  /** @param {SubmitEvent} event */
  async #confirmed(event) {
    event.preventDefault();
    const button = find(this.#form, "button", HTMLButtonElement);
    button.disabled = true;
    try {
      await submit(this.#form);
      this.#dialog.close();
      this.#remove();
    } catch (error) {
      Problem.from(error).show(this.#error);
    } finally {
      button.disabled = false;
    }
  }

  #remove() {
    if (!this.#entry) return;
    if (this.#entry.querySelector("[aria-current]")) return location.assign("/");
    const links = [...this.#list.querySelectorAll("[data-delete]")];
    const index = links.findIndex((link) => this.#entry?.contains(link));
    const group = this.#entry.closest("[data-group]");
    this.#entry.remove();
    if (!group?.querySelector("li")) group?.remove();
    // The focus must not jump to the start of the page.
    const next = links[index + 1] ?? links[index - 1] ?? document.querySelector("[data-composer] textarea");
    if (next instanceof HTMLElement) next.focus();
  }
}
