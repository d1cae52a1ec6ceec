import { find } from "./dom.js";
import { COPIED, NOT_COPIED } from "./sentences.js";

const SHOWN_MS = 2000;

/** Make the Copy buttons of code, replies and conversations work, including those that are added later. */
export function copyOnClick() {
  document.addEventListener("click", ({ target }) => {
    const button = target instanceof Element && target.closest("[data-copy], [data-copy-reply], [data-copy-from]");
    if (button instanceof HTMLButtonElement) copy(button, textOf(button));
  });
}

/** @param {HTMLElement} button @returns {string | Promise<string>} */
function textOf(button) {
  if (button.dataset.copyFrom) return documentAt(button.dataset.copyFrom);
  if (button.hasAttribute("data-copy")) return button.closest(".code")?.querySelector("pre")?.textContent ?? "";
  const message = button.closest("[data-message]") ?? document;
  return find(message, "[data-source]", HTMLTemplateElement).content.textContent;
}

/** @param {string} url */
async function documentAt(url) {
  const response = await fetch(url);
  if (!response.ok || response.redirected) throw new Error(`${response.status}`);
  return response.text();
}

/** @param {HTMLButtonElement} button @param {string | Promise<string>} text */
async function copy(button, text) {
  const label = button.textContent;
  button.textContent = await write(text).then(
    () => COPIED,
    () => NOT_COPIED,
  );
  // A key or the palette may have pressed it out of sight.
  document.querySelector("[data-announcer]")?.replaceChildren(button.textContent);
  button.disabled = true;
  setTimeout(() => {
    button.textContent = label;
    button.disabled = false;
  }, SHOWN_MS);
}

/** @param {string | Promise<string>} text */
async function write(text) {
  // Over plain HTTP browsers offer no clipboard, except on localhost.
  // Some take a text that is still to come only in this form.
  if (navigator.clipboard) return navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
  const area = document.createElement("textarea");
  area.value = await text;
  const focused = document.activeElement;
  // Nothing outside of an open dialog can be selected.
  (document.querySelector("dialog:modal") ?? document.body).append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  if (!isCopied) throw new Error("The browser did not copy");
}
