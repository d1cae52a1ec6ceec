// A classic script that blocks the first paint, so that no page flashes in the wrong theme or with a hidden sidebar.
// `data-theme` also tells the style sheets that there is JavaScript.
{
  const KEY = "theme";
  const root = document.documentElement;

  // Signing out empties the storage, but leaves cookies.
  const COOKIE = /(?:^|; )theme=(\w+)/;
  const YEAR_SECONDS = 365 * 24 * 60 * 60;

  function show() {
    root.dataset.theme = localStorage.getItem(KEY) ?? COOKIE.exec(document.cookie)?.[1] ?? "auto";
    for (const choice of document.getElementsByName("theme")) {
      if (choice instanceof HTMLInputElement) choice.checked = choice.value === root.dataset.theme;
    }
  }

  show();
  root.dataset.sidebar = localStorage.getItem("sidebar") ?? "shown";
  document.addEventListener("DOMContentLoaded", show);
  // Another tab has chosen.
  addEventListener("storage", show);
  document.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || target.name !== "theme") return;
    localStorage.setItem(KEY, target.value);
    // biome-ignore lint/suspicious/noDocumentCookie: not every browser has the Cookie Store API.
    document.cookie = `${KEY}=${target.value}; path=/; max-age=${YEAR_SECONDS}; samesite=lax`;
    show();
  });
}
