import { find } from "./dom.js";
import { drawFormulas } from "./math.js";

drawFormulas();
find(document, "[data-print]", HTMLButtonElement).addEventListener("click", () => print());
