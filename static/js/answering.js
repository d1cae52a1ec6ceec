import { together } from "./sentences.js";

/** @param {Document} page which names the models that answer, if it is that of a new conversation */
export function nameModels(page) {
  const names = page.querySelector("[data-answering]");
  if (!names) return;
  /** @type {NodeListOf<HTMLSelectElement>} */
  const choices = page.querySelectorAll("select[name=model], select[name=also]");
  const show = () => {
    const chosen = new Set([...choices].map(({ value }) => value).filter(Boolean));
    names.textContent = together([...chosen]);
  };
  page.addEventListener("change", show);
  // A browser may have restored what was chosen.
  addEventListener("pageshow", show);
}
