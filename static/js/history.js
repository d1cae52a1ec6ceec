import { fragment, submit } from "./requests.js";

// The next piece is fetched before its place comes into view.
const AHEAD = "400px";

/** The list of conversations: loads further as it is scrolled, and deletes. */
export class History {
  #list;
  #dialog;
  #form;
  #error;
  #entry;
  #sight;

  /** @param {HTMLElement} list @param {HTMLDialogElement} dialog that asks before a conversation is deleted */
  constructor(list, dialog) {
    this.#list = list;
    this.#dialog = dialog;
    this.#form = dialog.querySelector("form");
    this.#error = dialog.querySelector("[data-delete-error]");
    this.#sight = new IntersectionObserver((entries) => this.#seen(entries), { root: list, rootMargin: AHEAD });
    this.#watchForMore();
    list.addEventListener("click", (event) => this.#clicked(event));
    this.#form.addEventListener("submit", (event) => this.#confirmed(event));
    dialog.querySelector("[data-delete-cancel]").addEventListener("click", () => dialog.close());
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  /** Show the newest ones again, unless the conversation on the page is the first of them already. */
  async renew() {
    if (this.#list.querySelector("[data-title]")?.ariaCurrent === "page") return;
    try {
      const newest = await fragment(this.#list.dataset.url);
      this.#list.replaceChildren();
      this.#add(newest);
      this.#watchForMore();
    } catch {
      // The order is that of a moment ago; the next page has it right.
    }
  }

  #watchForMore() {
    const more = this.#list.querySelector("[data-history-more]");
    if (more) this.#sight.observe(more);
  }

  #seen(entries) {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) this.#load(target);
    }
  }

  async #load(more) {
    this.#sight.unobserve(more);
    try {
      this.#add(await fragment(more.dataset.url));
      more.remove();
      this.#watchForMore();
    } catch {
      // The link stays, to be pressed.
    }
  }

  #add(piece) {
    this.#continueGroup(piece);
    this.#list.append(piece);
    for (const link of this.#list.querySelectorAll("[data-title]")) {
      if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    }
  }

  /** A first group without a name belongs to the last one that is there. */
  #continueGroup(piece) {
    const group = piece.querySelector("[data-group='']");
    const last = [...this.#list.querySelectorAll("[data-group] ul")].at(-1);
    // All that stood above it may have been deleted: then it stays a group of its own.
    if (!group || !last) return;
    last.append(...group.querySelectorAll("li"));
    group.remove();
  }

  #clicked(event) {
    const link = event.target.closest("[data-delete], [data-history-more]");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (link.hasAttribute("data-delete")) {
      this.#askToDelete(link);
    } else {
      this.#load(link);
    }
  }

  #askToDelete(link) {
    this.#entry = link.closest("li");
    this.#form.action = link.href;
    this.#error.textContent = "";
    this.#dialog.querySelector("[data-delete-name]").textContent = link.dataset.delete;
    this.#dialog.showModal();
  }

  async #confirmed(event) {
    event.preventDefault();
    event.submitter.disabled = true;
    try {
      await submit(this.#form);
      this.#dialog.close();
      this.#remove();
    } catch (problem) {
      problem.show(this.#error);
    } finally {
      event.submitter.disabled = false;
    }
  }

  #remove() {
    if (this.#entry.querySelector("[aria-current]")) return location.assign("/");
    const links = [...this.#list.querySelectorAll("[data-delete]")];
    const place = links.indexOf(this.#entry.querySelector("[data-delete]"));
    const group = this.#entry.closest("[data-group]");
    this.#entry.remove();
    if (!group.querySelector("li")) group.remove();
    // Focus must not fall to the start of the page.
    (links[place + 1] ?? links[place - 1] ?? document.querySelector("[data-composer] textarea")).focus();
  }
}
