import { find } from "./dom.js";
import { COPIED, NOT_COPIED } from "./sentences.js";

const SHOWN_MS = 2000;

/** Make the Copy buttons of code and replies work, including those that are added later. */
export function copyOnClick() {
  document.addEventListener("click", ({ target }) => {
    const button = target instanceof Element && target.closest("[data-copy], [data-copy-reply]");
    if (button instanceof HTMLButtonElement) copy(button, textOf(button));
  });
}

/** @param {Element} button */
function textOf(button) {
  if (button.hasAttribute("data-copy")) return button.closest(".code")?.querySelector("pre")?.textContent ?? "";
  const message = button.closest("[data-message]") ?? document;
  return find(message, "[data-source]", HTMLTemplateElement).content.textContent;
}

/** @param {HTMLButtonElement} button @param {string} text */
async function copy(button, text) {
  const label = button.textContent;
  button.textContent = await write(text).then(
    () => COPIED,
    () => NOT_COPIED,
  );
  button.disabled = true;
  setTimeout(() => {
    button.textContent = label;
    button.disabled = false;
  }, SHOWN_MS);
}

/** @param {string} text */
async function write(text) {
  // Over plain HTTP browsers offer no clipboard, except on localhost.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
