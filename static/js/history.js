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
  #reached = Promise.resolve();

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

  /** The version of the list that the page shows. */
  get version() {
    return this.#list.dataset.listVersion ?? "";
  }

  /**
   * Renew the list, unless it shows this version or a later one.
   * @param {number} version
   */
  reach(version) {
    // One after another, so that the newest state is shown last.
    this.#reached = this.#reached.then(() => this.#reach(version));
  }

  /** @param {number} version */
  async #reach(version) {
    if (Number(this.version) >= version) return;
    try {
      await this.renew();
      this.#list.dataset.listVersion = String(version);
    } catch {
      // The list is out of date until the next change.
    }
  }

  /**
   * Show as many conversations as before, as the server has them now. What a person looks at stays where it is.
   * @throws {Problem}
   */
  async renew() {
    const count = this.#titles.length;
    const next = await fragment(`${this.#list.dataset.url}?count=${count}`);
    const { top } = this.#list.getBoundingClientRect();
    const inView = this.#titles.find((title) => title.getBoundingClientRect().bottom > top);
    const before = inView?.getBoundingClientRect().top ?? 0;
    // At the top, what is new comes into view.
    const isAtTop = !this.#list.scrollTop;
    const focused = this.#list.contains(document.activeElement) && document.activeElement?.getAttribute("href");
    this.#list.replaceChildren();
    this.#add(next);
    this.#watchForMore();
    const same = this.#titles.find(({ href }) => href === inView?.href);
    if (same && !isAtTop) this.#list.scrollTop += same.getBoundingClientRect().top - before;
    if (focused) this.#linkTo(focused)?.focus({ preventScroll: true });
  }

  get #titles() {
    return /** @type {HTMLAnchorElement[]} */ ([...this.#list.querySelectorAll("[data-title]")]);
  }

  /** @param {string} url */
  #linkTo(url) {
    return [...this.#list.querySelectorAll("a")].find((link) => link.getAttribute("href") === url);
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
      const batch = await fragment(more.dataset.url ?? "");
      // The list may have been renewed meanwhile.
      if (!more.isConnected) return;
      this.#add(batch);
      more.remove();
      this.#watchForMore();
    } catch (error) {
      // A press of the link tries again.
      more.textContent = Problem.from(error).message;
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
