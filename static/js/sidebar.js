import { find } from "./dom.js";

// In a narrow window the sidebar is a drawer.
const WIDE = matchMedia("(min-width: 56rem)");

/**
 * Let a person hide the sidebar of a wide window, for all pages of this browser. The menu button brings it back.
 * @param {Document} page
 */
export function hideOnClick(page) {
  const hide = find(page, "[data-sidebar-hide]", HTMLButtonElement);
  const menu = find(page, "[data-menu]", HTMLButtonElement);
  hide.addEventListener("click", () => {
    set("hidden");
    menu.focus();
  });
  menu.addEventListener("click", (event) => {
    if (!WIDE.matches) return;
    // It would open the drawer.
    event.preventDefault();
    set("shown");
    hide.focus();
  });
}

/** @param {"shown" | "hidden"} state */
function set(state) {
  localStorage.setItem("sidebar", state);
  document.documentElement.dataset.sidebar = state;
}
