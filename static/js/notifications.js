// Notifications about replies that end while nobody looks at their page. A person switches them on, per browser.

import { NOTICES, NOTICES_BLOCKED } from "./sentences.js";

const KEY = "notifications";

/**
 * Let a person switch notifications on and off, where the browser can show them.
 * @param {HTMLElement} offer hidden until then
 * @param {HTMLInputElement} choice
 * @param {HTMLElement} refusal says why they cannot be switched on
 */
export function offerNotifications(offer, choice, refusal) {
  // Browsers of phones have the interface, but refuse to use it without a service worker.
  offer.hidden = !("Notification" in window) || !matchMedia("(hover: hover)").matches;
  if (offer.hidden) return;
  choice.checked = isOn();
  choice.addEventListener("change", async () => {
    const isAllowed = !choice.checked || (await Notification.requestPermission()) === "granted";
    refusal.textContent = isAllowed ? "" : NOTICES_BLOCKED;
    choice.checked &&= isAllowed;
    localStorage.setItem(KEY, choice.checked ? "on" : "off");
  });
}

/**
 * @param {keyof typeof import("./sentences.js").ENDINGS} status how the reply ended
 * @param {string} conversation its title
 */
export function notify(status, conversation) {
  const title = NOTICES[status];
  if (!title || !isOn()) return;
  // Of all tabs with one conversation, one notification shows.
  const notice = new Notification(title, { body: conversation, tag: location.pathname });
  notice.addEventListener("click", () => {
    window.focus();
    notice.close();
  });
}

function isOn() {
  return localStorage.getItem(KEY) === "on" && Notification.permission === "granted";
}
