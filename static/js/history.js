import { find } from "./dom.js";
import { go, LabelFilter } from "./filter.js";
import { OptionsMenu } from "./options.js";
import { keepPlace, placeBefore, whenShown } from "./place.js";
import { rename } from "./rename.js";
import { fragment, Problem, submit } from "./requests.js";
import { Selecting } from "./selecting.js";
import {
  ARCHIVED,
  DELETED,
  inArchive,
  inTrash,
  isPinned,
  isUnpinned,
  LABELLED,
  renamed,
  restored,
} from "./sentences.js";
import { Sheet } from "./sheet.js";
import { UndoLines } from "./undo.js";

// More is loaded when the end is this close to the view.
const AHEAD = "400px";

/** The list of conversations: loads more when scrolled, filters, deletes, and restores. */
export class History {
  #list;
  #announcer;
  #lines;
  #options;
  #filter;
  #selecting;
  #observer;
  /** @type {Promise<void>} what changes the list now */
  #changing = Promise.resolve();
  /** @type {Set<Promise<unknown>>} to what buttons of entries have asked for */
  #answers = new Set();

  /** @param {Document} page */
  constructor(page) {
    const list = find(page, "[data-history]", HTMLElement);
    this.#list = list;
    this.#announcer = find(page, "[data-announcer]", HTMLElement);
    this.#lines = new UndoLines(list, find(page, "[data-undo-template]", HTMLTemplateElement));
    const field = find(page, "[data-rename-template]", HTMLTemplateElement);
    const labels = new Sheet(find(page, "[data-labels-dialog]", HTMLDialogElement), async () => {
      await this.renew();
      this.#tell(LABELLED);
    });
    this.#options = new OptionsMenu(
      page,
      (entry) => rename(entry, field, (title) => this.#tell(renamed(title))),
      (entry) => void labels.open(`${find(entry, "[data-title]", HTMLAnchorElement).pathname}options/`),
    );
    this.#selecting = new Selecting(page, list, {
      renew: () => this.renew(),
      tell: (sentence) => this.#tell(sentence),
      label: (url) => void labels.open(url),
    });
    this.#filter = new LabelFilter(page, () => this.#inTurn(() => this.#beginAgain()));
    this.#observer = new IntersectionObserver((entries) => this.#seen(entries), { root: list, rootMargin: AHEAD });
    this.#watchForMore();
    list.addEventListener("click", (event) => this.#clicked(event));
    const actions = find(page, "[data-history-actions]", HTMLFormElement);
    actions.addEventListener("submit", (event) => this.#submitted(event));
    whenShown(list, () => void this.#goOn());
    keepPlace(list, () => ({ query: this.#filter.query, count: this.#seenSoFar, top: list.scrollTop }));
    // Screen readers tell what changes, not what a page begins with.
    const notice = page.querySelector("[data-deleted-notice] p");
    if (notice) this.#tell(notice.textContent.trim());
  }

  /** Show as much as the page before, from the same place on, and what is open. */
  async #goOn() {
    const { count = 0, top = 0, query = this.#filter.query } = placeBefore();
    if (query === this.#filter.query) {
      if (count > this.#titles.length) await this.#inTurn(() => this.#renew(count)).catch(() => {});
      this.#list.scrollTop = top;
    }
    const current = this.#list.querySelector("[aria-current]");
    if (!current?.closest("[data-apart]")) current?.scrollIntoView({ block: "nearest" });
  }

  /** How many conversations stand above the end of the window. */
  get #seenSoFar() {
    const { bottom } = this.#list.getBoundingClientRect();
    return this.#titles.filter((title) => title.getBoundingClientRect().top < bottom).length;
  }

  /** @param {string} sentence for screen readers */
  #tell(sentence) {
    this.#announcer.textContent = sentence;
  }

  /** The version of the list that the page shows, and the number of the replies that it shows as being written. */
  get shown() {
    const { listVersion: list = "", running = "" } = this.#list.dataset;
    return { list, running };
  }

  /**
   * Renew the list, unless it shows this version or a later one, and these replies.
   * @param {number} version
   * @param {number} running
   */
  reach(version, running) {
    this.#inTurn(() => this.#reach(version, running));
  }

  /** @param {number} version @param {number} running */
  async #reach(version, running) {
    const { list, running: shown } = this.shown;
    if (Number(list) >= version && shown === String(running)) return;
    try {
      await this.#renew();
      this.#list.dataset.listVersion = String(Math.max(Number(list), version));
      this.#list.dataset.running = String(running);
    } catch {
      // The list is out of date until the next change.
    }
  }

  /**
   * Show as many conversations as before, as the server has them now. What a person looks at stays where it is.
   * @throws {Problem}
   */
  renew() {
    return this.#inTurn(() => this.#renew());
  }

  /**
   * Do one thing after another, so that the newest state is shown last.
   * @param {() => Promise<void>} work
   */
  #inTurn(work) {
    const done = this.#changing.then(work);
    this.#changing = done.catch(() => {});
    return done;
  }

  /** @param {number} [count] this many at least, if there are */
  async #renew(count = this.#titles.length) {
    const next = await this.#newest(count);
    // The list may lack what is just being deleted. Its line comes in the same moment, so that nothing moves in between.
    await Promise.allSettled(this.#answers);
    const { top } = this.#list.getBoundingClientRect();
    const inView = this.#titles.find((title) => title.getBoundingClientRect().bottom > top);
    const before = inView?.getBoundingClientRect().top ?? 0;
    // At the top, what is new comes into view, unless that would put another entry under the pointer.
    const isAtTop = !this.#list.scrollTop && !this.#list.matches(":hover");
    const focused = /** @type {HTMLElement | null} */ (this.#list.querySelector(":focus"));
    const putLines = this.#lines.keep();
    const putOpen = this.#keepOpen();
    this.#list.replaceChildren();
    this.#add(next);
    putLines();
    putOpen();
    this.#watchForMore();
    const same = this.#titles.find(({ href }) => href === inView?.href);
    if (same && !isAtTop) this.#list.scrollTop += same.getBoundingClientRect().top - before;
    if (focused) this.#same(focused)?.focus({ preventScroll: true });
  }

  /** Show the newest conversations that have another label. */
  async #beginAgain() {
    const next = await this.#newest(0);
    this.#list.replaceChildren();
    this.#list.scrollTop = 0;
    this.#add(next);
    this.#watchForMore();
  }

  /**
   * @param {number} count this many at least, if there are
   * @returns {Promise<DocumentFragment>}
   */
  async #newest(count) {
    const { url, here = "" } = this.#list.dataset;
    try {
      const next = await fragment(`${url}?${this.#filter.query}&count=${count}&here=${here}`);
      this.#filter.renew(find(next, "[data-labels]", HTMLTemplateElement));
      return next;
    } catch (error) {
      if (Problem.from(error).status !== 404 || !this.#filter.query) throw error;
      // The label has been deleted.
      this.#filter.clear();
      return this.#newest(count);
    }
  }

  get #titles() {
    return /** @type {HTMLAnchorElement[]} */ ([...this.#list.querySelectorAll("[data-title]")]);
  }

  /**
   * Note the entries whose menu is open, or whose title is being written.
   * @returns {() => void} puts them back into a list that has been renewed
   */
  #keepOpen() {
    const open = [...this.#list.querySelectorAll("[data-open], li:has(form)")];
    return () => {
      for (const entry of open) {
        const { pathname } = find(entry, "[data-title]", HTMLAnchorElement);
        this.#titles
          .find((title) => title.pathname === pathname)
          ?.closest("li")
          ?.replaceWith(entry);
      }
    };
  }

  /** @param {HTMLElement} control that may have been replaced by another one with the same address */
  #same(control) {
    if (control.isConnected) return control;
    const controls = /** @type {NodeListOf<HTMLElement>} */ (this.#list.querySelectorAll("a, button, input"));
    return [...controls].find((other) => addressOf(other) === addressOf(control));
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
    this.#selecting.show();
    for (const link of this.#list.querySelectorAll("[data-title]")) {
      const isCurrent = link instanceof HTMLAnchorElement && link.pathname === location.pathname;
      if (isCurrent) link.setAttribute("aria-current", "page");
    }
    // It has its place in the list now.
    if (this.#list.querySelectorAll("[aria-current]").length > 1) this.#list.querySelector("[data-apart]")?.remove();
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
    const link = event.target instanceof Element && event.target.closest("[data-history-more]");
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#load(link);
  }

  /** @param {SubmitEvent} event of a button that is about an entry, or of a line that can undo something */
  async #submitted(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const button = /** @type {HTMLButtonElement} */ (event.submitter);
    const item = this.#options.entryOf(button);
    if (!item || item.ariaBusy) return;
    item.ariaBusy = "true";
    const error = find(item, "[data-error]", HTMLElement);
    error.textContent = "";
    try {
      const answer = submit(form, button);
      this.#answers.add(answer);
      // Its turn may come later than its failure.
      answer.catch(() => {}).then(() => this.#answers.delete(answer));
      // The list is renewed because of this, but not before the person has seen what has become of the entry.
      await this.#inTurn(this.#follow(button, item, answer));
    } catch (problem) {
      Problem.from(problem).show(error);
    } finally {
      item.ariaBusy = null;
    }
  }

  /**
   * What to show when the server has done what a button asks for.
   * @param {HTMLButtonElement} button
   * @param {HTMLElement} item
   * @param {Promise<{deleted: string}>} answer
   */
  #follow(button, item, answer) {
    if (button.hasAttribute("data-delete")) return this.#delete(item, answer);
    if (button.hasAttribute("data-archive")) return this.#archive(item, answer, button.formAction);
    return button.hasAttribute("data-undo") ? () => this.#restore(item, answer) : () => this.#pin(item, answer);
  }

  /** @param {HTMLElement} entry @param {Promise<{deleted: string}>} answer with the moment of the deletion */
  #delete(entry, answer) {
    const title = find(entry, "[data-title]", HTMLAnchorElement);
    const leave = this.#lines.begin(entry);
    return async () => {
      const { deleted } = await answer;
      // Its page has nothing left to show. The next one offers to undo this.
      if (title.ariaCurrent) return go(`/?${new URLSearchParams({ deleted })}`);
      leave(DELETED, { url: this.#list.dataset.undoUrl ?? "", name: "deleted", value: deleted });
      this.#tell(inTrash(title.textContent));
    };
  }

  /** @param {HTMLElement} entry @param {Promise<unknown>} answer @param {string} url of its options */
  #archive(entry, answer, url) {
    const title = find(entry, "[data-title]", HTMLAnchorElement);
    const leave = this.#lines.begin(entry);
    return async () => {
      await answer;
      leave(ARCHIVED, { url, name: "archived", value: "false" });
      this.#tell(inArchive(title.textContent));
    };
  }

  /** @param {HTMLElement} entry @param {Promise<unknown>} answer */
  async #pin(entry, answer) {
    const { pathname } = find(entry, "[data-title]", HTMLAnchorElement);
    await answer;
    await this.#renew();
    const title = this.#titles.find((title) => title.pathname === pathname);
    const pinned = title?.closest("[data-pinned]");
    if (title) this.#tell(pinned ? isPinned(title.textContent) : isUnpinned(title.textContent));
    // On its way to another group it has lost the focus, and its place on screen.
    title?.focus();
  }

  /** @param {HTMLElement} line @param {Promise<unknown>} answer */
  async #restore(line, answer) {
    await answer;
    await this.#renew();
    const title = this.#titles.find((title) => title.getAttribute("href") === line.dataset.left);
    line.remove();
    this.#tell(title ? restored(title.textContent) : "");
    title?.focus({ preventScroll: true });
  }
}

/** @param {Element} control */
function addressOf(control) {
  return control.getAttribute("href") ?? control.getAttribute("formaction") ?? control.getAttribute("value");
}
