export class LiveMarkdown {
  constructor(element: Element);
  append(text: string): void;
  replace(text: string): void;
  flush(): void;
}
