import { backoff, drawn, pause } from "./backoff.js";
import { Batches, firstInWindow, messagesIn } from "./batches.js";
import { find } from "./dom.js";
import { takeEdit } from "./editor.js";
import { showQueued } from "./queue.js";
import { fragment, Problem, parsed } from "./requests.js";
import { EDIT_GONE, NOT_QUEUED, RECONNECTING } from "./sentences.js";
import { FAILURES_BEFORE_ASKING } from "./stream.js";
import { swap } from "./swap.js";

/** @typedef {import("./reply.js").Ending} Ending */

// How many messages are asked for at once. They are added one by one: their layout takes time, and the page may draw and
// answer in between.
const BATCH = 12;
const BETWEEN_RELOADS_MS = 60_000;

/**
 * @typedef {object} Listener what else on the page depends on the messages
 * @property {() => void} changed there are other messages, or fewer of them are being written
 * @property {() => void} began a reply is being written
 * @property {(status: Ending) => void} ended a reply has ended
 * @property {() => void} left a reply that is being written is no longer on the page
 * @property {(text: string, why: string) => void} unsent what was written and can no longer be sent where it stood
 */

/** The messages on the page. Those that are being written follow their streams; `refresh` brings all up to date. */
export class Messages {
  #element;
  #follower;
  #stream;
  #listener;
  /** @type {Map<string, AbortController>} ends the following of a reply, by the id of the message */
  #running = new Map();
  #news;
  #batches;
  /** @type {Promise<void>} the refresh under way */
  #refreshing = Promise.resolve();

  /**
   * @param {HTMLElement} element
   * @param {import("./scroll.js").Follower} follower
   * @param {import("./stream.js").PageStream} stream
   * @param {Listener} listener
   */
  constructor(element, follower, stream, listener) {
    this.#element = element;
    this.#follower = follower;
    this.#stream = stream;
    this.#listener = listener;
    this.#batches = new Batches(element);
    this.#news = new ResizeObserver(() => follower.news());
    for (const message of this.#shown) this.#watch(message);
  }

  /** The id of the message after which the next question goes, as the server has it. */
  get leaf() {
    return this.#element.dataset.leaf ?? "";
  }

  /** The last message. */
  get last() {
    return this.#shown.at(-1) ?? null;
  }

  /** The last question, which may have two answers. */
  get lastQuestion() {
    return this.#shown.findLast(({ dataset }) => dataset.role === "user");
  }

  /** Where to stop the replies that are being written. */
  get stopUrls() {
    return [...this.#running.keys()].map((id) => document.getElementById(id)?.dataset.stopUrl ?? "");
  }

  /** The title of the conversation, as the server has it. */
  get title() {
    return this.#element.dataset.headingText ?? "";
  }

  /** Whether the conversation is temporary, as the server has it. */
  get isTemporary() {
    return this.#element.hasAttribute("data-is-temporary");
  }

  /** The conversation on the page, and the version of it that the page shows. */
  get shown() {
    const { conversation = "", version = "" } = this.#element.dataset;
    return { conversation, version };
  }

  /**
   * Refresh, unless the page shows this version or a later one by then.
   * @param {number} version
   */
  async reach(version) {
    await this.#refreshing;
    if (Number(this.#element.dataset.version) >= version) return;
    await this.renew();
  }

  /**
   * Refresh because of something that was done elsewhere. Whoever follows the end still does.
   * @param {string} [brought] the transcript, if an answer has brought it
   */
  async renew(brought) {
    if (await this.refresh(null, brought)) this.#follower.toEnd();
  }

  /**
   * What the query of a form says, so that its answer brings the transcript from this message on.
   * @param {Element | null} anchor by default the first message in the window
   */
  place(anchor) {
    return { conversation: this.shown.conversation, ...this.#from(anchor ?? this.#firstInWindow()) };
  }

  /**
   * Show the messages that the server has now, from the anchor on. Messages that have not changed stay untouched, and
   * the anchor, or the message that takes its place, stays where it is on screen.
   * @param {Element | null} [anchor] a message, by default the first one in the window
   * @param {string} [brought] the transcript from the anchor on, if an answer has brought it
   * @returns {Promise<boolean>} whether the reader followed the end until then
   * @throws {Problem} when the server refuses; while it cannot be reached, this tries again
   */
  refresh(anchor, brought) {
    return this.#inTurn(() => this.#refresh(anchor, brought));
  }

  /**
   * Do one thing after another, so that the newest state is shown last.
   * @template T
   * @param {() => Promise<T>} work
   */
  #inTurn(work) {
    const done = this.#refreshing.then(work);
    this.#refreshing = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  /** Add the messages before the first one. What the reader sees stays where it is. */
  addEarlier() {
    const place = () => ({ until: this.#element.dataset.parent ?? "" });
    return this.#add("[data-earlier]", place, async (list, next) => {
      const messages = messagesIn(list);
      const batch = this.#batches.begin();
      this.#element.prepend(batch);
      let drift = 0;
      for (const message of messages.toReversed()) {
        await drawn();
        drift = this.#keepPlace(() => batch.prepend(message), drift);
      }
      await drawn();
      this.#batches.end(batch);
      this.#element.dataset.parent = list.dataset.parent;
      this.#keepPlace(() => replaceContent("[data-earlier]", next), drift);
      return messages;
    });
  }

  /** Add the messages after the last one. */
  addLater() {
    const place = () => ({ from: this.last?.dataset.message ?? "" });
    return this.#add("[data-later]", place, async (list, next) => {
      const [, ...messages] = messagesIn(list);
      // The last ones belong into the list itself.
      const batch = next.querySelector("[data-later] a") ? this.#batches.begin() : null;
      if (batch) this.#element.append(batch);
      for (const message of messages) {
        await drawn();
        (batch ?? this.#element).append(message);
      }
      if (batch) {
        await drawn();
        this.#batches.end(batch);
      }
      this.#element.toggleAttribute("data-choosing", list.hasAttribute("data-choosing"));
      replaceContent("[data-later]", next);
      replaceContent("[data-queued]", next);
      return messages;
    });
  }

  /**
   * @param {string} link that is there while there are such messages
   * @param {() => Record<string, string>} place of the messages in the conversation
   * @param {(list: HTMLElement, next: DocumentFragment) => Promise<HTMLElement[]>} insert what the server has, and return it
   */
  #add(link, place, insert) {
    return this.#inTurn(async () => {
      // A refresh that came first may have brought them, or another branch.
      if (!document.querySelector(`${link} a`)) return;
      const next = await this.#fetch({ ...place(), last: String(BATCH) });
      for (const message of await insert(find(next, "[data-messages]", HTMLElement), next)) this.#watch(message);
      this.#listener.changed();
    });
  }

  /**
   * Change what is above the window, and keep what the reader sees where it is.
   * @param {() => void} change
   * @param {number} drift how far that is from its place already: browsers scroll by whole pixels
   * @returns {number} how far it is now
   */
  #keepPlace(change, drift) {
    const anchor = this.#firstInWindow();
    if (!anchor) return 0;
    const place = anchor.getBoundingClientRect();
    place.y -= drift;
    change();
    this.#follower.keep(anchor, place);
    return anchor.getBoundingClientRect().y - place.y;
  }

