import { Composer } from "./composer.js";
import { find } from "./dom.js";
import { RunningReply } from "./reply.js";
import { fragment } from "./requests.js";
import { Follower } from "./scroll.js";
import { ENDINGS, WRITING } from "./sentences.js";
import { Tab } from "./tab.js";

/** @typedef {import("./requests.js").Started} Started */

/** The conversation on the page: its messages, the reply that is being written, the composer. */
export class Conversation {
  #messages;
  #question;
  #announcer;
  #composer;
  #tab;
  /** @type {Follower | undefined} */
  #follower;
  #onAsked;

  /**
   * @param {Document} page
   * @param {() => void} onAsked called when a question has been added
   */
  constructor(page, onAsked) {
    this.#onAsked = onAsked;
    this.#messages = find(page, "[data-messages]", HTMLElement);
    this.#question = find(page, "[data-question]", HTMLTemplateElement);
    this.#announcer = find(page, "[data-announcer]", HTMLElement);
    if (this.#messages.childElementCount) {
      this.#follower = new Follower(find(page, "main", HTMLElement), find(page, "[data-to-end]", HTMLButtonElement));
    }
    this.#tab = new Tab(find(page, "link[rel=icon]", HTMLLinkElement));
    this.#composer = new Composer(
      find(page, "[data-composer]", HTMLFormElement),
      find(page, "[data-stop-form]", HTMLFormElement),
      (started, text) => this.#asked(started, text),
    );
    for (const message of this.#messages.querySelectorAll("[data-events-url]")) {
      if (message instanceof HTMLElement) this.#watch(message);
    }
  }

  /** @param {Started} started @param {string} text */
  async #asked({ conversation, message, reply }, text) {
    if (location.pathname !== conversation.url) return location.assign(conversation.url);
    this.#onAsked();
    this.#messages.append(this.#questionOf(message.id, text));
    this.#follower?.toEnd();
    this.#composer.running(reply.stop_url);
    this.#composer.continueFrom(reply.id);
    try {
      const answer = find(await fragment(reply.url), "[data-message]", HTMLElement);
      this.#messages.append(answer);
      this.#watch(answer);
    } catch {
      // The question is stored and will be answered. A reload shows what there is of the answer.
      location.reload();
    }
  }

  /**
   * @param {string} id
   * @param {string} text
   * @returns {Node}
   */
  #questionOf(id, text) {
    const copy = document.importNode(this.#question.content, true);
    const question = find(copy, "[data-message]", HTMLElement);
    question.id = `message-${id}`;
    question.dataset.message = id;
    find(question, "[data-text]", HTMLElement).textContent = text;
    return copy;
  }

  /** @param {HTMLElement} message */
  #watch(message) {
    this.#announcer.textContent = WRITING;
    this.#tab.writing();
    this.#composer.running(message.dataset.stopUrl ?? "");
    new RunningReply(message, (status) => this.#ended(status));
    new ResizeObserver(() => this.#follower?.news()).observe(message);
  }

  /** @param {keyof typeof ENDINGS} status */
  #ended(status) {
    this.#announcer.textContent = ENDINGS[status];
    this.#tab.ended(status);
    this.#composer.ended();
  }
}
