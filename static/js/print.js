import { markHits } from "./hits.js";
import { drawFormulas } from "./math.js";

drawFormulas();
markHits(document);
document.querySelector("[data-print]")?.addEventListener("click", () => print());
