// The part of KaTeX that the page uses. The script defines a global.

declare global {
  var katex: { render(tex: string, element: HTMLElement, options: object): void };
}

export {};
