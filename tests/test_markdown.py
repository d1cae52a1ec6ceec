"""Markdown on the server: the markup, what it refuses, and what it costs at worst."""

import re
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.conf import settings
from django.utils.safestring import SafeString

from chat.markdown import (
    HIGHLIGHT_SPANS,
    HIGHLIGHTED,
    HTML_CHARS,
    MARKDOWN_CHARS,
    TABLE_CELLS,
    TOO_MUCH,
    render,
)

# None of these may make a script, an event handler, a style, a request, or a link of another kind.
HOSTILE = [
    "\n".join(f"{'  ' * level}- item {level}" for level in range(12)) + "\n\nAfter.",
    "\n".join(f"{'> ' * level}quote {level}" for level in range(30)) + "\n\nAfter.",
    "<script>alert(1)</script>",
    "text <script src=https://evil.example/x.js></script> text",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><a xlink:href=javascript:alert(1)>x</a></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>* { display: none }</style>",
    '<p style="background: url(https://evil.example/)">x</p>',
    "<a href='https://x.example' onclick='alert(1)'>x</a>",
    "<form action=https://evil.example><input name=password></form>",
    "<!-- --><base href=https://evil.example/>",
    "<![CDATA[ <script>alert(1)</script> ]]>",
    "<?php echo 1 ?>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x]( javascript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](java&#10;script:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A;avascript&colon;alert(1))",
    "[x](javascript&#58;alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](%6Aavascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](DATA:image/svg+xml,<svg/onload=alert(1)>)",
    "[x](vbscript:msgbox(1))",
    "[x](file:///etc/passwd)",
    "[x](blob:https://x.example/1)",
    "[x](//evil.example/)",
    "[x](/admin/)",
    "[x](\\\\evil.example\\x)",
    "<javascript:alert(1)>",
    "<data:text/html,x>",
    "[x]: javascript:alert(1)\n\n[x]",
    "[x](https://x.example \"' onmouseover=alert(1) x='\")",
    '[x](https://x.example/"onmouseover=alert(1)//)',
    "[x](https://x.example/?a=1&b=<script>)",
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:alert(1))",
    "![x](data:image/png;base64,AAAA)",
    '![x"onerror="alert(1)](https://x.example/a.png "t")',
    "[![x](https://evil.example/pixel.png)](https://x.example)",
    "![![a](https://evil.example/1)](https://evil.example/2)",
    "![[a](https://evil.example/1)](https://evil.example/2)",
    "![ref][1]\n\n[1]: https://evil.example/pixel.png",
    '```"><script>alert(1)</script>\nx\n```',
    "```html\n<script>alert(1)</script>\n```",
    "```python\n'</code></pre><script>alert(1)</script>'\n```",
    "    <script>alert(1)</script>",
    "`<script>alert(1)</script>`",
    "| a |\n|:-:|\n| <img src=x onerror=alert(1)> |",
    "> <script>\n> alert(1)\n> </script>",
    "- <b onclick=alert(1)>x</b>",
    "# <script>alert(1)</script>",
    "\x00<script>alert(1)</script>",
    ">" * 5000 + "<script>",
    "- " * 5000 + "x",
    "[" * 5000 + "](javascript:alert(1))" * 50,
    "![" * 5000,
    "*_" * 5000,
]


