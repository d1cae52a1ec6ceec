import { backoff } from "./backoff.js";

// A connection can die silently, when a laptop sleeps or a network changes.
const SILENCE_MS = 45_000;
// Six streams block all other requests to the server over HTTP/1.1, so hidden tabs close theirs.
const HIDDEN_MS = 30_000;

/**
 * @typedef {object} Handlers what to do with each kind of event, and with the connection
 * @property {(data: {status: "queued" | "streaming"}) => void} status
 * @property {(data: {text: string}) => void} delta
 * @property {(data: {text: string}) => void} reasoning
 * @property {(data: {text: string, reasoning: string}) => void} snapshot
 * @property {(data: {status: "complete" | "stopped" | "interrupted" | "failed"}) => void} end
 * @property {() => void} connected
 * @property {(failures: number) => void} disconnected
 */

const KINDS = /** @type {const} */ (["status", "delta", "reasoning", "snapshot", "end"]);

/**
 * The events of one reply from a cursor to the end, over as many connections as it takes.
 *
 * An EventSource gives up on any status but 200, so each connection is a new one, with the cursor in its query.
 */
export class ReplyStream {
  #url;
  #seq;
  #handlers;
  /** @type {EventSource | null} */
  #source = null;
  #failures = 0;
  #timer = 0;
  #hiddenTimer = 0;
  #isAsleep = false;
  #closed = new AbortController();

  /**
   * @param {string} url
   * @param {number} seq the last event that the page already shows
   * @param {Handlers} handlers
   */
  constructor(url, seq, handlers) {
    this.#url = url;
    this.#seq = seq;
    this.#handlers = handlers;
    const { signal } = this.#closed;
    document.addEventListener("visibilitychange", () => this.#sleepOrWake(), { signal });
    addEventListener("online", () => this.#connect(), { signal });
    addEventListener("offline", () => this.#connect(), { signal });
    addEventListener("pagehide", () => this.#disconnect(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.#connect(), { signal });
    this.#connect();
    this.#sleepOrWake();
  }

  close() {
    this.#closed.abort();
    clearTimeout(this.#hiddenTimer);
    this.#disconnect();
  }

  #connect() {
    this.#disconnect();
    if (this.#isAsleep) return;
    const source = new EventSource(`${this.#url}?after=${this.#seq}`);
    source.onopen = () => this.#handlers.connected();
    source.onerror = () => this.#connectLater();
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
    this.#handlers.disconnected(this.#failures);
  }

  #listenForSilence() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), SILENCE_MS);
  }

  /** @param {typeof KINDS[number]} kind @param {MessageEvent<string>} event */
  #receive(kind, event) {
    const data = JSON.parse(event.data);
    this.#failures = 0;
    this.#listenForSilence();
    if (kind === "end") {
      this.close();
    } else if (kind !== "status") {
      const seq = data.seq ?? Number(event.lastEventId);
      // Skip duplicates. A snapshot replaces everything, whatever its seq.
      if (seq <= this.#seq && kind !== "snapshot") return;
      this.#seq = seq;
    }
    this.#handlers[kind](data);
  }

  #sleepOrWake() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => this.#sleep(), HIDDEN_MS);
    } else {
      this.#wake();
    }
  }

  #sleep() {
    this.#isAsleep = true;
    this.#disconnect();
  }

  #wake() {
    this.#isAsleep = false;
    if (!this.#source) this.#connect();
  }
}
