import { find } from "./dom.js";

/**
 * @typedef {object} Undo what a line's button sends, and where
 * @property {string} url
 * @property {string} name
 * @property {string} value
 */

/** The lines of the history that stand where entries were. Each can undo what took its entry away, while the page is open. */
export class UndoLines {
  #list;
  #template;

  /** @param {HTMLElement} list @param {HTMLTemplateElement} template of a line */
  constructor(list, template) {
    this.#list = list;
    this.#template = template;
  }

  /**
   * Note the place of an entry that is about to leave the list.
   * @param {HTMLElement} entry
   * @returns {(what: string, undo: Undo) => void} puts a line there, which says what has happened and can undo it
   */
  begin(entry) {
    const copy = /** @type {DocumentFragment} */ (document.importNode(this.#template.content, true));
    const line = find(copy, "li", HTMLElement);
    const undo = find(line, "[data-undo]", HTMLButtonElement);
    line.dataset.left = hrefOf(entry);
    line.dataset.place = entry.dataset.place ?? "";
    line.dataset.group = groupOf(entry);
    return (what, { url, name, value }) => {
      find(line, "[data-what]", HTMLElement).textContent = what;
      undo.setAttribute("formaction", url);
      Object.assign(undo, { name, value });
      // The list may have been renewed meanwhile.
      const still = this.#entry(line);
      if (still) still.replaceWith(line);
      else this.#put(line);
      undo.focus({ preventScroll: true });
    };
  }

  /**
   * Note which lines there are.
   * @returns {() => void} puts them where they belong, in a list that has been renewed
   */
  keep() {
    const lines = /** @type {NodeListOf<HTMLElement>} */ (this.#list.querySelectorAll("[data-left]"));
    const kept = [...lines].map((line) => ({ line, section: sectionOf(line) }));
    return () => {
      // Where the entry is back, that has been undone elsewhere.
      for (const { line, section } of kept) if (!this.#entry(line)) this.#put(line, section);
    };
  }

  /** @param {HTMLElement} line @param {Element | null} [section] in which it has been so far */
  #put(line, section = null) {
    const items = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll("[data-place]")]);
    const above = items.findLast((item) => placeOf(item) > placeOf(line));
    const below = items.find((item) => placeOf(item) < placeOf(line));
    const [isAbove, isBelow] = [above, below].map((item) => item && groupOf(item) === line.dataset.group);
    if (section && !isAbove && !isBelow) {
      // All of its group have left. Without the heading, what follows would jump up.
      find(section, "ul", HTMLElement).replaceChildren(line);
      if (above) (sectionOf(above) ?? above.parentElement)?.after(section);
      else this.#list.prepend(section);
    } else if (below && (isBelow || !above)) below.before(line);
    else if (above) above.after(line);
    else this.#list.appendChild(document.createElement("ul")).append(line);
  }

  /** @param {HTMLElement} line */
  #entry(line) {
    return [...this.#list.querySelectorAll("[data-entry]")].find((entry) => hrefOf(entry) === line.dataset.left);
  }
}

/** @param {HTMLElement} item */
function placeOf(item) {
  return item.dataset.place ?? "";
}

/** @param {HTMLElement} item */
function groupOf(item) {
  const group = /** @type {HTMLElement | null} */ (item.closest("[data-group]"));
  return group?.dataset.group ?? "";
}

/** @param {HTMLElement} item @returns {Element | null} the section of its group, whose name a line has too */
function sectionOf(item) {
  return item.parentElement?.closest("[data-group]") ?? null;
}

/** @param {Element} entry */
function hrefOf(entry) {
  return entry.querySelector("[data-title]")?.getAttribute("href") ?? "";
}
