// Colours for code in the page. The server's are Pygments'; static/css/code.css gives both the same.

import highlighter from "../vendor/highlight/highlight.js";

const LINE_CHARS = 2_000;

/** Colour the text of a `<code class="language-…">`, if its language is known. */
export function highlight(code) {
  const language = code.className.replace("language-", "");
  if (!highlighter.getLanguage(language) || code.textContent.split("\n").some((line) => line.length > LINE_CHARS)) return;
  const template = document.createElement("template");
  template.innerHTML = highlighter.highlight(code.textContent, { language }).value;
  // The code is a stranger's: nothing but coloured text may come of it.
  const isColouredText = !template.content.querySelector(":not(span)") && template.content.textContent === code.textContent;
  if (isColouredText) code.replaceChildren(template.content);
}
