import { pause } from "./backoff.js";
import { find } from "./dom.js";

const TYPING_MS = 600;
// Browsers send no more than this after the page is gone, for all drafts together.
const MOST_KEPT_ALIVE = 60_000;
const PATIENCE_MS = 2000;

/**
 * What is in the composer. The server keeps it, on every device; the browser only until the server has it. For a temporary
 * conversation that has not begun, the browser alone keeps it. Of two, the later one counts.
 */
export class Draft {
  #url;
  #key;
  /** Of the time at which it was written. */
  #writtenKey;
  /** Milliseconds by which the server's clock is ahead; somewhat more, as the page began to load before its answer. */
  #ahead;
  #token;
  #timer = 0;
  #saved = Promise.resolve();
  #isLeaving = false;
  /** @type {string | null} What the server has; null while it may be another text. */
  #stored;
  /** @type {string | null} The same since a question has been on its way. */
  #storedSince = null;

  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.#url = form.dataset.draftUrl ?? "";
    this.#key = `draft ${form.dataset.draft}`;
    this.#writtenKey = `${this.#key} written`;
    this.#ahead = 1000 * Number(form.dataset.now) - performance.timeOrigin;
    this.#stored = find(form, "textarea", HTMLTextAreaElement).defaultValue;
    this.#token = find(form, "[name=csrfmiddlewaretoken]", HTMLInputElement);
    addEventListener("beforeunload", () => {
      this.#isLeaving = true;
    });
    addEventListener("pagehide", () => this.save());
    document.addEventListener("visibilitychange", () => document.hidden && this.save());
    const written = Number(sessionStorage.getItem(this.#writtenKey) ?? Infinity);
    // What continues the server's text is no older, even if the server was slow to store that.
    if (written < 1000 * Number(form.dataset.draftChanged) && !this.unsaved?.startsWith(this.#stored)) this.forget();
  }

  /** What the server may not have got yet, if there is such a text. */
  get unsaved() {
    return sessionStorage.getItem(this.#key);
  }

  /** @param {string} text */
  keep(text) {
    // Whoever writes has not left after all.
    this.#isLeaving = false;
    sessionStorage.setItem(this.#key, text);
    sessionStorage.setItem(this.#writtenKey, String(Date.now() + this.#ahead));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.save(), TYPING_MS);
  }

  /** The text is on its way as a question. */
  sending() {
    this.#storedSince = this.#stored;
  }

  /**
   * Keep nothing of what has become a question. The server forgets a draft with which the question begins.
   * @param {string} question
   */
  sent(question) {
    const draft = this.#storedSince;
    if (draft === null || !question.trim().startsWith(draft.trim())) return this.keep("");
    this.#stored = "";
    this.forget();
  }

  /** Let the server keep what it has not got yet. */
  save() {
    clearTimeout(this.#timer);
    // One after another, so that the newest text is kept last.
    this.#saved = this.#saved.then(() => this.#save());
    return this.#saved;
  }

  /** Keep nothing of a conversation that ends. */
  forget() {
    clearTimeout(this.#timer);
    sessionStorage.removeItem(this.#key);
    sessionStorage.removeItem(this.#writtenKey);
  }

  async #save() {
    const text = this.unsaved;
    if (text === null || !this.#url) return;
    this.#stored = this.#storedSince = null;
    const { ok, redirected } = await fetch(this.#url, {
      method: "POST",
      // The token of the form may be renewed.
      headers: { Accept: "application/json", "X-CSRFToken": this.#token.value },
      body: new URLSearchParams({ text }),
      keepalive: text.length < MOST_KEPT_ALIVE,
    }).catch(() => ({ ok: false, redirected: false }));
    // Otherwise the next text, or the next page, tries again.
    if (!ok || redirected) return;
    this.#stored = text;
    // The server may have read what the next page shows before it got this. Then that page takes it from here.
    if (!this.#isLeaving && this.unsaved === text) this.forget();
  }
}

/**
 * Let the server keep the draft before the browser forgets it.
 * @param {HTMLFormElement} form that signs out
 * @param {Draft} draft
 */
export function saveBeforeSignOut(form, draft) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await Promise.race([draft.save(), pause(PATIENCE_MS)]);
    form.submit();
  });
}
