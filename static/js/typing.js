// What keys mean to the element that has the focus.

/**
 * Whether a key belongs to the composition of a character and means nothing else.
 * @param {KeyboardEvent} event
 */
export function isComposing(event) {
  // Safari reports the key that ends a composition only after the composition, but with this old key code.
  return event.isComposing || event.keyCode === 229;
}

/**
 * Whether a key writes in this element, or chooses from it.
 * @param {EventTarget | null} target
 * @returns {target is HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement}
 */
export function isField(target) {
  return target instanceof Element && target.matches("input:not([type=checkbox], [type=radio]), textarea, select");
}

/**
 * Whether arrows, Home and End have a meaning there: they move the caret in a text, or open a list.
 * @param {EventTarget | null} target
 */
export function usesArrows(target) {
  return isField(target) && (target instanceof HTMLSelectElement || target.value !== "");
}