  /** @param {Element | null} [wanted] @param {string} [brought] */
  async #refresh(wanted, brought) {
    const anchor = wanted?.isConnected ? wanted : this.#firstInWindow();
    const next = brought ? parsed(brought) : await this.#fetch(this.#from(anchor));
    // Meanwhile the reader may have scrolled, and the end of a reply may have replaced the anchor.
    const index = this.#shown.findIndex(({ id }) => id === anchor?.id);
    const before = this.#shown[index]?.getBoundingClientRect();
    const { isFollowing } = this.#follower;
    this.#follower.leave();
    this.#reconcile(next);
    const inPlace = this.#shown.find(({ id }) => id === anchor?.id) ?? this.#shown[index];
    if (before && inPlace) this.#follower.keep(inPlace, before);
    this.#listener.changed();
    return isFollowing;
  }

  /** @param {Element | null} anchor @returns {Record<string, string>} */
  #from(anchor) {
    return anchor instanceof HTMLElement ? { from: anchor.dataset.message ?? "" } : {};
  }

  /** @param {Record<string, string>} place */
  async #fetch(place) {
    const query = new URLSearchParams(place);
    for (let failures = 1; ; failures++) {
      try {
        return await fragment(`${this.#element.dataset.url}?${query}`);
      } catch (error) {
        if (!Problem.from(error).isPassing) throw error;
      }
      await pause(backoff(failures));
    }
  }

  /** @param {DocumentFragment} next part of the branch on screen, from some message to its end */
  #reconcile(next) {
    const list = find(next, "[data-messages]", HTMLElement);
    // It has come from the server before what the page shows.
    if (Number(list.dataset.version) < Number(this.shown.version)) return;
    // What leads to a message never changes, so everything up to the parent of the first one stays.
    this.#element.dataset.version = list.dataset.version;
    this.#element.dataset.leaf = list.dataset.leaf;
    this.#element.dataset.headingText = list.dataset.headingText;
    this.#element.toggleAttribute("data-choosing", list.hasAttribute("data-choosing"));
    this.#element.toggleAttribute("data-is-temporary", list.hasAttribute("data-is-temporary"));
    const kept = this.#shown.findIndex(({ dataset }) => dataset.message === list.dataset.parent) + 1;
    if (!kept) {
      replaceContent("[data-earlier]", next);
      this.#element.dataset.parent = list.dataset.parent;
    }
    replaceContent("[data-later]", next);
    showApplied(find(next, "[data-applied-now]", HTMLTemplateElement).content);
    const queued = find(document, "[data-queued]", HTMLElement);
    for (const text of showQueued(queued, find(next, "[data-queued]", HTMLElement)))
      this.#listener.unsent(text, NOT_QUEUED);
    const old = this.#shown.slice(kept);
    const wanted = messagesIn(list);
    for (const [index, message] of wanted.entries()) {
      // Of two answers the second was chosen, so the first leaves its place to it.
      while (isLater(message, old, index)) for (const other of old.splice(index, 1)) this.#remove(other);
      this.#put(message, old[index]);
    }
    for (const message of old.slice(wanted.length)) this.#remove(message);
  }

  /** @param {HTMLElement} message @param {HTMLElement | undefined} old what is in its place */
  #put(message, old) {
    if (old && this.#isSame(old, message)) return;
    if (old) {
      this.#forget(old);
      this.#batches.leave(old);
      swap(old, message);
    } else {
      this.#element.append(message);
    }
    this.#watch(message);
  }

  /** @param {HTMLElement} message @param {HTMLElement} other */
  #isSame(message, other) {
    if (message.id !== other.id) return false;
    if (message.hasAttribute("data-editing")) return true;
    // Its stream brings whatever else is new. The end of one reply may have brought another one, which nobody follows yet.
    if (this.#running.has(message.id)) return true;
    return !message.dataset.eventsUrl && message.dataset.version === other.dataset.version;
  }

  /** @param {HTMLElement} message */
  #watch(message) {
    if (!message.dataset.eventsUrl) return;
    this.#running.set(message.id, this.#follow(message));
    this.#news.observe(message);
    this.#listener.began();
  }

  /** @param {HTMLElement} message */
  #follow(message) {
    const left = new AbortController();
    loadRepliesFor(message, left.signal).then((replies) => {
      if (!replies || left.signal.aborted) return;
      const reply = new replies.RunningReply(message, this.#stream, (status) => this.#ended(message, status));
      left.signal.addEventListener("abort", () => reply.close());
    });
    return left;
  }

  /** @param {HTMLElement} message @param {Ending} status */
  #ended(message, status) {
    this.#running.delete(message.id);
    this.#news.unobserve(message);
    this.#listener.ended(status);
    this.#listener.changed();
  }

  /** @param {HTMLElement} message */
  #remove(message) {
    this.#forget(message);
    this.#batches.leave(message);
    message.remove();
  }

  /** @param {HTMLElement} message that leaves the page */
  #forget(message) {
    this.#news.unobserve(message);
    const unsent = message.hasAttribute("data-editing") ? takeEdit(message) : "";
    if (unsent) this.#listener.unsent(unsent, EDIT_GONE);
    const running = this.#running.get(message.id);
    if (!running) return;
    running.abort();
    this.#running.delete(message.id);
    this.#listener.left();
  }

  get #shown() {
    return messagesIn(this.#element);
  }

  #firstInWindow() {
    return firstInWindow(this.#element) ?? this.last;
  }
}

