import { Composer, sends } from "./composer.js";
import { find } from "./dom.js";
import { fragment } from "./requests.js";
import { isComposing } from "./typing.js";

/** @type {WeakMap<Element, Editor>} the ones that are open, by their message */
const editors = new WeakMap();

/**
 * Lets a person edit a question where it stands. The form is the one of the page for it. The tab keeps the draft, also
 * when it is reloaded, until it is sent or dropped.
 */
export class Editor {
  #message;
  #link;
  #form;
  #text;

  /**
   * Open the form in the question, unless it is open already.
   * @param {HTMLAnchorElement} link to the page with the form
   * @param {Composer} composer which has the model that is chosen
   * @returns {Promise<Editor>}
   * @throws {import("./requests.js").Problem}
   */
  static async open(link, composer) {
    const message = /** @type {HTMLElement} */ (link.closest("[data-message]"));
    const open = editors.get(message);
    if (open) return open;
    // What an earlier press has failed to do.
    find(message, "[data-error]", HTMLElement).replaceChildren();
    const form = find(await fragment(link.href), "[data-edit]", HTMLFormElement);
    const models = form.querySelector("select");
    if (models) models.value = composer.model;
    // Another click may have opened it meanwhile.
    return editors.get(message) ?? new Editor(message, link, form);
  }

  /**
   * @param {HTMLElement} message
   * @param {HTMLAnchorElement} link
   * @param {HTMLFormElement} form
   */
  constructor(message, link, form) {
    this.#message = message;
    this.#link = link;
    this.#form = form;
    this.#text = find(form, "textarea", HTMLTextAreaElement);
    this.#text.value = sessionStorage.getItem(this.#draftKey) ?? this.#text.value;
    this.#text.addEventListener("input", () => sessionStorage.setItem(this.#draftKey, this.#text.value));
    form.addEventListener("sent", () => sessionStorage.removeItem(this.#draftKey));
    form.addEventListener("keydown", (event) => this.#pressed(event));
    find(form, "[data-cancel]", HTMLElement).addEventListener("click", (event) => this.#cancel(event));
    find(message, ".message__body", HTMLElement).append(form);
    message.toggleAttribute("data-editing", true);
    editors.set(message, this);
  }

  focus() {
    this.#text.focus();
    this.#text.setSelectionRange(this.#text.value.length, this.#text.value.length);
  }

  get #draftKey() {
    return draftKey(this.#message.id);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key === "Escape" && !isComposing(event)) this.#close(event);
    if (event.target !== this.#text || !sends(event)) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  /** @param {Event} event */
  #cancel(event) {
    sessionStorage.removeItem(this.#draftKey);
    this.#close(event);
  }

  /**
   * The draft stays: whoever pressed Esc may have meant to stop a reply.
   * @param {Event} event
   */
  #close(event) {
    event.preventDefault();
    event.stopPropagation();
    this.#form.remove();
    this.#message.removeAttribute("data-editing");
    editors.delete(this.#message);
    this.#link.focus({ preventScroll: true });
  }
}

/** @param {HTMLElement} list of messages @returns {HTMLAnchorElement[]} what opens the editors of those that have drafts */
export function linksToDrafts(list) {
  /** @type {NodeListOf<HTMLAnchorElement>} */
  const links = list.querySelectorAll("[data-edit-link]");
  return [...links].filter(
    (link) => sessionStorage.getItem(draftKey(link.closest("[data-message]")?.id ?? "")) !== null,
  );
}

/**
 * What was written instead of a question whose editor is open; it is kept no longer.
 * @param {HTMLElement} message
 * @returns {string} nothing if it is still the question, or is being sent
 */
export function takeEdit(message) {
  const text = find(message, "[data-edit] textarea", HTMLTextAreaElement);
  forgetEdit(message.id);
  // It cannot be changed while it is being sent.
  return text.readOnly || text.value === text.defaultValue ? "" : text.value;
}

/**
 * Keep nothing of what was written instead of a question.
 * @param {string} message the id of its element
 */
export function forgetEdit(message) {
  sessionStorage.removeItem(draftKey(message));
}

/** @param {string} message */
function draftKey(message) {
  return `edit ${message}`;
}
