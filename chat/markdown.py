"""Markdown in, safe HTML out.

`static/js/markup.js` makes the same markup in the page while a reply is being written. Both follow these rules:

1.  CommonMark with tables, strikethrough, task lists and footnotes (chat/footnotes.py). Raw HTML is text, and only
    Markdown's own line breaks break a line. CR, LF and CRLF each end a line. A block loses spaces, tabs and line ends
    at its ends, but no other white space.
2.  Blocks nest eighteen levels deep. Everything below becomes one paragraph, so no text is lost.
3.  A link leads to an http, https or mailto address that a browser can open. Any other stays as it was typed, and one
    without an address is its text alone. Links open in a new tab and tell the other site nothing about this one. Bare
    addresses are links too (chat/links.py). If the text of a link is not its address, the link names its host.
4.  Images are never loaded. An image becomes a link to its address or, inside a link, its description.
5.  A table sits in a box that scrolls and takes the focus; classes align its cells. The tables of a text share ten
    thousand cells. Rows beyond that stay as they were typed.
6.  Code sits in a box with the name of its language, a checkbox that wraps its lines, buttons that download and copy
    it, and its text, which takes the focus. It reads from left to right. Each top-level block, and each table, takes
    its direction from its first letters.
7.  A formula (chat/formulas.py) is its TeX source, which a script of the page draws. The formulas of a text share
    thirty thousand characters. Those beyond are not drawn.
8.  A text has a budget: its whole lines within the first hundred thousand characters are formatted, and of their
    top-level blocks those that fit into a number of characters of HTML and a time (in the page, a number of steps). The
    rest is plain text, after a sentence that says so. Characters are UTF-16 code units, as JavaScript counts them.

`render` may take some two seconds of CPU, so requests call it through `chat.rendering`.
"""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from itertools import takewhile

import nh3
import pygments
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.common.utils import MD_TRIM_CHARS, escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, Text, _TokenType

from chat import footnotes, formulas, utf16
from chat.links import bare, other_place

# Raise it with every change of the markup, so that no page shows HTML made by earlier rules.
VERSION = 9

# The budget of a text. Seconds are CPU seconds.
MARKDOWN_CHARS = 100_000
HTML_CHARS = 400_000
RENDER_SECONDS = 2.0
TABLE_CELLS = 10_000
DRAWN_CHARS = 30_000
HIGHLIGHT_LINE_CHARS = 2_000
HIGHLIGHT_SPANS = 20_000
HIGHLIGHT_SECONDS = 0.5
# Looking at the clock takes as long as a step of the parser.
STEPS_PER_LOOK = 32
# The library drops blocks two levels deeper.
DEEPEST = 18

# Their descendants have none, because an element with a direction has no say in that of the block around it.
DIRECTED = frozenset({"paragraph_open", "heading_open", "bullet_list_open", "ordered_list_open", "blockquote_open"})
ADDRESS = re.compile(r"mailto:|https?://(\[[\da-f:.]+\]|[\da-z._-]+)(:\d*)?([/?#]|$)", re.IGNORECASE | re.ASCII)
TASK = re.compile(r"\[([ xX])\] ")
LINK_ATTRS = {"rel": "noopener noreferrer nofollow", "target": "_blank"}
LANGUAGE = re.compile(r" *([A-Za-z0-9+#._-]{1,30})")
TOO_MUCH = "The rest is too long or too complex to format. It is shown as plain text."

# A fixed list, because hostile code keeps some of the other lexers busy for minutes.
HIGHLIGHTED = frozenset(
    """
    bash c c# c++ cpp cs csharp css diff docker dockerfile go golang graphql html ini java javascript js json jsx
    kotlin less lua make makefile nginx objective-c objectivec perl php pl powershell ps1 py python r rb rs
    ruby rust scss sh shell sql swift toml ts tsx typescript xml yaml yml zsh
    """.split()  # noqa: SIM905 - a list of words is read as one.
)


class OverBudget(Exception):
    """The text needs more than rule 8 allows."""


class Budget:
    """What one text may still use."""

    def __init__(self) -> None:
        start = time.thread_time()
        self._deadline = start + RENDER_SECONDS
        self._steps = 0
        self.html = HTML_CHARS
        self.cells = TABLE_CELLS
        self.drawn = DRAWN_CHARS
        self.spans = HIGHLIGHT_SPANS
        self.highlight_deadline = start + HIGHLIGHT_SECONDS

    def step(self) -> None:
        """Count one step of the parser; every few steps, look at the clock."""
        self._steps += 1
        if self._steps % STEPS_PER_LOOK == 0 and time.thread_time() > self._deadline:
            raise OverBudget

    def spend_html(self, chars: int) -> None:
        self.html -= chars
        if self.html < 0:
            raise OverBudget


