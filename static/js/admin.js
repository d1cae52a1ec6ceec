import { copyOnClick } from "./copy.js";
import { downloadOnClick } from "./download.js";
import { drawFormulas } from "./math.js";
import { followNotes } from "./notes.js";

copyOnClick();
downloadOnClick();
drawFormulas();
followNotes();
