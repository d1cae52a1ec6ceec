import { find } from "./dom.js";
import { Sheet } from "./sheet.js";

/**
 * Let a person set what goes to the model without leaving the conversation.
 * @param {Document} page
 */
export function setInstructionsHere(page) {
  const sheet = new Sheet(find(page, "[data-instructions-dialog]", HTMLDialogElement));
  find(page, "[data-applied]", HTMLElement).addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest("[data-in-place]");
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    void sheet.open(link.href);
  });
}
