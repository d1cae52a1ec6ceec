import { find } from "./dom.js";
import { fragment, Problem, submit } from "./requests.js";

const FIELDS = "input:not([type=hidden]), select, textarea";

/** A form of another page, in a dialog of this one. */
export class Sheet {
  #dialog;

  /** @param {HTMLDialogElement} dialog @param {() => void | Promise<void>} [saved] is called when the form has been saved */
  constructor(dialog, saved = () => {}) {
    this.#dialog = dialog;
    dialog.addEventListener("click", (event) => {
      if (!(event.target instanceof Element && event.target.closest("[data-cancel]"))) return;
      event.preventDefault();
      dialog.close();
    });
    dialog.addEventListener("submit", async (event) => {
      event.preventDefault();
      const form = /** @type {HTMLFormElement} */ (event.target);
      try {
        await submit(form, event.submitter);
        dialog.close();
        await saved();
      } catch (error) {
        complain(form, Problem.from(error));
      }
    });
  }

  /** @param {string} url of the page that has the form */
  async open(url) {
    try {
      this.#dialog.replaceChildren(find(await fragment(url), "[data-sheet]", HTMLElement));
    } catch {
      // The page says why it can't be shown.
      return location.assign(url);
    }
    if (!this.#dialog.open) this.#dialog.showModal();
    find(this.#dialog, FIELDS, HTMLElement).focus();
  }
}

/** @param {HTMLFormElement} form @param {Problem} problem */
function complain(form, problem) {
  const general = find(form, "[data-error]", HTMLElement);
  general.replaceChildren();
  if (!complainOfFields(form, problem)) problem.show(general);
}

/**
 * Say beside each field what is wrong with it, and go to the first of those.
 * @param {HTMLElement} part of the page with the fields
 * @param {Problem} problem
 * @returns {boolean} whether one of them is wrong
 */
export function complainOfFields(part, problem) {
  const fields = [...part.querySelectorAll(FIELDS)];
  for (const field of fields) complainOf(field, problem.fields[field.getAttribute("name") ?? ""]);
  const wrong = fields.find(({ ariaInvalid }) => ariaInvalid === "true");
  if (wrong instanceof HTMLElement) wrong.focus();
  return Boolean(wrong);
}

/** @param {Element} field @param {string | undefined} sentence about it, as in the page's own form */
function complainOf(field, sentence) {
  const id = `${field.id}_error`;
  document.getElementById(id)?.remove();
  field.ariaInvalid = sentence ? "true" : null;
  if (!sentence) return;
  const complaint = document.createElement("p");
  complaint.className = "form-error";
  complaint.id = id;
  complaint.textContent = sentence;
  field.after(complaint);
  field.setAttribute("aria-describedby", `${id} ${field.id}_helptext`);
}
