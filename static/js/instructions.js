import { find } from "./dom.js";
import { fragment, Problem, submit } from "./requests.js";

/**
 * Let a person set what goes to the model without leaving the conversation. The form is that of the page for it.
 * @param {Document} page
 */
export function setInstructionsHere(page) {
  const dialog = find(page, "[data-instructions-dialog]", HTMLDialogElement);

  /** @param {HTMLAnchorElement} link */
  async function open(link) {
    try {
      const form = find(await fragment(link.href), "[data-instructions]", HTMLElement);
      dialog.replaceChildren(form);
    } catch {
      // The page says why it can't be shown.
      return location.assign(link.href);
    }
    if (!dialog.open) dialog.showModal();
    find(dialog, "textarea", HTMLTextAreaElement).focus();
  }

  find(page, "[data-applied]", HTMLElement).addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest("[data-in-place]");
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    void open(link);
  });
  dialog.addEventListener("click", (event) => {
    if (!(event.target instanceof Element && event.target.closest("[data-cancel]"))) return;
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    try {
      await submit(form);
      dialog.close();
    } catch (error) {
      complain(form, Problem.from(error));
    }
  });
}

/** @param {HTMLFormElement} form @param {Problem} problem */
function complain(form, problem) {
  const fields = [...form.querySelectorAll("input:not([type=hidden]), textarea")];
  for (const field of fields) complainOf(field, problem.fields[field.getAttribute("name") ?? ""]);
  const wrong = fields.find(({ ariaInvalid }) => ariaInvalid === "true");
  const general = find(form, "[data-error]", HTMLElement);
  general.replaceChildren();
  if (wrong instanceof HTMLElement) wrong.focus();
  else problem.show(general);
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
