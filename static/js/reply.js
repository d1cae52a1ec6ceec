import { backoff } from "./backoff.js";
import { LiveMarkdown } from "./markdown.js";
import { Reasoning } from "./reasoning.js";
import { fragment, Problem } from "./requests.js";
import { ReplyStream } from "./stream.js";

const RECONNECTING = "Reconnecting…";
const GONE = "This conversation is gone.";
// After so many failures in a row the server is asked for the reason, which an EventSource hides.
const FAILURES_BEFORE_ASKING = 3;

/** A reply that is being written, from what the server rendered to its end. */
export class RunningReply {
  #element;
  #live;
  #reasoning;
  #connection;
  #stream;
  #ended;

  /**
   * @param {HTMLElement} element the message, as the server rendered it
   * @param {(status: string) => void} ended called once, with how it ended
   */
  constructor(element, ended) {
    this.#element = element;
    this.#ended = ended;
    this.#connection = element.querySelector("[data-connection]");
    this.#reasoning = new Reasoning(element.querySelector("[data-reasoning]"));
    this.#live = new LiveMarkdown(element.querySelector("[data-text]"));
    const source = element.querySelector("[data-source]").content.textContent;
    if (source) this.#delta({ text: source });
    this.#stream = new ReplyStream(element.dataset.eventsUrl, Number(element.dataset.seq), {
      status: ({ status }) => this.#queue(status === "queued"),
      delta: (data) => this.#delta(data),
      reasoning: (data) => this.#think(data),
      snapshot: (data) => this.#snapshot(data),
      end: ({ status }) => this.#end(status),
      connected: () => this.#connection.replaceChildren(),
      disconnected: (failures) => this.#disconnected(failures),
    });
  }

  #queue(isQueued) {
    // A reply that goes on behind its end has a text already.
    const hasText = this.#element.querySelector("[data-text]").hasChildNodes();
    this.#element.dataset.phase = isQueued ? "queued" : hasText ? "writing" : "waiting";
  }

  #delta({ text }) {
    this.#element.dataset.phase = "writing";
    this.#reasoning.finish();
    this.#live.append(text);
  }

  #think({ text }) {
    if (["queued", "waiting"].includes(this.#element.dataset.phase)) this.#element.dataset.phase = "thinking";
    this.#reasoning.append(text);
  }

  #snapshot({ text, reasoning }) {
    this.#reasoning.replace(reasoning);
    this.#live.replace("");
    if (text) this.#delta({ text });
  }

  async #end(status) {
    this.#settle(status);
    for (let failures = 1; ; failures++) {
      try {
        return this.#swap(await this.#rendered());
      } catch (problem) {
        if (!problem.isPassing) return problem.show(this.#connection);
      }
      await new Promise((resolve) => setTimeout(resolve, backoff(failures)));
    }
  }

  async #disconnected(failures) {
    if (!this.#connection.hasChildNodes()) this.#connection.textContent = RECONNECTING;
    if (failures % FAILURES_BEFORE_ASKING) return;
    try {
      const rendered = await this.#rendered();
      if (rendered.dataset.eventsUrl || this.#isSettled()) return;
      this.#stream.close();
      this.#settle(rendered.dataset.status);
      this.#swap(rendered);
    } catch (problem) {
      if (problem.isPassing) return;
      this.#stream.close();
      this.#settle("lost");
      problem.show(this.#connection);
    }
  }

  #isSettled() {
    return !this.#element.dataset.phase;
  }

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
    try {
      const rendered = (await fragment(this.#element.dataset.messageUrl)).querySelector("[data-message]");
      // Something between here and the server has answered in its place.
      if (!rendered) throw new Problem(RECONNECTING);
      return rendered;
    } catch (problem) {
      throw problem.status === 404 ? new Problem(GONE, 404) : problem;
    }
  }

  #swap(rendered) {
    const isOpen = this.#element.querySelector("[data-reasoning]").open;
    rendered.querySelector("[data-reasoning]")?.toggleAttribute("open", isOpen);
    const focusable = (element) => [...element.querySelectorAll("a, button, summary, [tabindex]")];
    const focused = focusable(this.#element).indexOf(document.activeElement);
    this.#element.replaceWith(rendered);
    focusable(rendered)[focused]?.focus({ preventScroll: true });
  }
}
