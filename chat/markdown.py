"""Markdown in, safe HTML out.

`static/js/markdown.js` draws the same markup in the page while a reply is being written. The rules, for both:

1.  CommonMark with tables and strikethrough. No raw HTML, no bare addresses as links, no line breaks but Markdown's
    own.
2.  Blocks nest eighteen levels deep. What lies deeper is a paragraph, so that nothing of it disappears.
3.  A link leads to http, https or mailto; anything else stays as it was typed. It opens in a new tab and tells the
    other side nothing about this one.
4.  An image is never loaded. It becomes a link to its address, or inside a link its description alone.
5.  A table stands in a box that scrolls and takes the focus; cells are aligned by a class. The tables of one text have
    ten thousand cells between them, and what goes beyond stays as it was typed.
6.  Code stands in a box with the name of its language, a button to copy it, and its text, which takes the focus.

Rendering keeps a processor busy for milliseconds to a second: an asynchronous caller runs it in a thread.
"""

import re
import time
from collections.abc import Iterator, Sequence
from html import escape

import nh3
import pygments
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, Text, _TokenType

# Changes with every change of the markup, so that nothing stored under the old one is shown.
VERSION = 2

# The slowest text of this length takes a second or two; a longer one is shown as it is.
MARKDOWN_CHARS = 100_000
HIGHLIGHT_CHARS = 60_000
HIGHLIGHT_LINE_CHARS = 2_000
HIGHLIGHT_SECONDS = 0.5
TABLE_CELLS = 10_000
# Two levels below those at which the library gives up and drops the rest.
DEEPEST = 18

LINK = re.compile(r"(https?|mailto):", re.IGNORECASE)
LINK_ATTRS = {"rel": "noopener noreferrer nofollow", "target": "_blank"}
LANGUAGE = re.compile(r" *([A-Za-z0-9+#._-]{1,30})")

# The common ones. A fixed list, as there are lexers that hostile code keeps busy for minutes.
HIGHLIGHTED = frozenset(
    """
    bash c c# c++ cpp cs csharp css diff docker dockerfile go golang graphql html ini java javascript js json jsx
    kotlin less lua make makefile nginx objective-c objectivec perl php pl powershell ps1 py python r rb rs
    ruby rust scss sh shell sql swift toml ts tsx typescript xml yaml yml zsh
    """.split()  # noqa: SIM905 - a list of words is read as one.
)


def render(text: str) -> SafeString:
    """Return `text` as HTML that is safe to show, whoever wrote it."""
    if len(text) > MARKDOWN_CHARS:
        return format_html('<pre class="plain" tabindex="0">\n{}</pre>', text)
    deadline = time.thread_time() + HIGHLIGHT_SECONDS if len(text) <= HIGHLIGHT_CHARS else 0
    env = {"deadline": deadline}
    return mark_safe(CLEANER.clean(MARKDOWN.render(text, env)))  # noqa: S308 - it comes from the cleaner.


class Renderer(RendererHTML):
    """The markup of rules 5 and 6; its methods are found by the types of the tokens."""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _code(tokens[idx], env)

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _code(tokens[idx], env)

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="table" role="group" aria-label="Table" tabindex="0"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"


def _code(token: Token, env: EnvType) -> str:
    named = LANGUAGE.match(token.info)
    language = named[1].lower() if named else ""
    attribute = f' class="language-{language}"' if language else ""
    content = _highlighted(token.content, language, env["deadline"])
    return (
        f'<div class="code"><div class="code__header"><span class="code__language">{language or "code"}</span>'
        '<button class="code__copy" type="button" data-copy>Copy</button></div>'
        f'<pre tabindex="0"><code{attribute}>{content}</code></pre></div>\n'
    )


def _highlighted(code: str, language: str, deadline: float) -> str:
    # Some lexers look at a line as often as it has characters.
    long = max(map(len, code.split("\n"))) > HIGHLIGHT_LINE_CHARS
    if language not in HIGHLIGHTED or long or not deadline:
        return escape(code)
    html = pygments.format(_coloured(code, get_lexer_by_name(language), deadline), HtmlFormatter(nowrap=True))
    return html if code.endswith("\n") else html.removesuffix("\n")


