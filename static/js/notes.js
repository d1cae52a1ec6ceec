/** Make footnotes work, which chat/markdown.py and markup.js make: from the text to the note, and back. */
export function followNotes() {
  document.addEventListener("click", ({ target }) => {
    const button = target instanceof Element && target.closest("[data-note], [data-note-end]");
    if (!(button instanceof HTMLElement)) return;
    const { note, noteEnd } = button.dataset;
    const goal = note === undefined ? `[data-note="${noteEnd}"]` : `[data-footnote="${note}"]`;
    const element = button.closest(".prose")?.querySelector(goal);
    if (!(element instanceof HTMLElement)) return;
    element.scrollIntoView({ block: "nearest" });
    element.focus({ preventScroll: true });
  });
}
