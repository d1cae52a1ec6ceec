// Colours for code in the page. The server uses Pygments; static/css/code.css makes both look the same.

import highlighter from "../vendor/highlight/highlight.js";

// Hostile code can keep the grammars of some languages busy for a time that grows with the square of its length. Longer
// code is coloured by the server, which stops in time.
const CODE_CHARS = 10_000;
const LINE_CHARS = 500;

/**
 * Colour the text of a `<code class="language-…">`, if its language is known.
 * @param {Element} code
 */
export function highlight(code) {
  const text = code.textContent;
  const language = code.className.replace("language-", "");
  if (!highlighter.getLanguage(language) || isLong(text)) return;
  const template = document.createElement("template");
  template.innerHTML = highlighter.highlight(text, { language }).value;
  // The code is not trusted: the result may contain its own text in colours, and nothing else.
  const isColouredText = !template.content.querySelector(":not(span)") && template.content.textContent === text;
  if (isColouredText) code.replaceChildren(template.content);
}

/** @param {string} text */
function isLong(text) {
  return text.length > CODE_CHARS || text.split("\n").some((line) => line.length > LINE_CHARS);
}
