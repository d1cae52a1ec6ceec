import { Conversation } from "./conversation.js";
import { copyOnClick } from "./copy.js";
import { find } from "./dom.js";
import { History } from "./history.js";
import { listenForKeys } from "./keys.js";
import { offerNotifications } from "./notifications.js";
import { hideOnClick } from "./sidebar.js";

copyOnClick();
hideOnClick(document);
listenForKeys(document);
offerNotifications(
  find(document, "[data-notifications]", HTMLElement),
  find(document, "[data-notify]", HTMLInputElement),
  find(document, "[data-notify-refused]", HTMLElement),
);
const history = new History(
  find(document, "[data-history]", HTMLElement),
  find(document, "[data-delete-dialog]", HTMLDialogElement),
);
new Conversation(document, () => history.renew());
