import { Conversation } from "./conversation.js";
import { copyOnClick } from "./copy.js";
import { find } from "./dom.js";
import { History } from "./history.js";

copyOnClick();
const history = new History(
  find(document, "[data-history]", HTMLElement),
  find(document, "[data-delete-dialog]", HTMLDialogElement),
);
new Conversation(document, () => history.renew());
