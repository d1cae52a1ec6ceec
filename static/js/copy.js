const SHOWN_MS = 2000;

/** Let the buttons of code and of whole replies copy, those to come too. */
export function copyOnClick() {
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-copy], [data-copy-reply]");
    if (button) copy(button, textOf(button));
  });
}

function textOf(button) {
  if (button.hasAttribute("data-copy")) return button.closest(".code").querySelector("pre").textContent;
  return button.closest("[data-message]").querySelector("[data-source]").content.textContent;
}

async function copy(button, text) {
  const label = button.textContent;
  button.textContent = await write(text).then(
    () => "Copied",
    () => "Not copied",
  );
  button.disabled = true;
  setTimeout(() => {
    button.textContent = label;
    button.disabled = false;
  }, SHOWN_MS);
}

async function write(text) {
  // Over plain http there is no clipboard, except on localhost.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
