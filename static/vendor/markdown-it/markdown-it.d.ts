// The part of markdown-it that the page uses.

export interface Token {
  type: string;
  tag: string;
  attrs: [string, string][] | null;
  map: [number, number] | null;
  nesting: -1 | 0 | 1;
  level: number;
  children: Token[] | null;
  content: string;
  info: string;
  hidden: boolean;
  attrGet(name: string): string | null;
  attrSet(name: string, value: string): void;
}

export type TokenClass = new (type: string, tag: string, nesting: -1 | 0 | 1) => Token;

export interface BlockState<Env> {
  src: string;
  env: Env;
  level: number;
  line: number;
  blkIndent: number;
  bMarks: number[];
  eMarks: number[];
  tShift: number[];
  sCount: number[];
  parentType: string;
  md: MarkdownIt<any>;
  push(type: string, tag: string, nesting: -1 | 0 | 1): Token;
  isEmpty(line: number): boolean;
  getLines(start: number, end: number, indent: number, keepLastLineEnd: boolean): string;
}

export interface CoreState {
  tokens: Token[];
  Token: TokenClass;
}

export type BlockRule<Env> = (state: BlockState<Env>, start: number, end: number, silent: boolean) => boolean;
export interface InlineState<Env> {
  src: string;
  env: Env;
  pos: number;
  posMax: number;
  pending: string;
  linkLevel: number;
  md: MarkdownIt<any>;
  push(type: string, tag: string, nesting: -1 | 0 | 1): Token;
}

export type InlineRule<Env> = (state: InlineState<Env>, silent: boolean) => boolean;
export type CoreRule = (state: CoreState) => void;
export type RendererRule<Env> = (tokens: Token[], index: number, options: object, env: Env) => string;

interface Ruler<Rule> {
  at(name: string, rule: Rule, options?: { alt: string[] }): void;
  before(name: string, added: string, rule: Rule, options?: { alt: string[] }): void;
  after(name: string, added: string, rule: Rule): void;
  push(name: string, rule: Rule): void;
  disable(names: string[]): void;
  getRules(chain: string): Rule[];
}

export default class MarkdownIt<Env> {
  constructor(preset: string, options: object);
  enable(names: string[]): this;
  options: object;
  utils: { escapeHtml(text: string): string };
  validateLink: (url: string) => boolean;
  normalizeLink(url: string): string;
  normalizeLinkText(url: string): string;
  block: {
    ruler: Ruler<BlockRule<Env>>;
    parse(text: string, markdown: MarkdownIt<Env>, env: Env, tokens: Token[]): void;
    tokenize(state: BlockState<Env>, start: number, end: number): void;
  };
  inline: { ruler: Ruler<InlineRule<Env>> };
  core: {
    ruler: Ruler<CoreRule>;
    State: new (text: string, markdown: MarkdownIt<Env>, env: Env) => CoreState;
    process(state: CoreState): void;
  };
  renderer: {
    rules: Record<string, RendererRule<Env>>;
    render(tokens: Token[], options: object, env: Env): string;
    renderInlineAsText(tokens: Token[] | null, options: object, env: object): string;
  };
}
