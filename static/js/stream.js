import { backoff } from "./backoff.js";

/** @typedef {import("./requests.js").Problem} Problem */

// A connection can die silently, when a laptop sleeps or a network changes. The server gives a sign of life more often.
const SILENCE_MS = 45_000;
// Six streams block all other requests to the server over HTTP/1.1, so hidden tabs close theirs.
const HIDDEN_MS = 5_000;
// While a reply is being written in a hidden tab, the tab looks for its end: how often, and for how long.
const NAP_MS = 20_000;
const LOOK_MS = 2_000;
// An EventSource hides why it failed. After this many failures in a row the page asks the server.
export const FAILURES_BEFORE_ASKING = 3;

/**
 * @typedef {object} Handlers what to do with each kind of event of a reply, and with the connection
 * @property {(data: {status: "queued" | "streaming"}) => void} status
 * @property {(data: {text: string}) => void} delta
 * @property {(data: {text: string}) => void} reasoning
 * @property {(data: {text: string, reasoning: string}) => void} snapshot
 * @property {(data: {status: "complete" | "stopped" | "interrupted" | "failed"}) => void} end
 * @property {() => void} connected
 * @property {(failures: number) => void} disconnected
 */

/**
 * @typedef {object} Page what a stream is about
 * @property {() => Record<string, string>} shown the conversation on the page, if there is one, and all versions
 * @property {(versions: {version: number | null, list: number, running: number}) => void} change the server has other versions
 * @property {(failures: number) => void} disconnected
 */

const KINDS = /** @type {const} */ (["status", "delta", "reasoning", "snapshot", "end"]);

/**
 * What changes on the page, and the events of its replies from their cursors to their ends, over as many connections as
 * it takes.
 *
 * An EventSource gives up on any status but 200, so each connection is a new one, with what the page shows in its query.
 */
export class PageStream {
  #url;
  #page;
  /** @type {Map<string, {seq: number, handlers: Handlers}>} */
  #replies = new Map();
  /** @type {EventSource | null} */
  #source = null;
  #failures = 0;
  #timer = 0;
  #hiddenTimer = 0;
  #isAsleep = document.hidden;
  #isConnecting = false;

  /** @param {string} url @param {Page} page */
  constructor(url, page) {
    this.#url = url;
    this.#page = page;
    document.addEventListener("visibilitychange", () => this.#sleepOrWake());
    // A page may be left for another window and stay visible.
    addEventListener("focus", () => this.#wake());
    addEventListener("online", () => this.#connect());
    addEventListener("offline", () => this.#connect());
    addEventListener("pagehide", () => this.#disconnect());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#connect());
    this.#connectSoon();
  }

  /**
   * Follow a reply until it ends, or until the function that is returned is called.
   * @param {string} id
   * @param {number} seq the last event that the page already shows
   * @param {Handlers} handlers
   */
  follow(id, seq, handlers) {
    const reply = { seq, handlers };
    this.#replies.set(id, reply);
    this.#connectSoon();
    return () => {
      if (this.#replies.get(id) === reply) this.#replies.delete(id);
    };
  }

  /** Stay disconnected until the page is looked at again. */
  sleep() {
    this.#isAsleep = true;
    this.#disconnect();
  }

  /** Connect once for all replies that are followed in one go. */
  #connectSoon() {
    if (this.#isConnecting) return;
    this.#isConnecting = true;
    queueMicrotask(() => {
      this.#isConnecting = false;
      // What put a visible page to sleep has passed, as the server has answered to a question.
      if (!document.hidden) this.#isAsleep = false;
      if (this.#isAsleep) this.#nap();
      else this.#connect();
    });
  }

  #connect() {
    this.#disconnect();
    if (this.#isAsleep) return;
    const query = new URLSearchParams(this.#page.shown());
    for (const [id, { seq }] of this.#replies) query.append("reply", `${id}:${seq}`);
    const source = new EventSource(`${this.#url}?${query}`);
    source.onopen = () => this.#each(({ connected }) => connected());
    source.onerror = () => this.#connectLater();
    source.addEventListener("alive", () => this.#heard());
    source.addEventListener("change", ({ data }) => {
      this.#heard();
      this.#page.change(JSON.parse(data));
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => this.#receive(kind, event));
    }
    this.#source = source;
    this.#listenForSilence();
  }

  #disconnect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #connectLater() {
    this.#disconnect();
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), backoff(this.#failures));
    this.#each(({ disconnected }) => disconnected(this.#failures));
    if (!this.#replies.size && this.#failures % FAILURES_BEFORE_ASKING === 0) this.#page.disconnected(this.#failures);
  }

  #heard() {
    this.#failures = 0;
    this.#listenForSilence();
  }

  #listenForSilence() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), SILENCE_MS);
  }

  /** @param {typeof KINDS[number]} kind @param {MessageEvent<string>} event */
  #receive(kind, event) {
    const data = JSON.parse(event.data);
    this.#heard();
    const reply = this.#replies.get(data.reply);
    if (!reply) return;
    if (kind === "end") {
      this.#replies.delete(data.reply);
    } else if (kind !== "status") {
      const seq = data.seq ?? Number(event.lastEventId);
      // Skip duplicates. A snapshot replaces everything, whatever its seq.
      if (seq <= reply.seq && kind !== "snapshot") return;
      reply.seq = seq;
    }
    reply.handlers[kind](data);
  }

  /** @param {(handlers: Handlers) => void} tell */
  #each(tell) {
    for (const { handlers } of [...this.#replies.values()]) tell(handlers);
  }

  #sleepOrWake() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => this.#nap(), HIDDEN_MS);
    } else {
      this.#wake();
    }
  }

  #nap() {
    this.sleep();
    clearTimeout(this.#hiddenTimer);
    if (this.#replies.size) this.#hiddenTimer = setTimeout(() => this.#look(), NAP_MS);
  }

  #look() {
    this.#wake();
    this.#hiddenTimer = setTimeout(() => this.#nap(), LOOK_MS);
  }

  #wake() {
    this.#isAsleep = false;
    if (!this.#source) this.#connect();
  }
}
