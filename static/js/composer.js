import { submit } from "./requests.js";

/** Where questions are written: sends, stops, and never loses a draft. */
export class Composer {
  #form;
  #text;
  #error;
  #send;
  #stop;
  #stopForm;
  #draftKey;
  #accepted;

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLFormElement} stopForm
   * @param {(started: object, text: string) => void} accepted called when the server has stored a question
   */
  constructor(form, stopForm, accepted) {
    this.#form = form;
    this.#stopForm = stopForm;
    this.#accepted = accepted;
    this.#text = form.elements.text;
    this.#error = form.querySelector("[data-error]");
    this.#send = form.querySelector("[data-send]");
    this.#stop = form.querySelector("[data-stop]");
    this.#draftKey = `draft ${form.dataset.draft}`;
    this.#text.value ||= sessionStorage.getItem(this.#draftKey) ?? "";
    this.#grow();
    // On a phone the keyboard would cover half of what there is to read.
    if (canHover()) this.#text.focus({ preventScroll: true });
    this.#text.addEventListener("input", () => this.#edited());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    form.addEventListener("submit", (event) => this.#submitted(event));
    stopForm.addEventListener("submit", (event) => this.#stopped(event));
  }

  /** Offer Stop instead of Send. */
  running(stopUrl) {
    this.#stopForm.action = stopUrl;
    this.#showStop("Stop", false);
    this.#offer(true);
  }

  /** The next question follows this answer. */
  goOnFrom(id) {
    this.#form.elements.parent.value = id;
  }

  /** Offer Send again. */
  ended() {
    this.#offer(false);
  }

  get #isRunning() {
    return !this.#stop.hidden;
  }

  #edited() {
    sessionStorage.setItem(this.#draftKey, this.#text.value);
    this.#grow();
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }

  #pressed(event) {
    // Safari ends a composition before it reports the Enter that ended it, but under this old code.
    const isComposing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || isComposing) return;
    // A phone's keyboard has no Shift+Enter, so there Enter breaks the line.
    if (!canHover()) return;
    event.preventDefault();
    this.#form.requestSubmit(this.#send);
  }

  async #submitted(event) {
    event.preventDefault();
    const text = this.#text.value;
    if (this.#send.disabled || !text.trim()) return;
    if (this.#isRunning) return this.#complain("The reply is still being written. Wait for its end, or stop it first.");
    this.#sending(true);
    try {
      const started = await submit(this.#form);
      this.#clear();
      this.#accepted(started, text);
    } catch (problem) {
      problem.show(this.#error);
      this.#text.setAttribute("aria-invalid", "true");
    } finally {
      this.#sending(false);
    }
  }

  #sending(isSending) {
    // A disabled field would lose the focus and, on a phone, the keyboard.
    this.#text.readOnly = isSending;
    this.#send.disabled = isSending;
    if (isSending) this.#complain("");
  }

  #clear() {
    this.#text.value = "";
    this.#edited();
  }

  #complain(sentence) {
    this.#error.textContent = sentence;
    this.#text.removeAttribute("aria-invalid");
  }

  async #stopped(event) {
    event.preventDefault();
    if (this.#stop.ariaDisabled === "true") return;
    this.#showStop("Stopping…", true);
    try {
      // The page shows the stop when it comes in the reply's stream.
      await submit(this.#stopForm);
    } catch (problem) {
      problem.show(this.#error);
      this.#showStop("Stop", false);
    }
  }

  #showStop(label, isDisabled) {
    this.#stop.querySelector("[data-stop-label]").textContent = label;
    // A disabled button would drop the focus.
    this.#stop.ariaDisabled = String(isDisabled);
  }

  #offer(isRunning) {
    const hadFocus = document.activeElement === this.#stop;
    this.#stop.hidden = !isRunning;
    this.#send.hidden = isRunning;
    if (hadFocus) this.#text.focus({ preventScroll: true });
    this.#complain("");
  }
}

/** Whether there is a mouse, and so most likely a real keyboard. */
function canHover() {
  return matchMedia("(hover: hover)").matches;
}
