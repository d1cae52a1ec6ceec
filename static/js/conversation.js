import { Composer } from "./composer.js";
import { find } from "./dom.js";
import { Editor, forgetEdit, linksToDrafts } from "./editor.js";
import { go } from "./filter.js";
import { loadReplies, Messages } from "./messages.js";
import { hasLater, loadMoreNearby } from "./paging.js";
import { goBetweenQuestions } from "./questions.js";
import { followEdits, forgetEdits, restoreEdits } from "./queue.js";
import { Problem, submit } from "./requests.js";
import { Follower } from "./scroll.js";
import { Seen } from "./seen.js";
import { ENDINGS, GONE, KEPT, NOT_QUEUED, QUEUED, WRITING } from "./sentences.js";
import { Tab } from "./tab.js";

/** @typedef {import("./requests.js").Started} Started */

/** The conversation on the page: its messages, what people do with them, the composer. */
export class Conversation {
  #announcer;
  #headings;
  #composer;
  #tab;
  #follower;
  #messages;
  #queued;
  #seen;
  #temporary;
  // Whether the page says that the conversation is gone.
  #isGone = false;

  /** @param {Document} page @param {import("./stream.js").PageStream} stream */
  constructor(page, stream) {
    this.#queued = page.querySelector("[data-queued]");
    this.#temporary = page.querySelector("[data-temporary]");
    this.#announcer = find(page, "[data-announcer]", HTMLElement);
    this.#headings = page.querySelectorAll("[data-heading]");
    this.#tab = new Tab(find(page, "link[rel=icon]", HTMLLinkElement));
    this.#composer = new Composer(
      find(page, "[data-composer]", HTMLFormElement),
      find(page, "[data-stop-form]", HTMLFormElement),
      () => this.#messages.place(this.#messages.last),
      (started) => this.#asked(started),
      // There is a newer version, whatever its number.
      () => this.reach(Infinity),
    );
    const list = find(page, "[data-messages]", HTMLElement);
    this.#follower = new Follower(
      find(page, "main", HTMLElement),
      list,
      find(page, "[data-bar]", HTMLElement),
      find(page, "[data-to-end]", HTMLButtonElement),
    );
    this.#messages = new Messages(list, this.#follower, stream, {
      changed: () => this.#changed(),
      began: () => this.#began(),
      ended: (status) => this.#ended(status),
      left: () => this.#tab.left(),
      unsent: (text, why) => this.#composer.take(text, why),
    });
    this.#seen = new Seen(find(page, "[data-seen]", HTMLFormElement));
    if (this.#messages.isTemporary) this.#letEnd(page);
    loadMoreNearby(page, this.#messages);
    goBetweenQuestions(page, list, this.#follower);
    this.#changed();
    list.addEventListener("submit", (event) => this.#submitted(event));
    if (this.#queued instanceof HTMLElement) this.#letQueue(this.#queued);
    list.addEventListener("click", (event) => this.#clicked(event));
    list.addEventListener("input", edited);
    for (const link of linksToDrafts(list)) this.#edit(link);
    // Whoever writes will see a reply being written in a moment, which tries again what fails here.
    const prepare = () => void loadReplies().catch(() => {});
    for (const event of ["input", "submit"]) page.addEventListener(event, prepare, { once: true });
  }

  /** @param {HTMLElement} queued */
  #letQueue(queued) {
    followEdits(queued);
    queued.addEventListener("submit", (event) => this.#submitted(event));
    queued.addEventListener("input", edited);
    for (const text of restoreEdits(queued)) this.#composer.take(text, NOT_QUEUED);
  }

  /** @param {Document} page of a temporary conversation */
  #letEnd(page) {
    const keep = find(page, "[data-keep]", HTMLFormElement);
    keep.addEventListener("submit", (event) => this.#submitted(event));
    keep.addEventListener("sent", () => {
      this.#announcer.textContent = KEPT;
    });
    find(page, "[data-end]", HTMLFormElement).addEventListener("submit", () => {
      this.#composer.draft.forget();
      for (const { id } of page.querySelectorAll("[data-message]")) forgetEdit(id);
      forgetEdits();
    });
  }

  /** What is in the box of the composer. */
  get draft() {
    return this.#composer.draft;
  }

  /** What the page shows of the conversation, for the server. */
  get shown() {
    return this.#messages.shown;
  }

  /**
   * Show what has been changed elsewhere.
   * @param {number | null} version of the conversation by now; null when it is deleted or somebody else's
   */
  async reach(version) {
    try {
      if (version === null) throw new Problem(GONE, 404);
      await this.#messages.reach(version);
      // It has been restored.
      if (this.#isGone) this.#composer.retract();
      this.#isGone = false;
    } catch (error) {
      this.tell(Problem.from(error));
    }
  }

  /** @param {Problem} problem with the page as a whole */
  tell(problem) {
    this.#isGone = problem.status === 404;
    this.#composer.tell(problem);
  }

  /** @param {Started | import("./requests.js").Queued} answer */
  async #asked(answer) {
    const conversation = "conversation" in answer ? answer.conversation : { url: location.pathname };
    if (location.pathname !== conversation.url) return go(conversation.url);
    // The question is far below what is on screen.
    if (hasLater()) return go(conversation.url);
    // A queued question waits below, and the person reads on.
    if ("queued" in answer) {
      this.#announcer.textContent = QUEUED;
      return this.#messages.renew(answer.transcript);
    }
    // The next question may be sent before the page shows this one.
    this.#composer.continueFrom(answer.reply.id);
    await this.#messages.refresh(this.#messages.last, answer.transcript);
    const question = this.#messages.lastQuestion;
    if (question) this.#follower.toTop(question);
  }

  /** @param {SubmitEvent} event of a form in a message or in a queued question, after which other ones may be on screen */
  async #submitted(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (form.ariaBusy === "true") return;
    setBusy(form, true);
    this.#chooseModel(form, event.submitter);
    withdrawComplaint(form);
    try {
      const message = form.closest("[data-message]");
      const { transcript } = await submit(form, event.submitter, this.#messages.place(message));
      form.dispatchEvent(new CustomEvent("sent", { detail: event.submitter }));
      // What was said of the next question, before one of two answers was chosen, holds no longer.
      this.#composer.retract();
      await (message ? this.#messages.refresh(message, transcript) : this.#messages.renew(transcript));
      if (message) showReason(message.id, form);
      const said = event.submitter?.dataset.said;
      if (said) this.#announcer.textContent = said;
      if (document.activeElement === document.body) this.#composer.focus();
    } catch (error) {
      Problem.from(error).show(find(form, "[data-error]", HTMLElement));
      form.querySelector("textarea")?.setAttribute("aria-invalid", "true");
    } finally {
      setBusy(form, false);
    }
  }

  /** @param {MouseEvent} event */
  async #clicked(event) {
    const link = event.target instanceof Element && event.target.closest("[data-edit-link]");
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const editor = await this.#edit(link);
    editor?.focus();
  }

  /** @param {HTMLAnchorElement} link */
  async #edit(link) {
    try {
      return await Editor.open(link, this.#composer);
    } catch (error) {
      Problem.from(error).show(find(link.parentElement ?? document, "[data-error]", HTMLElement));
    }
  }

  /**
   * Let the model that is chosen below answer, or else choose there the one that a person prefers here.
   * @param {HTMLFormElement} form
   * @param {HTMLElement | null} submitter
   */
  #chooseModel(form, submitter) {
    /** @type {HTMLElement | null | undefined} */ (submitter?.closest("[popover]"))?.hidePopover();
    const preferred = form.querySelector("select")?.value ?? submitter?.dataset.model;
    const chosen = form.querySelector("input[name=model]");
    if (preferred) this.#composer.model = preferred;
    else if (chosen instanceof HTMLInputElement) chosen.value = this.#composer.model;
  }

  #changed() {
    this.#composer.continueFrom(this.#messages.leaf);
    this.#composer.showRunning(this.#messages.stopUrls);
    if (!this.#messages.isTemporary) this.#temporary?.remove();
    for (const heading of this.#headings) heading.textContent = this.#messages.title;
    this.#tab.rename(this.#messages.title);
    this.#seen.show(this.#messages.stopUrls.length > 0);
  }

  #began() {
    this.#announcer.textContent = WRITING;
    this.#tab.writing();
  }

  /** @param {keyof typeof ENDINGS} status */
  #ended(status) {
    this.#announcer.textContent = ENDINGS[status];
    this.#tab.ended(status);
    // They are sent now, or held.
    if (this.#queued?.firstElementChild) this.#messages.renew().catch(() => {});
  }
}

/**
 * What was refused is no longer what stands there.
 * @param {Event} event
 */
function edited({ target }) {
  if (target instanceof HTMLTextAreaElement && target.form) withdrawComplaint(target.form);
}

/**
 * Bring the field for a reason into view, which has come below what a person has pressed.
 * @param {string} message the id of its element
 * @param {HTMLFormElement} form that was sent
 */
function showReason(message, form) {
  if (!form.matches("[data-feedback]")) return;
  document.querySelector(`#${message} [data-reason]`)?.scrollIntoView({ block: "nearest" });
}

/** @param {HTMLFormElement} form @param {boolean} isBusy */
function setBusy(form, isBusy) {
  form.ariaBusy = isBusy ? "true" : null;
  const text = form.querySelector("textarea");
  // What was typed now would be neither sent nor kept.
  if (text) text.readOnly = isBusy;
}

/** @param {HTMLFormElement} form */
function withdrawComplaint(form) {
  form.querySelector("textarea")?.removeAttribute("aria-invalid");
  form.querySelector("[data-error]")?.replaceChildren();
}
