const EXTENSIONS = new Map(
  Object.entries({
    "c#": "cs",
    "c++": "cpp",
    csharp: "cs",
    docker: "dockerfile",
    golang: "go",
    javascript: "js",
    kotlin: "kt",
    make: "mk",
    makefile: "mk",
    markdown: "md",
    objectivec: "m",
    "objective-c": "m",
    perl: "pl",
    powershell: "ps1",
    python: "py",
    ruby: "rb",
    rust: "rs",
    bash: "sh",
    shell: "sh",
    text: "txt",
    typescript: "ts",
    yml: "yaml",
    zsh: "sh",
  }),
);
// Other languages are called like the extension of their files.
const LOOKS_LIKE_ONE = /^[a-z0-9]{1,10}$/;

/** Make the Download buttons of code work, including those that are added later. */
export function downloadOnClick() {
  document.addEventListener("click", ({ target }) => {
    const code = target instanceof Element && target.closest("[data-download]")?.closest(".code");
    if (code) save(code.querySelector("pre")?.textContent ?? "", code.querySelector("code")?.className ?? "");
  });
}

/**
 * @param {string} text
 * @param {string} className of the code, `language-…` or nothing
 */
function save(text, className) {
  const language = className.replace("language-", "") || "text";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = `code.${EXTENSIONS.get(language) ?? (LOOKS_LIKE_ONE.test(language) ? language : "txt")}`;
  link.click();
  // The browser has taken it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
