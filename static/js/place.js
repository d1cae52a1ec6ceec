const KEY = "history place";

/**
 * @typedef {object} Place how far a person has come in the list
 * @property {string} query that of the filter
 * @property {number} count how many conversations stand above the end of the window
 * @property {number} top how far the list is scrolled
 */

/**
 * Keep the place for the next page in this tab.
 * @param {HTMLElement} list
 * @param {() => Place} place
 */
export function keepPlace(list, place) {
  addEventListener("pagehide", () => {
    // A closed drawer has none; that of the page before still holds.
    if (!list.clientHeight) return;
    if (list.scrollTop) sessionStorage.setItem(KEY, JSON.stringify(place()));
    else sessionStorage.removeItem(KEY);
  });
}

/** @returns {Partial<Place>} that of the page before, if there was one */
export function placeBefore() {
  return JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
}

/**
 * Do something as soon as an element can be scrolled: at once, or when its drawer opens.
 * @param {HTMLElement} element
 * @param {() => void} work
 */
export function whenShown(element, work) {
  new ResizeObserver((_, observer) => {
    if (!element.clientHeight) return;
    observer.disconnect();
    work();
  }).observe(element);
}
