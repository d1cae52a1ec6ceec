// What is on the page becomes what is wanted, and changes only where it differs.

/**
 * Make the children of `parent` from `old` on equal to those of `wanted`, and return the first that is left over. Equal
 * nodes stay as they are, so the browser has less to lay out and a selection in the text survives.
 *
 * @param {Node} parent
 * @param {ChildNode | null} old
 * @param {Node} wanted
 */
export function patch(parent, old, wanted) {
  for (const node of [...wanted.childNodes]) {
    const next = old?.nextSibling ?? null;
    if (!old) parent.appendChild(node);
    else if (!old.isEqualNode(node) && !isDrawn(old, node)) patchNode(old, node);
    old = next;
  }
  return old;
}

/**
 * Whether `old` is the formula `wanted`, which math.js has drawn.
 * @param {ChildNode} old
 * @param {ChildNode} wanted
 */
function isDrawn(old, wanted) {
  return old instanceof HTMLElement && old.dataset.tex !== undefined && old.dataset.tex === wanted.textContent;
}

/**
 * @param {ChildNode} old
 * @param {ChildNode} wanted
 */
function patchNode(old, wanted) {
  if (old instanceof Text && wanted instanceof Text) {
    // Browsers lay out only what is added to a long text, but all of a text that is set.
    if (wanted.data.startsWith(old.data)) old.appendData(wanted.data.slice(old.length));
    else old.data = wanted.data;
  } else if (old.cloneNode(false).isEqualNode(wanted.cloneNode(false))) {
    removeFrom(patch(old, old.firstChild, wanted));
  } else {
    old.replaceWith(wanted);
  }
}

/**
 * Remove a node and all that follow it in its parent.
 * @param {ChildNode | null} node
 */
export function removeFrom(node) {
  while (node) {
    const next = node.nextSibling;
    node.remove();
    node = next;
  }
}