def render(text: str, markdown: MarkdownIt | None = None) -> SafeString:
    """Return `text` as HTML that is safe to show, whoever wrote it. `markdown` is one that `parser` has made."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    end = _formatted_end(text)
    html, rest = _format(text[:end], Budget(), markdown or MARKDOWN)
    rest += text[end:]
    safe = mark_safe(CLEANER.clean(html))  # noqa: S308 - it comes from the cleaner.
    return format_html("{}{}", safe, plain(rest, TOO_MUCH)) if rest.strip("\n") else safe


def plain(text: str, reason: str) -> SafeString:
    """Return `text` as it was typed, after a sentence that says why."""
    return format_html('<p><em>{}</em></p>\n<pre class="plain" dir="auto" tabindex="0">\n{}</pre>', reason, text)


def _formatted_end(text: str) -> int:
    if utf16.length(text) <= MARKDOWN_CHARS:
        return len(text)
    return utf16.start(text, MARKDOWN_CHARS).rfind("\n") + 1


def _format(text: str, budget: Budget, markdown: MarkdownIt) -> tuple[str, str]:
    """Return the HTML of the blocks that fit the budget, and the text of those that do not."""
    env = {"budget": budget}
    tokens: list[Token] = []
    html: list[str] = []
    line = 0
    try:
        markdown.block.parse(text, markdown, env, tokens)
        for block in _blocks(tokens):
            state = StateCore("", markdown, env, block)
            markdown.core.process(state)
            block_html = markdown.renderer.render(state.tokens, markdown.options, env)
            budget.spend_html(utf16.length(block_html))
            html.append(block_html)
            line = block[0].map[1] if block[0].map else line
    except OverBudget:
        return "".join(html), "\n".join(text.split("\n")[line:])
    return "".join(html), ""


def _blocks(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of each top-level block."""
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting != 1:
            yield block
            block = []