class Elements(HTMLParser):
    """What a browser would make of some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def first(self, tag: str) -> dict[str, str | None]:
        return next(attrs for name, attrs in self.found if name == tag)


def links(html: str) -> list[str | None]:
    return [attrs["href"] for tag, attrs in Elements(html).found if tag == "a"]


# Hostile text

TAGS = {
    "a", "blockquote", "br", "button", "code", "div", "em", "h1", "hr", "input", "label", "li", "ol", "p", "pre", "s",
    "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "data-place", "dir", "href", "title", "rel", "target", "class", "tabindex", "role", "aria-label", "type",
    "data-copy", "data-download", "start",
}  # fmt: skip


@pytest.mark.parametrize("mark", ["- ", "> ", "1. ", "- > "])
@pytest.mark.parametrize("depth", [5, 9, 10, 11, 30])
def test_deep_nesting_loses_no_text(mark: str, depth: int) -> None:
    indent = "> " if mark == "> " else " " * len(mark)
    text = "\n".join(f"{indent * level}{mark}item {level}" for level in range(depth))
    html = render(f"{text}\n\nAfter.")
    for word in (*(f"item {level}" for level in range(depth)), '<p dir="auto">After.</p>'):
        assert word in html


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:40]))
def test_hostile_markdown_makes_only_text_and_harmless_links(text: str) -> None:
    for tag, attrs in Elements(render(text)).found:
        assert tag in TAGS
        assert attrs.keys() <= ATTRIBUTES
        assert (attrs.get("href") or "https://").startswith(("https://", "http://", "mailto:"))


def test_the_cleaner_stops_what_the_renderer_lets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.markdown._format", lambda text, budget, markdown: (text, ""))
    assert render('<a href="javascript:alert(1)" onclick="x">a</a><img src="https://evil.example/">') == "<a>a</a>"
    assert render('<p class="composer" id="x" style="color: red">b</p>') == "<p>b</p>"
    assert render('<div class="code composer" role="dialog" dir="rtl">c</div>') == '<div class="code">c</div>'
    assert render('<a href="//evil.example">d</a><form><input name="x" type="text"></form>') == (
        '<a>d</a><input type="checkbox">'
    )


# Rules


def test_raw_html_is_shown_as_it_was_typed() -> None:
    assert render("a <b>c</b>") == '<p dir="auto">a &lt;b&gt;c&lt;/b&gt;</p>\n'


def test_a_link_opens_in_a_new_tab_without_a_referrer() -> None:
    link = Elements(render('[Parley](https://parley.example/?a=1&b=2 "the title")')).first("a")
    assert link == {
        "href": "https://parley.example/?a=1&b=2",
        "title": "the title",
        "data-place": "parley.example",
        "rel": "noopener noreferrer nofollow",
        "target": "_blank",
    }


def test_a_link_names_its_host_unless_its_text_does() -> None:
    same = (
        "https://x.example <https://x.example/a> [x.example/b](https://x.example/a) [A@x.example](mailto:a@x.example) "
        "[nginx.lan](https://nginx.lan)"
    )
    assert "data-place" not in render(same)
    other = {
        "[a](https://x.example:8000/b)": "x.example:8000",
        "[https://x.example.evil](https://x.example)": "x.example",
        "[x.example](https://x.example@y.example)": None,
        "![https://a.example](https://b.example/c.png)": "b.example",
        "[write](mailto:a@x.example?subject=b)": "a@x.example",
        # A browser would not show it in the language of the text.
        "https://m\u00fcnchen.example": "xn--mnchen-3ya.example",
    }
    for text, place in other.items():
        found = Elements(render(text)).found
        assert next((attrs["data-place"] for tag, attrs in found if tag == "a"), None) == place, text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("(see https://x.example/a_(b).)", "https://x.example/a_(b)"),
        ("**https://x.example/?a=1&b**", "https://x.example/?a=1&b"),
        ("\u770bhttps://x.example\u3002\u770b", "https://x.example"),
        ("HTTP://x.example, y", "HTTP://x.example"),
        ("- https://x.example#a!", "https://x.example#a"),
    ],
)
def test_a_bare_address_is_a_link(text: str, address: str) -> None:
    assert links(render(text)) == [address]


@pytest.mark.parametrize(
    "text",
    [
        "www.x.example",
        "x.example",
        "xhttps://x.example",
        "ftp://x.example",
        "https://",
        "http://1.2.3.400",
        "`http://x`",
    ],
)
def test_other_bare_addresses_are_text(text: str) -> None:
    assert links(render(text)) == []


def test_a_link_holds_no_other_link() -> None:
    assert links(render("[see https://a.example](https://b.example)")) == ["https://b.example"]


def test_an_item_with_brackets_is_a_task() -> None:
    html = render("- [ ] open\n- [x] *done*\n- [y] neither\n- [ ]")
    boxes = [(attrs["aria-label"], "checked" in attrs) for tag, attrs in Elements(html).found if tag == "input"]
    assert boxes == [("To do", False), ("Done", True)]
    assert [attrs.get("class") for tag, attrs in Elements(html).found if tag == "li"] == ["task", "task", None, None]
    assert "<em>done</em>" in html


def test_a_footnote_has_a_mark_in_the_text() -> None:
    html = render("A claim[^1] and one[^source].\n\n[^1]: A note.\n\n    More.\n[^source]: *A book*\n\nEnd.")
    marks = [attrs["data-note"] for tag, attrs in Elements(html).found if "data-note" in attrs]
    assert marks == ["1", "source"]
    assert [attrs["data-footnote"] for _, attrs in Elements(html).found if "data-footnote" in attrs] == marks
    assert "<p>A note.</p>\n<p>More.</p>\n</div>" in html
    assert html.endswith('<p dir="auto">End.</p>\n')


def test_a_word_without_a_note_is_text() -> None:
    assert "[^abc]" in render("The class [^abc] and [^1](https://x.example).")


@pytest.mark.parametrize("address", ["http://x.example", "HTTPS://x.example", "mailto:alice@example.org"])
def test_the_web_and_mail_may_be_linked(address: str) -> None:
    assert len(links(render(f"[x]({address}) and <{address}>"))) == 2


@pytest.mark.parametrize(
    "address",
    ["ftp://x.example", "/admin/", "#top", "tel:1", "httpsx:1", "javascript:1", "https:admin", "https:/admin"],
)
def test_other_addresses_stay_as_they_were_typed(address: str) -> None:
    assert render(f"[x]({address})") == f'<p dir="auto">[x]({address})</p>\n'


@pytest.mark.parametrize(
    "address",
    [
        "http:",
        "http://",
        "http://[bad",
        "http://x:99999",
        "http://1.2.3.400",
        "http://a%20b",
        "http://a@b",
        "http://xn--a",
    ],
)
def test_what_no_browser_opens_is_not_linked(address: str) -> None:
    assert links(render(f"[x]({address}) ![x]({address}) <{address}>")) == []


@pytest.mark.parametrize("text", ["[x]()", "[x](<>)", "![x]()"])
def test_a_link_without_an_address_is_not_linked(text: str) -> None:
    html = render(text)
    assert "<a" not in html
    assert "x" in html


@pytest.mark.parametrize(
    "text", ["{0}a{0}", "# {0}a{0}", "{0}a{0}\n===", "> {0}a{0}", "- {0}a{0}", "> " * 30 + "{0}a{0}"]
)
@pytest.mark.parametrize("space", ["\u3000", "\u2003", "\u2028", "\x0b"])
def test_unicode_white_space_stays(text: str, space: str) -> None:
    assert f"{space}a{space}<" in render(text.format(space))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_line_end_ends_a_line(end: str) -> None:
    assert render(f"# a{end}b") == '<h1 dir="auto">a</h1>\n<p dir="auto">b</p>\n'


def test_an_image_becomes_a_link_with_its_description() -> None:
    html = render("![a *small* cat](https://x.example/cat.png)")
    assert links(html) == ["https://x.example/cat.png"]
    assert Elements(html).text == "a small cat\n"


def test_an_image_without_a_description_shows_its_address() -> None:
    assert Elements(render("![](https://x.example/cat.png)")).text == "https://x.example/cat.png\n"


def test_an_image_in_a_link_is_its_description() -> None:
    html = render("[![a cat](https://x.example/cat.png)](https://x.example/)")
    assert links(html) == ["https://x.example/"]
    assert Elements(html).text == "a cat\n"


def test_a_table_takes_the_focus_and_aligns_its_cells() -> None:
    html = render("| a | b | c | d |\n|:--|:-:|--:|---|\n| 1 | 2 | 3 | 4 |")
    assert Elements(html).first("div") == {
        "class": "table", "dir": "auto", "role": "group", "aria-label": "Table", "tabindex": "0",
    }  # fmt: skip
    assert [attrs.get("class") for tag, attrs in Elements(html).found if tag == "td"] == [
        "align-left", "align-center", "align-right", None,
    ]  # fmt: skip
    assert "style" not in html


def test_code_has_its_language_and_its_tools() -> None:
    html = render("```Python title=x\nx = 1\n```")
    assert '<span class="code__language">python</span>' in html
    assert '<label class="code__tool"><input type="checkbox">Wrap</label>' in html
    assert '<button class="code__tool" type="button" data-download="">Download</button>' in html
    assert '<button class="code__tool" type="button" data-copy="">Copy</button>' in html
    assert '<pre tabindex="0"><code class="language-python">' in html


@pytest.mark.parametrize("text", ["```\nx\n```", "    x", "```{}\nx\n```", "```日本\nx\n```"])
def test_code_without_a_language_is_called_code(text: str) -> None:
    assert '<span class="code__language">code</span>' in render(text)
    assert "<code>x\n</code>" in render(text)


def test_known_languages_are_coloured() -> None:
    assert '<span class="k">def</span>' in render("```python\ndef f(): ...\n```")
    assert '<span class="k">def</span>' in render("- in a list\n\n  ```py\n  def f(): ...\n  ```")


def test_unknown_languages_are_not_coloured() -> None:
    assert '<code class="language-brainfuck">+[-]\n</code>' in render("```brainfuck\n+[-]\n```")


@pytest.mark.parametrize("language", sorted(HIGHLIGHTED))
def test_colours_change_no_character_of_the_code(language: str) -> None:
    code = "\n\n  <a b='c'>\t&amp; \"d\" {{ e }} /* f */ # g\n\x0c\u2028é𝄞\n\n"
    assert Elements(render(f"```{language}\n{code}```")).text == f"{language}WrapDownloadCopy{code}\n"


@pytest.mark.parametrize(
    ("text", "tag"),
    [("a", "p"), ("# a", "h1"), ("a\n---", "h2"), ("- a", "ul"), ("1. a", "ol"), ("> a", "blockquote")],
)
def test_each_block_takes_the_direction_of_its_text(text: str, tag: str) -> None:
    elements = [(name, attrs.get("dir")) for name, attrs in Elements(render(text)).found]
    assert elements[0] == (tag, "auto")
    # A nested direction would hide its text from the block around it.
    assert {direction for _, direction in elements[1:]} <= {None}


def test_code_reads_from_left_to_right() -> None:
    assert Elements(render("`a`")).first("code") == {"dir": "ltr"}
    assert Elements(render("```\na\n```")).first("div")["dir"] == "ltr"


def test_strikethrough_and_the_first_number_of_a_list() -> None:
    assert render("~~a~~") == '<p dir="auto"><s>a</s></p>\n'
    assert render("3. a") == '<ol start="3" dir="auto">\n<li>a</li>\n</ol>\n'


def test_the_result_is_marked_safe() -> None:
    assert isinstance(render("a"), SafeString)
    assert isinstance(render("a" * (MARKDOWN_CHARS + 1)), SafeString)


# The budget

SECONDS = 4  # of CPU, for what takes less than one on an idle machine


def cpu_seconds(text: str) -> float:
    start = time.thread_time()
    render(text)
    return time.thread_time() - start


def test_the_start_of_a_very_long_text_keeps_its_form() -> None:
    html = render("# Title\n" + "line <b>\n" * (MARKDOWN_CHARS // 8))
    formatted, plain = html.split(f'<p><em>{TOO_MUCH}</em></p>\n<pre class="plain" dir="auto" tabindex="0">\n')
    assert formatted.startswith('<h1 dir="auto">Title</h1>\n<p dir="auto">line &lt;b&gt;\n')
    assert plain.startswith("line &lt;b&gt;\n")
    assert html.count("line") == MARKDOWN_CHARS // 8


def test_characters_count_as_in_javascript() -> None:
    line = "\N{GRINNING FACE}" * 49 + "\n"  # 99 units of UTF-16
    lines = MARKDOWN_CHARS // 99
    assert TOO_MUCH not in render(line * lines)
    assert render(line * (lines + 1)).endswith(f'<pre class="plain" dir="auto" tabindex="0">\n{line}</pre>')


def test_html_has_a_limit() -> None:
    boxes = "```\n```\n\n" * (MARKDOWN_CHARS // 9)
    html = render(boxes)
    assert HTML_CHARS * 0.9 < len(html) < HTML_CHARS + MARKDOWN_CHARS
    assert html.count("<pre") - 1 + html.count("```\n```") == MARKDOWN_CHARS // 9


def test_a_single_block_that_is_too_large_is_plain() -> None:
    html = render("# Title\n" + "- ```\n" * (MARKDOWN_CHARS // 6))
    assert html.startswith(f'<h1 dir="auto">Title</h1>\n<p><em>{TOO_MUCH}</em></p>\n<pre class="plain"')
    assert len(html) < 2 * MARKDOWN_CHARS


def test_colours_have_a_limit() -> None:
    code = "1\n" * (HIGHLIGHT_SPANS * 2)
    html = render(f"```python\n{code}```\n")
    assert HIGHLIGHT_SPANS // 2 < html.count("<span") <= HIGHLIGHT_SPANS
    assert Elements(html).text == f"pythonWrapDownloadCopy{code}\n"


def test_an_expensive_text_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.markdown.RENDER_SECONDS", 0)
    text = "a *b* " * 100
    assert render(text) == f'<p><em>{TOO_MUCH}</em></p>\n<pre class="plain" dir="auto" tabindex="0">\n{text}</pre>'


# Each makes the library read the same lines again and again: a quote looks ahead for lines that it then does not take.
@pytest.mark.parametrize("piece", ["> |a|\n> |-|\n|a|b|\n|-|-|\n", "> # a\nb\n", ">     a\nb\n"])
def test_rendering_has_a_deadline(monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
    monkeypatch.setattr("chat.markdown.RENDER_SECONDS", 0.2)
    assert cpu_seconds(piece * (MARKDOWN_CHARS // len(piece))) < SECONDS


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("|a" * 1000 + "|\n" + "|-" * 1000 + "|\n" + "|b\n" * 1000, id="a thousand columns"),
        pytest.param(("|a" * 256 + "|\n" + "|-" * 256 + "|\n" + "|b\n" * 256 + "\n") * 80, id="cells left out"),
        pytest.param("|a|\n|-|\n|b|\n\n" * 10_000, id="many tables"),
    ],
)
def test_tables_have_a_limit_of_cells(text: str) -> None:
    html = render(text[:MARKDOWN_CHARS])
    assert html.count("<td") + html.count("<th>") <= TABLE_CELLS


def test_rows_beyond_the_limit_stay_as_they_were_typed() -> None:
    html = render("|a|b|\n|-|-|\n" + "|1|2|\n" * TABLE_CELLS + "\ntext after it")
    assert html.startswith('<div class="table"')
    assert '</table></div>\n<p dir="auto">|1|2|\n|1|2|\n' in html
    assert '<p dir="auto">text after it</p>' in html


PATHOLOGICAL = {
    "quotes": ">", "lists": "- ", "brackets": "[", "closing brackets": "]", "links": "[a](", "titles": '[a](b "',
    "images": "![", "stars": "*a **a ", "stars and underscores": "*_", "strikes": "~~a ", "ticks": "`a``b",
    "definitions": "[a]: /u\n", "half definitions": "[a]:\n", "autolinks": "<http:", "mails": "<a@", "less": "<",
    "entities": "&#x0;", "fences": "~~~\n```\n", "rows": "|a|b|\n", "items": "- a\n", "loose items": "- - - a\n\n",
    "quoted items": "> - a\n", "mixed": "[*`<![~~", "code": "    a\n", "headings": "# a\n", "breaks": "a  \n",
    "heads": "-|-\n", "narrow heads": "-|\n", "pairs of heads": "|-\n|:-:|\n", "quoted heads": "> -|-\n",
    "dollars": "$a ", "pairs of dollars": "$$a\n", "formulas": "\\(a", "blocks": "\\[a\n",
    "addresses without marks": "http://a(", "bad addresses": "http://1.2.3.400/a ", "notes": "[^1]: ",
    "half notes": "[^1", "notes in lines": "[^1]: a\n", "tasks": "- [ ] a\n",
    "formulas in quotes": "> \\[a\n\n",
    "lazy lines of quotes": ">" * 18 + "a\n" + "b\n" * 20, "quotes in lists": "- > a\nb\n", "addresses": "<http://a>",
}  # fmt: skip


def calls(text: str, render: Callable[[str], str] = render) -> int:
    """How many Python functions run to render `text`."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        render(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
