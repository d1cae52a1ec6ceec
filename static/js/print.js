import { drawFormulas } from "./math.js";

drawFormulas();
document.querySelector("[data-print]")?.addEventListener("click", () => print());
