import { find } from "./dom.js";
import { Draft } from "./drafts.js";
import { Problem, submit } from "./requests.js";
import { room, STARTS_NEW, STOP, STOPPING } from "./sentences.js";
import { complainOfFields } from "./sheet.js";
import { isComposing } from "./typing.js";

/** @typedef {import("./requests.js").Started} Started */
/** @typedef {import("./requests.js").Queued} Queued */

// From this share of the limit on, people see how much room is left.
const NEARLY_FULL = 0.8;
// Separates the text in the box from text that is added.
const GAP = "\n\n";

/** The form for questions: it sends, stops, and keeps a draft. */
export class Composer {
  #form;
  #text;
  #leaf;
  #error;
  #room;
  #send;
  #stop;
  #stopLabel;
  #stopForm;
  /** @type {string[]} */
  #stopUrls = [];
  #askUrl;
  /** What is in the box, kept for later. */
  draft;
  #place;
  #onAsked;
  #onStale;

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLFormElement} stopForm
   * @param {() => Record<string, string> | undefined} place what the query of a question says, so that its answer has
   *   the transcript; nothing where there is none yet
   * @param {(answer: Started | Queued) => Promise<void>} onAsked shows what the server has stored
   * @param {() => Promise<void>} onStale shows what another page has changed meanwhile, or says why it cannot
   */
  constructor(form, stopForm, place, onAsked, onStale) {
    this.#form = form;
    this.#stopForm = stopForm;
    this.#askUrl = form.action;
    this.#place = place;
    this.#onAsked = onAsked;
    this.#onStale = onStale;
    this.#text = find(form, "textarea", HTMLTextAreaElement);
    this.#leaf = find(form, "[name=leaf]", HTMLInputElement);
    this.#error = find(form, "[data-error]", HTMLElement);
    this.#room = find(form, "[data-room]", HTMLElement);
    this.#send = find(form, "[data-send]", HTMLButtonElement);
    this.#stop = find(form, "[data-stop]", HTMLButtonElement);
    this.#stopLabel = find(form, "[data-stop-label]", HTMLElement);
    this.draft = new Draft(form);
    this.#recover();
    this.#fit();
    this.focus();
    this.#text.addEventListener("input", () => this.#edited());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    form.addEventListener("submit", (event) => this.#submitted(event));
    stopForm.addEventListener("submit", (event) => this.#stopped(event));
    document.addEventListener("keydown", (event) => this.#pressedAnywhere(event));
  }

  /**
   * Offer to stop while a reply is being written, and queue what is sent.
   * @param {string[]} stopUrls
   */
  showRunning(stopUrls) {
    this.#stopUrls = stopUrls;
    const isRunning = stopUrls.length > 0;
    if (isRunning) {
      this.#showStop(STOP, false);
      this.#send.setAttribute("formaction", this.#form.dataset.queueUrl ?? "");
    } else {
      this.#send.removeAttribute("formaction");
    }
    if (this.#isRunning !== isRunning) this.#offer(isRunning);
  }

  /**
   * Take over what was written elsewhere, and say why it could not be sent there.
   * @param {string} text
   * @param {string} why
   */
  take(text, why) {
    this.#text.value = [this.#text.value, text].filter(Boolean).join(GAP);
    this.#keep();
    this.#complain(why);
  }

  focus() {
    // On a phone the keyboard would cover half of what there is to read.
    if (canHover()) this.#text.focus({ preventScroll: true });
  }

  /** The model that is chosen; empty if there is only one. */
  get model() {
    return this.#models?.value ?? "";
  }

  set model(name) {
    // A model that answered earlier may no longer be offered.
    const option = [...(this.#models?.options ?? [])].find(({ value }) => value === name);
    if (option) option.selected = true;
  }

  /** The choice of a second model to compare with. */
  get #also() {
    return /** @type {HTMLSelectElement | null} */ (this.#form.querySelector("select[name=also]"));
  }

  /** Where the page of a new conversation has what goes to the model besides the questions. */
  get #beginning() {
    return /** @type {HTMLElement | null} */ (document.querySelector("[data-beginning]"));
  }

  get #models() {
    return /** @type {HTMLSelectElement | null} */ (this.#form.querySelector("select[name=model]"));
  }

  /**
   * Say what keeps the page from continuing. The draft stays; when its conversation is gone, it can start a new one.
   * @param {Problem} problem
   */
  tell(problem) {
    problem.show(this.#error);
    if (problem.status !== 404) return;
    this.#error.append(" ", STARTS_NEW);
    this.#form.action = this.#form.dataset.startUrl ?? "";
    this.#send.removeAttribute("formaction");
  }

  /** Say no longer what has kept the page from continuing. */
  retract() {
    this.#complain("");
    this.#form.action = this.#askUrl;
  }

  /**
   * Let the next question follow this message, and no other.
   * @param {string} id
   */
  continueFrom(id) {
    this.#leaf.value = id;
  }

  get #isRunning() {
    return !this.#stop.hidden;
  }

  /** Show what the server has not got, which is newer than what it has sent; but not instead of what it has refused. */
  #recover() {
    const { unsaved } = this.draft;
    if (unsaved === null) return;
    if (!this.#error.textContent) this.#text.value = unsaved;
    this.draft.save();
  }

  #edited() {
    // What was refused is no longer what stands there.
    this.#complain("");
    this.#keep();
  }

  #keep() {
    this.draft.keep(this.#text.value);
    this.#fit();
  }

  #fit() {
    this.#grow();
    this.#showRoom();
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }

  /** Say how many characters are left, or too many, when it is nearly full. */
  #showRoom() {
    const most = Number(this.#form.dataset.most);
    const { value } = this.#text;
    this.#room.hidden = value.length < most * NEARLY_FULL;
    // Characters as the server counts them: some take two places in JavaScript.
    if (!this.#room.hidden) this.#room.textContent = room(most - [...value].length);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (!sends(event)) return;
    event.preventDefault();
    this.#form.requestSubmit(this.#send);
  }

  /** @param {KeyboardEvent} event */
  #pressedAnywhere(event) {
    const isFree =
      !event.defaultPrevented && !isComposing(event) && !document.querySelector(":popover-open, dialog[open]");
    if (event.key === "Escape" && this.#isRunning && isFree) this.#stopForm.requestSubmit();
  }

  /** @param {SubmitEvent} event */
  async #submitted(event) {
    event.preventDefault();
    const isExample = event.submitter?.getAttribute("name") === "example";
    if (this.#send.disabled || !(isExample || this.#text.value.trim())) return;
    const sent = this.#text.value;
    this.draft.sending();
    this.#sending(true);
    try {
      const answer = await this.#ask(event.submitter).finally(() => this.#sending(false));
      if (!isExample) this.#clear(sent);
      await this.#onAsked(answer);
    } catch (error) {
      const problem = Problem.from(error);
      if (this.#beginning && complainOfFields(this.#beginning, problem)) return;
      this.tell(problem);
      this.#text.setAttribute("aria-invalid", "true");
      if (problem.code === "conversation_changed") await this.#onStale();
    }
  }

  /**
   * Send the form; to the queue if a reply is being written where this page does not show it.
   * @param {HTMLElement | null} submitter
   */
  async #ask(submitter) {
    try {
      return await submit(this.#form, submitter, this.#place());
    } catch (error) {
      const url = this.#form.dataset.queueUrl;
      // A queued question gets one answer.
      if (Problem.from(error).code !== "reply_running" || !url || this.#also?.value) throw error;
      this.#send.setAttribute("formaction", url);
      return await submit(this.#form, this.#send, this.#place()).finally(() =>
        this.#send.removeAttribute("formaction"),
      );
    }
  }

  /** @param {boolean} isSending */
  #sending(isSending) {
    // A disabled field would lose the focus and, on a phone, the keyboard.
    this.#text.readOnly = isSending;
    this.#send.disabled = isSending;
    if (isSending) this.#complain("");
  }

  /** @param {string} sent what the box held when it was sent; more may have come to it meanwhile */
  #clear(sent) {
    this.#text.value = this.#text.value.slice((sent + GAP).length);
    if (this.#also) this.#also.value = "";
    if (this.#text.value) this.draft.keep(this.#text.value);
    else this.draft.sent(sent);
    this.#fit();
  }

  /** @param {string} sentence */
  #complain(sentence) {
    this.#error.textContent = sentence;
    this.#text.removeAttribute("aria-invalid");
  }

  /** @param {SubmitEvent} event */
  async #stopped(event) {
    event.preventDefault();
    if (this.#stop.ariaDisabled === "true") return;
    this.#showStop(STOPPING, true);
    try {
      // The page shows each stop when the reply's stream reports it.
      await Promise.all(this.#stopUrls.map((url) => this.#stopAt(url)));
    } catch (error) {
      Problem.from(error).show(this.#error);
      this.#showStop(STOP, false);
    }
  }

  /** @param {string} url */
  #stopAt(url) {
    this.#stopForm.action = url;
    return submit(this.#stopForm);
  }

  /** @param {string} label @param {boolean} isDisabled */
  #showStop(label, isDisabled) {
    this.#stopLabel.textContent = label;
    // A disabled button would drop the focus.
    this.#stop.ariaDisabled = String(isDisabled);
  }

  /** @param {boolean} isRunning */
  #offer(isRunning) {
    const hadFocus = document.activeElement === this.#stop;
    this.#stop.hidden = !isRunning;
    if (hadFocus) this.#text.focus({ preventScroll: true });
  }
}

/**
 * Whether a key pressed in a text sends it: Enter, and on any device Ctrl+Enter or ⌘+Enter.
 * @param {KeyboardEvent} event
 */
export function sends(event) {
  if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return false;
  // A phone's keyboard has no Shift+Enter, so Enter starts a new line there. Some people want that everywhere.
  const enterSends = canHover() && document.documentElement.dataset.enter !== "breaks";
  return enterSends || event.ctrlKey || event.metaKey;
}

/** Whether there is a mouse, and so most likely a real keyboard. */
function canHover() {
  return matchMedia("(hover: hover)").matches;
}
