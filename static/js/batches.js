/**
 * Parts of a long list of messages, which browsers skip while they are out of sight. Each keeps the height that it had
 * when it was last laid out: with a guess, what one reads would jump.
 */
export class Batches {
  #list;
  #width;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
    this.#width = list.clientWidth;
    new ResizeObserver(() => this.#resized()).observe(list);
  }

  /** A new part, which nobody skips yet. */
  begin() {
    const batch = document.createElement("div");
    batch.className = "batch";
    return batch;
  }

  /**
   * Everything is in the part and has been laid out.
   * @param {HTMLElement} batch
   */
  end(batch) {
    batch.style.containIntrinsicHeight = `auto ${batch.offsetHeight}px`;
    batch.toggleAttribute("data-laid-out", true);
  }

  /**
   * Put a message into the list itself, with the others of its part, because it is about to go. The last messages belong
   * there: they may be running, or answers to choose from, side by side.
   * @param {HTMLElement} message
   */
  leave({ parentElement: batch }) {
    if (!batch || !isBatch(batch)) return;
    const focused = document.activeElement;
    batch.replaceWith(...batch.children);
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  }

  #resized() {
    if (this.#list.clientWidth === this.#width) return;
    this.#width = this.#list.clientWidth;
    const batches = /** @type {HTMLElement[]} */ ([...this.#list.children].filter(isBatch));
    for (const batch of batches) batch.toggleAttribute("data-laid-out", false);
    requestAnimationFrame(() => {
      for (const batch of batches) this.end(batch);
    });
  }
}

/** @param {Element} list @returns {HTMLElement[]} its messages, whether or not they are in parts */
export function messagesIn(list) {
  const children = /** @type {HTMLElement[]} */ ([...list.children]);
  return children.flatMap((child) => (isBatch(child) ? messagesIn(child) : child));
}

/**
 * Looks only into the part that is on screen, because to measure what browsers skip costs its layout.
 * @param {Element} list
 * @returns {HTMLElement | undefined} its first message in the window
 */
export function firstInWindow(list) {
  const children = /** @type {HTMLElement[]} */ ([...list.children]);
  const first = children.find((child) => child.getBoundingClientRect().bottom > 0);
  return first && isBatch(first) ? firstInWindow(first) : first;
}

/** @param {Element} element */
function isBatch(element) {
  return element.className === "batch";
}
