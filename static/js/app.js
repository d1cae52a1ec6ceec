import { Conversation } from "./conversation.js";
import { copyOnClick } from "./copy.js";
import { History } from "./history.js";

copyOnClick();
const history = new History(document.querySelector("[data-history]"), document.querySelector("[data-delete-dialog]"));
new Conversation(document, () => history.renew());