def _coloured(code: str, lexer: Lexer, deadline: float) -> Iterator[tuple[_TokenType, str]]:
    """Yield the code with its kinds; lexers can be made quadratic, so what is left at the deadline is plain text."""
    done = 0
    # Unprocessed: otherwise Pygments takes empty lines away.
    for _, kind, text in lexer.get_tokens_unprocessed(code):
        if time.thread_time() > deadline:
            yield Text, code[done:]
            return
        yield kind, text
        done += len(text)


def _deep(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Rule 2: all that belongs to this container becomes one paragraph."""
    if state.level < DEEPEST or silent:
        return False
    line = start
    while line < end and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
        line += 1
    state.push("paragraph_open", "p", 1)
    inline = state.push("inline", "", 0)
    inline.content = state.getLines(start, line, state.blkIndent, False).strip()
    inline.map = [start, line]
    inline.children = []
    state.push("paragraph_close", "p", -1)
    state.line = line
    return True


def _bounded_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Rule 5. A row may leave cells out and has them all the same, so a short text can hold millions."""
    if not table(state, start, end, True):
        return False
    if silent:
        return True
    rows = next((line for line in range(start, end) if state.isEmpty(line)), end) - start
    columns = state.src.count("|", state.bMarks[start], state.eMarks[start]) + 1
    cells = state.env.get("cells", 0) + rows * columns
    if cells > TABLE_CELLS:
        return False
    state.env["cells"] = cells
    return table(state, start, end, False)


def _restrict(state: StateCore) -> None:
    for token in state.tokens:
        if token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs = {"class": str(token.attrs["style"]).replace("text-align:", "align-")}
        elif token.children:
            token.children = _without_images(token.children)


def _without_images(tokens: list[Token]) -> list[Token]:
    result: list[Token] = []
    inside_link = False
    for token in tokens:
        if token.type == "image":
            result += _image(token, inside_link)
            continue
        if token.tag == "a":
            inside_link = token.nesting == 1
            token.attrs |= LINK_ATTRS if inside_link else {}
        result.append(token)
    return result


def _image(token: Token, inside_link: bool) -> list[Token]:
    address = token.attrs["src"]
    description = RENDERER.renderInlineAsText(token.children, MARKDOWN.options, {})
    text = Token("text", "", 0, content=description or str(address))
    if inside_link:
        return [text]
    return [Token("link_open", "a", 1, attrs={"href": address, **LINK_ATTRS}), text, Token("link_close", "a", -1)]


def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}, renderer_cls=Renderer)
    markdown.enable(["table", "strikethrough"])
    markdown.validateLink = lambda url: bool(LINK.match(url))  # type: ignore[method-assign]
    markdown.block.ruler.at("table", _bounded_table, {"alt": ["paragraph", "reference"]})
    markdown.block.ruler.before("table", "deep", _deep)
    markdown.core.ruler.push("restrict", _restrict)
    return markdown


MARKDOWN = _markdown()
RENDERER = RendererHTML()

# The last line of defence: what the rules above can make, and nothing else.
CLASSES: dict[str, set[str]] = {
    "div": {"code", "code__header", "table"},
    "span": {"code__language", *filter(None, STANDARD_TYPES.values())},
    "button": {"code__copy"},
    "th": {"align-left", "align-center", "align-right"},
    "td": {"align-left", "align-center", "align-right"},
}
VALUES: dict[str, dict[str, set[str]]] = {
    "a": {name: {value} for name, value in LINK_ATTRS.items()},
    "button": {"type": {"button"}, "data-copy": {""}},
    "div": {"role": {"group"}, "aria-label": {"Table"}, "tabindex": {"0"}},
    "pre": {"tabindex": {"0"}},
}
ATTRIBUTES: dict[str, set[str]] = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}
TAGS = set(
    """
    a blockquote br button code div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul
    """.split()  # noqa: SIM905 - a list of words is read as one.
)
CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    tag_attribute_values=VALUES,
    allowed_classes=CLASSES,
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel=None,
)