/** What draws a reply while it is written: half of all scripts, which a page that is only read does without. */
export function loadReplies() {
  return import("./reply.js");
}

/** @param {HTMLElement} message that is being written @param {AbortSignal} left tells when it is no longer on the page */
async function loadRepliesFor(message, left) {
  for (let failures = 1; !left.aborted; failures++) {
    try {
      return await loadReplies();
    } catch {
      find(message, "[data-connection]", HTMLElement).textContent = RECONNECTING;
    }
    if (failures % FAILURES_BEFORE_ASKING === 0) await reload(message);
    await pause(backoff(failures));
  }
}

/**
 * Reload the page if the server can be reached, at most once a minute: some browsers do not fetch again what they could
 * not fetch, and after an upgrade the server may have other scripts. The reader's place and drafts stay.
 * @param {HTMLElement} message
 */
async function reload(message) {
  const [navigation] = performance.getEntriesByType("navigation");
  const isReloaded = navigation instanceof PerformanceNavigationTiming && navigation.type === "reload";
  if (isReloaded && performance.now() < BETWEEN_RELOADS_MS) return;
  try {
    await fragment(message.dataset.messageUrl ?? "");
    location.reload();
  } catch (error) {
    Problem.from(error);
  }
}

/** @param {HTMLElement} message @param {HTMLElement[]} old @param {number} index */
function isLater(message, old, index) {
  return old.findIndex(({ id }) => id === message.id) > index;
}

/** @param {DocumentFragment} next what goes to the model by now besides the question */
function showApplied(next) {
  const line = find(document, "[data-applied]", HTMLElement);
  const hadFocus = line.contains(document.activeElement);
  line.replaceChildren(next);
  if (hadFocus) line.querySelector("a")?.focus({ preventScroll: true });
}

/** @param {string} selector @param {DocumentFragment} next */
function replaceContent(selector, next) {
  find(document, selector, HTMLElement).replaceChildren(...find(next, selector, HTMLElement).childNodes);
}
