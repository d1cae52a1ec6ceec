import { beginWithAnswers } from "./better.js";
import { copyOnClick } from "./copy.js";
import { downloadOnClick } from "./download.js";
import { markHits } from "./hits.js";
import { drawFormulas } from "./math.js";
import { followNotes } from "./notes.js";
import { listenForKeys } from "./review.js";
import { watch } from "./watch.js";

beginWithAnswers(document);
copyOnClick();
downloadOnClick();
drawFormulas();
followNotes();
markHits(document);
listenForKeys(document);
watch(document);
