// A classic script that blocks the first paint, so that no page flashes in the wrong theme or with a hidden sidebar.
// `data-scripted` tells the style sheets that there is JavaScript.
{
  const KEY = "theme";
  const root = document.documentElement;

  // Signing out empties the storage, but leaves cookies.
  const COOKIE = /(?:^|; )theme=(\w+)/;
  const YEAR_SECONDS = 365 * 24 * 60 * 60;

  /** @param {string} theme */
  function keep(theme) {
    localStorage.setItem(KEY, theme);
    // biome-ignore lint/suspicious/noDocumentCookie: not every browser has the Cookie Store API.
    document.cookie = `${KEY}=${theme}; path=/; max-age=${YEAR_SECONDS}; samesite=lax`;
  }

  function show() {
    const theme = localStorage.getItem(KEY) ?? COOKIE.exec(document.cookie)?.[1] ?? "auto";
    root.dataset.theme = theme;
    for (const colour of document.getElementsByName("theme-color")) {
      const { scheme } = colour.dataset;
      const chosen = theme === scheme ? "all" : "not all";
      colour.setAttribute("media", theme === "auto" ? `(prefers-color-scheme: ${scheme})` : chosen);
    }
    for (const choice of document.getElementsByName("theme")) {
      if (choice instanceof HTMLInputElement) choice.checked = choice.value === theme;
    }
  }

  /**
   * Let all devices of the person have it, if the page is a person's.
   * @param {HTMLInputElement} choice
   */
  function store(choice) {
    const url = choice.closest("fieldset")?.dataset.themeUrl;
    const token = document.querySelector("[name=csrfmiddlewaretoken]");
    if (!url || !(token instanceof HTMLInputElement)) return;
    const headers = { Accept: "application/json", "X-CSRFToken": token.value };
    const body = new URLSearchParams({ theme: choice.value });
    // Until it gets through, this browser has it.
    fetch(url, { method: "POST", headers, body, keepalive: true }).catch(() => {});
  }

  // What the server knows holds on all devices, and for pages that know nobody.
  if (root.dataset.theme) keep(root.dataset.theme);
  show();
  root.dataset.scripted = "";
  root.dataset.sidebar = localStorage.getItem("sidebar") ?? "shown";
  document.addEventListener("DOMContentLoaded", show);
  // Another tab has chosen.
  addEventListener("storage", show);
  document.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || target.name !== "theme") return;
    keep(target.value);
    show();
    store(target);
  });
}