class Renderer(RendererHTML):
    """The markup of rules 5 to 7. The base class finds the methods by the types of tokens."""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _code(tokens[idx], env["budget"])

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _code(tokens[idx], env["budget"])

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="table" dir="auto" role="group" aria-label="Table" tabindex="0"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"

    def footnote_reference(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        label = tokens[idx].content
        return f'<sup><button type="button" data-note="{label}" aria-label="Footnote {label}">{label}</button></sup>'

    def footnote_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        label = tokens[idx].content
        return (
            f'<div class="footnote" dir="auto" role="note" tabindex="-1" data-footnote="{label}">\n'
            f'<button type="button" data-note-end="{label}" aria-label="Footnote {label}, back to the text">'
            f"{label}</button>\n"
        )

    def formula_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _formula(tokens[idx], env["budget"])

    def formula_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _formula(tokens[idx], env["budget"])

    def formula_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f'<p dir="ltr">{escapeHtml(tokens[idx].content)}</p>\n'


def _formula(token: Token, budget: Budget) -> str:
    budget.drawn -= utf16.length(token.content)
    name = "formula" if budget.drawn >= 0 else "formula formula--long"
    end = "\n" if token.tag == "div" else ""
    return f'<{token.tag} class="{name}" dir="ltr">{escapeHtml(token.content)}</{token.tag}>{end}'


def _code(token: Token, budget: Budget) -> str:
    named = LANGUAGE.match(token.info)
    language = named[1].lower() if named else ""
    attribute = f' class="language-{language}"' if language else ""
    content = escapeHtml(token.content)
    coloured = _highlighted(token.content, language, budget) or content
    # The page, whose colours come later, must run out of HTML at the same block.
    budget.html += len(coloured) - len(content)
    return (
        f'<div class="code" dir="ltr">'
        f'<div class="code__header"><span class="code__language">{language or "code"}</span>'
        '<label class="code__tool"><input type="checkbox">Wrap</label>'
        '<button class="code__tool" type="button" data-download>Download</button>'
        '<button class="code__tool" type="button" data-copy>Copy</button></div>'
        f'<pre tabindex="0"><code{attribute}>{coloured}</code></pre></div>\n'
    )


def _highlighted(code: str, language: str, budget: Budget) -> str:
    """Return the code as coloured HTML, or nothing."""
    # Some lexers look at a line as often as it has characters.
    long = max(map(len, code.split("\n"))) > HIGHLIGHT_LINE_CHARS
    if language not in HIGHLIGHTED or long or not budget.spans:
        return ""
    html = pygments.format(_coloured(code, get_lexer_by_name(language), budget), HtmlFormatter(nowrap=True))
    return html if code.endswith("\n") else html.removesuffix("\n")


def _coloured(code: str, lexer: Lexer, budget: Budget) -> Iterator[tuple[_TokenType, str]]:
    """Yield the tokens of the code with their kinds. What is left when the budget is used up is plain text."""
    done = 0
    # Unprocessed, because Pygments otherwise removes empty lines.
    for _, kind, text in lexer.get_tokens_unprocessed(code):
        if not budget.spans or time.thread_time() > budget.highlight_deadline:
            yield Text, code[done:]
            return
        yield kind, text
        done += len(text)
        budget.spans -= 1


def _deep(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Rule 2: make a single paragraph of all that belongs to this container."""
    state.env["budget"].step()
    if state.level < DEEPEST or silent:
        return False
    line = start
    # A lazy line of a quote has a negative indent.
    while line < end and (state.isEmpty(line) or state.sCount[line] < 0 or state.sCount[line] >= state.blkIndent):
        line += 1
    state.push("paragraph_open", "p", 1)
    inline = state.push("inline", "", 0)
    inline.content = _trim(state.getLines(start, line, state.blkIndent, False))
    inline.map = [start, line]
    inline.children = []
    state.push("paragraph_close", "p", -1)
    state.line = line
    return True


def _bounded_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Rule 5. A row may leave cells out and still gets them, so a short text can hold millions of cells."""
    budget: Budget = state.env["budget"]
    columns = state.src.count("|", state.bMarks[start], state.eMarks[start]) + 1
    rows = budget.cells // columns
    # The line below the head holds no cells.
    if not rows or not table(state, start, min(end, start + rows + 1), silent):
        return False
    if not silent:
        budget.cells -= columns * (state.line - start - 1)
    return True


def _inline_step(state: StateInline, silent: bool) -> bool:
    state.env["budget"].step()
    return False


def _backslash(state: StateInline, silent: bool) -> bool:
    """Leave the space after a backslash to a line break, as in JavaScript. The library takes both as an escape."""
    if not state.src.startswith("\\ ", state.pos):
        return False
    if not silent:
        state.pending += "\\"
    state.pos += 1
    return True


def _restrict(state: StateCore) -> None:
    """Rules 1 and 3 to 6, applied to what has been parsed."""
    for index, token in enumerate(state.tokens):
        if token.type in DIRECTED and token.level == 0:
            token.attrs["dir"] = "auto"
        elif token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs = {"class": str(token.attrs["style"]).replace("text-align:", "align-")}
        elif token.type == "list_item_open" and state.tokens[index + 1].type == "paragraph_open":
            _make_task(token, state.tokens[index + 2])
        elif token.children:
            token.children = _restrict_links(token.children)


def _make_task(item: Token, text: Token) -> None:
    """Turn an item that starts with brackets into a task."""
    first = text.children[0] if text.children else None
    found = TASK.match(first.content) if first and first.type == "text" else None
    if first and text.children and found:
        is_done = found[1] != " "
        item.attrs["class"] = "task"
        first.content = first.content[found.end() :]
        label = {"aria-label": "Done", "checked": ""} if is_done else {"aria-label": "To do"}
        text.children.insert(0, Token("task", "input", 0, attrs={"type": "checkbox", "disabled": "", **label}))


def _restrict_links(tokens: list[Token]) -> list[Token]:
    result: list[Token] = []
    inside_link = False
    for index, token in enumerate(tokens):
        if token.type == "image":
            result += _image(token, inside_link)
            continue
        if token.type == "code_inline":
            token.attrs["dir"] = "ltr"
        if token.type == "link_open":
            inside_link = bool(token.attrs["href"])
            token.attrs |= LINK_ATTRS | _place(str(token.attrs["href"]), _link_text(tokens, index))
        if inside_link or token.tag != "a":
            result.append(token)
        if token.type == "link_close":
            inside_link = False
    return result


def _link_text(tokens: list[Token], index: int) -> str:
    """The text of the link that starts there."""
    # Without a copy of the tokens, as a text may hold thousands of links.
    following = map(tokens.__getitem__, range(index, len(tokens)))
    return "".join(token.content for token in takewhile(lambda token: token.type != "link_close", following))


def _place(href: str, text: str) -> dict[str, str]:
    place = other_place(href, text)
    return {"data-place": place} if place else {}


def _image(token: Token, inside_link: bool) -> list[Token]:
    address = token.attrs["src"]
    for child in token.children or ():
        child.type = "text" if child.type == "formula_inline" else child.type
    description = RENDERER.renderInlineAsText(token.children, MARKDOWN.options, {})
    text = Token("text", "", 0, content=description or str(address))
    if inside_link or not address:
        return [text]
    attrs = {"href": address, **LINK_ATTRS, **_place(str(address), text.content)}
    return [Token("link_open", "a", 1, attrs=attrs), text, Token("link_close", "a", -1)]


def _is_address(url: str) -> bool:
    """Rule 3. The cleaner parses addresses as browsers do and drops those that are none."""
    return bool(ADDRESS.match(url)) and CLEANER.clean(f'<a href="{escapeHtml(url)}">').startswith("<a href")


def _trim(text: str) -> str:
    return text.strip(" \t\r\n")


def _trim_cell(text: str) -> str:
    return text.strip(MD_TRIM_CHARS + "\ufeff")


# The rules whose blocks end where a block of another rule starts.
INTERRUPTED = ["paragraph", "reference", "blockquote", "list"]


def parser(preset: str) -> MarkdownIt:
    """Return a parser that counts its steps, with the rules for code and for links."""
    markdown = MarkdownIt(preset, {"html": False, "xhtmlOut": False}, renderer_cls=Renderer)
    # `_format` does their work.
    markdown.core.ruler.disable(["normalize", "block"])
    markdown.validateLink = _is_address  # type: ignore[method-assign]
    markdown.inline.ruler.before("text", "step", _inline_step)
    markdown.inline.ruler.after("text", "bare", bare)
    markdown.core.ruler.push("restrict", _restrict)
    return markdown


def _markdown() -> MarkdownIt:
    markdown = parser("commonmark")
    markdown.enable(["table", "strikethrough"])
    markdown.block.ruler.at("table", _bounded_table, {"alt": ["paragraph", "reference"]})
    markdown.block.ruler.before("table", "deep", _deep, {"alt": INTERRUPTED})
    markdown.block.ruler.before("fence", "formula", formulas.block, {"alt": INTERRUPTED})
    markdown.block.ruler.before("reference", "footnote", footnotes.note, {"alt": ["paragraph", "reference"]})
    markdown.inline.ruler.before("link", "footnote", footnotes.reference)
    markdown.inline.ruler.before("escape", "formula", formulas.inline)
    markdown.inline.ruler.before("escape", "backslash", _backslash)
    return markdown


# Rule 1: the library trims more white space than CommonMark, and other than its JavaScript twin.
for name in ("paragraph", "heading", "lheading"):
    import_module(f"markdown_it.rules_block.{name}").mdTrim = _trim  # type: ignore[attr-defined]
import_module("markdown_it.rules_block.table").mdTrim = _trim_cell  # type: ignore[attr-defined]

MARKDOWN = _markdown()
RENDERER = RendererHTML()

# The last line of defence: what the rules above can make, and nothing else.
CLASSES: dict[str, set[str]] = {
    "div": {"code", "code__header", "footnote", "formula", "formula--long", "table"},
    "span": {"code__language", "formula", "formula--long", *filter(None, STANDARD_TYPES.values())},
    "button": {"code__tool"},
    "label": {"code__tool"},
    "li": {"task"},
    "th": {"align-left", "align-center", "align-right"},
    "td": {"align-left", "align-center", "align-right"},
}
VALUES: dict[str, dict[str, set[str]]] = {
    "a": {name: {value} for name, value in LINK_ATTRS.items()},
    "button": {"type": {"button"}, "data-copy": {""}, "data-download": {""}},
    "code": {"dir": {"ltr"}},
    "div": {"dir": {"auto", "ltr"}, "role": {"group", "note"}, "aria-label": {"Table"}, "tabindex": {"0", "-1"}},
    "input": {"type": {"checkbox"}, "disabled": {""}, "checked": {""}, "aria-label": {"Done", "To do"}},
    "span": {"dir": {"ltr"}},
    "p": {"dir": {"auto", "ltr"}},
    **{tag: {"dir": {"auto"}} for tag in ("blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "ul")},
    "pre": {"tabindex": {"0"}},
}
ATTRIBUTES: dict[str, set[str]] = {
    "a": {"data-place", "href", "title"},
    "button": {"aria-label", "data-note", "data-note-end"},
    "code": {"class"},
    "div": {"data-footnote"},
    "ol": {"start"},
}
TAGS = set(
    """
    a blockquote br button code div em h1 h2 h3 h4 h5 h6 hr input label li ol p pre s span strong sup table tbody td th
    thead tr ul
    """.split()  # noqa: SIM905 - a list of words is read as one.
)
CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    tag_attribute_values=VALUES,
    set_tag_attribute_values={"input": {"type": "checkbox"}},
    allowed_classes=CLASSES,
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel=None,
)
