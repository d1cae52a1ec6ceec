import { find } from "./dom.js";

// In a narrow window the sidebar is a drawer.
const WIDE = matchMedia("(min-width: 56rem)");
const { dataset } = document.documentElement;

/**
 * Let a person hide the sidebar of a wide window, for all pages of this browser. The menu button brings it back.
 * @param {Document} page
 */
export function hideOnClick(page) {
  const hide = find(page, "[data-sidebar-hide]", HTMLButtonElement);
  const menu = find(page, "[data-menu]", HTMLButtonElement);

  function toggle() {
    dataset.sidebar = dataset.sidebar === "hidden" ? "shown" : "hidden";
    localStorage.setItem("sidebar", dataset.sidebar);
    (dataset.sidebar === "hidden" ? menu : hide).focus();
  }

  hide.addEventListener("click", toggle);
  menu.addEventListener("click", (event) => {
    if (!WIDE.matches) return;
    // It would open the drawer.
    event.preventDefault();
    toggle();
  });
}
