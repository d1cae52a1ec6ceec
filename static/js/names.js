// Offers names of people while a reviewer types one of them. Without this, the name has to be written in full.

// Milliseconds after a key within which the next one is still expected.
const PAUSE_MS = 150;

for (const input of document.querySelectorAll("input[data-names-url]"))
  offerNames(/** @type {HTMLInputElement} */ (input));

/** @param {HTMLInputElement} input */
function offerNames(input) {
  let timer = 0;
  let asked = new AbortController();
  input.addEventListener("input", () => {
    clearTimeout(timer);
    asked.abort();
    asked = new AbortController();
    const { signal } = asked;
    timer = setTimeout(() => offer(signal), PAUSE_MS);
  });

  /** @param {AbortSignal} signal */
  async function offer(signal) {
    const term = input.value.trim();
    try {
      const response = await fetch(`${input.dataset.namesUrl}?${new URLSearchParams({ term })}`, { signal });
      if (!response.ok) return;
      const { names } = await response.json();
      input.list?.replaceChildren(...names.map((/** @type {string} */ name) => new Option(name, name)));
    } catch {
      // The next key asks again.
    }
  }
}
