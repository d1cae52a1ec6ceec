/**
 * Note what is selected in an element that is about to be replaced.
 * @param {Element | null} old
 * @returns {(next: Element | null) => void} selects it again in an element with the same text
 */
export function selectionIn(old) {
  const selection = getSelection();
  const { anchorNode, anchorOffset, focusNode, focusOffset } = selection ?? {};
  if (!old || !anchorNode || !focusNode || !(old.contains(anchorNode) || old.contains(focusNode))) return () => {};
  const text = old.textContent;
  const anchor = boundary(old, anchorNode, anchorOffset ?? 0);
  const focus = boundary(old, focusNode, focusOffset ?? 0);
  return (next) => {
    if (next?.textContent === text) selection?.setBaseAndExtent(...anchor(next), ...focus(next));
  };
}

/**
 * How to find a boundary of the selection again.
 * @param {Element} old
 * @param {Node} node
 * @param {number} offset
 * @returns {(next: Element) => [Node, number]}
 */
function boundary(old, node, offset) {
  if (!old.contains(node)) return () => [node, offset];
  const before = document.createRange();
  before.setStart(old, 0);
  before.setEnd(node, offset);
  let chars = before.toString().length;
  return (next) => {
    const texts = document.createTreeWalker(next, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text instanceof Text; text = texts.nextNode()) {
      if (chars <= text.length) return [text, chars];
      chars -= text.length;
    }
    return [next, next.childNodes.length];
  };
}
