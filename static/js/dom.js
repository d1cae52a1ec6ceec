/**
 * Find an element that the templates promise.
 * @template {Element} T
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new () => T} kind the element's class
 * @returns {T} the first match
 * @throws {TypeError} if there is none of that kind
 */
export function find(parent, selector, kind) {
  const element = parent.querySelector(selector);
  if (!(element instanceof kind)) throw new TypeError(`The page has no ${kind.name} that matches ${selector}`);
  return element;
}
