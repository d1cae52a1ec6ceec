import { find } from "./dom.js";
import { History } from "./history.js";
import { listenForKeys } from "./keys.js";
import { offerNotifications } from "./notifications.js";
import { hideOnClick } from "./sidebar.js";

/**
 * Start what is around each page of the chat: the sidebar, the palette and the keys.
 * @returns {History} the list of conversations
 */
export function startFrame() {
  hideOnClick(document);
  listenForKeys(document);
  offerNotifications(
    find(document, "[data-notifications]", HTMLElement),
    find(document, "[data-notify]", HTMLInputElement),
    find(document, "[data-notify-refused]", HTMLElement),
  );
  return new History(document);
}
