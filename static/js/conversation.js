import { Composer } from "./composer.js";
import { fragment } from "./requests.js";
import { RunningReply } from "./reply.js";
import { Follower } from "./scroll.js";

const ENDINGS = {
  complete: "The reply is complete.",
  stopped: "The reply was stopped.",
  interrupted: "The reply was interrupted.",
  failed: "There is no reply.",
  lost: "The connection is lost.",
};

/** The conversation on the page: its messages, the reply that is being written, the composer. */
export class Conversation {
  #messages;
  #question;
  #announcer;
  #composer;
  #follower;
  #onAsked;

  /**
   * @param {Document} page
   * @param {() => void} onAsked called when a question has been added
   */
  constructor(page, onAsked) {
    this.#onAsked = onAsked;
    this.#messages = page.querySelector("[data-messages]");
    this.#question = page.querySelector("[data-question]");
    this.#announcer = page.querySelector("[data-announcer]");
    if (this.#messages.childElementCount) {
      this.#follower = new Follower(page.querySelector("main"), page.querySelector("[data-to-end]"));
    }
    this.#composer = new Composer(
      page.querySelector("[data-composer]"),
      page.querySelector("[data-stop-form]"),
      (started, text) => this.#asked(started, text),
    );
    for (const message of this.#messages.querySelectorAll("[data-events-url]")) this.#watch(message);
  }

  async #asked({ conversation, message, reply }, text) {
    if (location.pathname !== conversation.url) return location.assign(conversation.url);
    this.#onAsked();
    this.#messages.append(this.#questionOf(message.id, text));
    this.#follower.toEnd();
    this.#composer.running(reply.stop_url);
    this.#composer.goOnFrom(reply.id);
    try {
      const answer = (await fragment(reply.url)).querySelector("[data-message]");
      this.#messages.append(answer);
      this.#watch(answer);
    } catch {
      // It is asked and will be answered; the whole page shows as much of it as there is.
      location.reload();
    }
  }

  #questionOf(id, text) {
    const question = this.#question.content.firstElementChild.cloneNode(true);
    question.id = `message-${id}`;
    question.dataset.message = id;
    question.querySelector("[data-text]").textContent = text;
    return question;
  }

  #watch(message) {
    this.#announcer.textContent = "A reply is being written.";
    this.#composer.running(message.dataset.stopUrl);
    new RunningReply(message, (status) => this.#ended(status));
    new ResizeObserver(() => this.#follower.news()).observe(message);
  }

  #ended(status) {
    this.#announcer.textContent = ENDINGS[status];
    this.#composer.ended();
  }
}
