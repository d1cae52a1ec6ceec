// The page of a conversation.

import { Conversation } from "./conversation.js";
import { copyOnClick } from "./copy.js";
import { downloadOnClick } from "./download.js";
import { markHits } from "./hits.js";
import { drawFormulas } from "./math.js";
import { followNotes } from "./notes.js";
import { startPage } from "./page.js";

copyOnClick();
downloadOnClick();
drawFormulas();
followNotes();
markHits(document);
startPage((stream) => new Conversation(document, stream));
