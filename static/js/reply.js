import { backoff, pause } from "./backoff.js";
import { find } from "./dom.js";
import { LiveMarkdown } from "./live.js";
import { Reasoning } from "./reasoning.js";
import { fragment, Problem } from "./requests.js";
import { RECONNECTING } from "./sentences.js";
import { FAILURES_BEFORE_ASKING } from "./stream.js";
import { settle } from "./swap.js";

/** @typedef {keyof typeof import("./sentences.js").ENDINGS} Ending */

/** A reply while it is written: takes over what the server rendered, and hands back to the server at the end. */
export class RunningReply {
  #element;
  #stream;
  #text;
  #live;
  #reasoning;
  #connection;
  #unfollow;
  #ended;

  /**
   * @param {HTMLElement} element the message, as the server rendered it
   * @param {import("./stream.js").PageStream} stream
   * @param {(status: Ending) => void} ended called once, with how it ended
   */
  constructor(element, stream, ended) {
    this.#element = element;
    this.#stream = stream;
    this.#ended = ended;
    this.#connection = find(element, "[data-connection]", HTMLElement);
    this.#reasoning = new Reasoning(find(element, "[data-reasoning]", HTMLDetailsElement));
    this.#text = find(element, "[data-text]", HTMLElement);
    this.#live = new LiveMarkdown(this.#text);
    const source = find(element, "[data-source]", HTMLTemplateElement).content.textContent;
    if (source) this.#delta({ text: source });
    this.#unfollow = stream.follow(element.dataset.message ?? "", Number(element.dataset.seq), {
      status: ({ status }) => this.#queue(status === "queued"),
      delta: (data) => this.#delta(data),
      reasoning: (data) => this.#think(data),
      snapshot: (data) => this.#snapshot(data),
      end: ({ status }) => this.#end(status),
      connected: () => this.#connection.replaceChildren(),
      disconnected: (failures) => this.#disconnected(failures),
    });
  }

  /** Follow it no longer: it has left the page. */
  close() {
    this.#unfollow();
    this.#reasoning.finish();
    delete this.#element.dataset.phase;
  }

  /** @param {boolean} isQueued */
  #queue(isQueued) {
    // A reply that is being resumed has text already.
    const hasText = this.#text.hasChildNodes();
    this.#element.dataset.phase = isQueued ? "queued" : hasText ? "writing" : "waiting";
  }

  /** @param {{text: string}} data */
  #delta({ text }) {
    this.#element.dataset.phase = "writing";
    this.#reasoning.finish();
    this.#live.append(text);
  }

  /** @param {{text: string}} data */
  #think({ text }) {
    if (["queued", "waiting"].includes(this.#element.dataset.phase ?? "")) this.#element.dataset.phase = "thinking";
    this.#reasoning.append(text);
  }

  /** @param {{text: string, reasoning: string}} data */
  #snapshot({ text, reasoning }) {
    this.#reasoning.replace(reasoning);
    this.#live.replace("");
    if (text) this.#delta({ text });
  }

  /** @param {Ending} status */
  async #end(status) {
    this.#settle(status);
    for (let failures = 1; ; failures++) {
      try {
        return settle(this.#element, await this.#rendered());
      } catch (error) {
        const problem = Problem.from(error);
        if (!problem.isPassing) return problem.show(this.#connection);
      }
      await pause(backoff(failures));
    }
  }

  /** @param {number} failures in a row */
  async #disconnected(failures) {
    if (!this.#connection.hasChildNodes()) this.#connection.textContent = RECONNECTING;
    if (failures % FAILURES_BEFORE_ASKING) return;
    try {
      const rendered = await this.#rendered();
      if (rendered.dataset.eventsUrl || this.#isSettled()) return;
      this.#unfollow();
      this.#settle(/** @type {Ending} */ (rendered.dataset.status));
      settle(this.#element, rendered);
    } catch (error) {
      const problem = Problem.from(error);
      if (problem.isPassing || this.#isSettled()) return;
      if (problem.status === 401) {
        // The stream continues from here if the person signs in elsewhere and comes back.
        this.#stream.sleep();
      } else {
        this.#unfollow();
        this.#settle("lost");
      }
      problem.show(this.#connection);
    }
  }

  #isSettled() {
    return !this.#element.dataset.phase;
  }

  /** @param {Ending} status */
  #settle(status) {
    this.#live.flush();
    this.#reasoning.finish();
    this.#connection.replaceChildren();
    delete this.#element.dataset.phase;
    this.#element.dataset.status = status;
    this.#ended(status);
  }

  /** The server's own rendering of the message. */
  async #rendered() {
    const rendered = (await fragment(this.#element.dataset.messageUrl ?? "")).querySelector("[data-message]");
    // A proxy may have answered instead of the server.
    if (!(rendered instanceof HTMLElement)) throw new Problem(RECONNECTING);
    return rendered;
  }
}