def test_twice_the_text_takes_twice_the_work(monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
    monkeypatch.setattr("chat.markdown.RENDER_SECONDS", 1000)
    monkeypatch.setattr("chat.markdown.TABLE_CELLS", 100)
    repeats = 1500 // len(piece) + 1
    assert calls(piece * 2 * repeats) < 2.5 * calls(piece * repeats)


@pytest.mark.parametrize("piece", ["://a", "http://a "])
def test_an_address_costs_the_same_in_a_long_text(monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
    """To scan a text, or to copy a list, is one call, however long it is."""
    monkeypatch.setattr("chat.markdown.RENDER_SECONDS", 1000)
    repeats = MARKDOWN_CHARS // len(piece)
    assert cpu_seconds(piece * repeats) < 25 * cpu_seconds(piece * (repeats // 10))


# Each of these kept Pygments busy for minutes at this length.
SLOW_CODE = [("c", "\n"), ("c#", "a\n"), ("java", "\n"), ("java", "a "), ("make", "a"), ("ini", "="), ("ini", "a=\n")]


@pytest.mark.parametrize(("language", "piece"), SLOW_CODE)
def test_colouring_has_a_deadline(monkeypatch: pytest.MonkeyPatch, language: str, piece: str) -> None:
    monkeypatch.setattr("chat.markdown.HIGHLIGHT_SECONDS", 0.1)
    code = (piece * MARKDOWN_CHARS)[: MARKDOWN_CHARS - 100]
    start = time.thread_time()
    html = render(f"```{language}\n{code}\n```")
    assert time.thread_time() - start < SECONDS
    assert Elements(html).text.strip() == f"{language}WrapDownloadCopy{code}".strip()


# The colours of code

COLOURS = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"--code-([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);",
        (settings.BASE_DIR / "static" / "css" / "code.css").read_text(),
    )
}


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb` as WCAG 2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    "name", sorted(name for name in COLOURS if not name.endswith(("background", "header", "border")))
)
def test_code_is_readable(name: str, scheme: int) -> None:
    background = (
        "header" if name == "muted" else f"{name}-background" if f"{name}-background" in COLOURS else "background"
    )
    dark, light = sorted((luminance(COLOURS[name][scheme]), luminance(COLOURS[background][scheme])))
    assert (light + 0.05) / (dark + 0.05) >= 4.5
