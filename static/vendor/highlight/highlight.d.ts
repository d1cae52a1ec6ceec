// The part of highlight.js that the page uses.

declare const highlighter: {
  getLanguage(name: string): object | undefined;
  highlight(code: string, options: { language: string }): { value: string };
};

export default highlighter;
