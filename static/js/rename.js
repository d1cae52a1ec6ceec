import { find } from "./dom.js";
import { Problem, submit } from "./requests.js";
import { isComposing } from "./typing.js";

/**
 * Let a person write another title where an entry has its title. Enter saves it, Esc leaves the title as it was.
 * @param {HTMLElement} entry
 * @param {HTMLTemplateElement} template of the form
 * @param {(title: string) => void} renamed
 */
export function rename(entry, template, renamed) {
  const title = find(entry, "[data-title]", HTMLAnchorElement);
  const error = find(entry, "[data-error]", HTMLElement);
  const copy = /** @type {DocumentFragment} */ (document.importNode(template.content, true));
  const form = find(copy, "form", HTMLFormElement);
  const field = find(form, "[name=title]", HTMLInputElement);

  function close() {
    form.remove();
    error.replaceChildren();
    title.hidden = false;
    title.focus({ preventScroll: true });
  }

  form.action = `${title.pathname}options/`;
  field.value = title.textContent;
  field.addEventListener("input", () => {
    // What was refused is no longer what stands there.
    error.replaceChildren();
    field.ariaInvalid = null;
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || isComposing(event)) return;
    event.preventDefault();
    close();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (field.readOnly) return;
    field.readOnly = true;
    try {
      const answer = await submit(form);
      title.textContent = answer.title;
      close();
      renamed(answer.title);
    } catch (problem) {
      Problem.from(problem).show(error);
      field.ariaInvalid = "true";
    } finally {
      field.readOnly = false;
    }
  });
  title.hidden = true;
  title.after(form);
  field.select();
}
