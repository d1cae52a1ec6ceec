import { copyOnClick } from "./copy.js";
import { drawFormulas } from "./math.js";

copyOnClick();
drawFormulas();
