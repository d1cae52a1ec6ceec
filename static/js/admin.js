import { copyOnClick } from "./copy.js";
import { drawFormulas } from "./math.js";
import { followNotes } from "./notes.js";

copyOnClick();
drawFormulas();
followNotes();
