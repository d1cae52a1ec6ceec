"""Markdown on the server: what it makes, what it refuses, and what it costs at worst."""

import re
import time
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.core.cache import caches
from django.template import Context, Template
from django.utils.safestring import SafeString

from chat.markdown import HIGHLIGHT_CHARS, HIGHLIGHTED, MARKDOWN_CHARS, TABLE_CELLS, render

# Each must come out without a script, an event handler, a style, something loaded, or a link of another kind.
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
    "a", "blockquote", "br", "button", "code", "div", "em", "h1", "hr", "li", "ol", "p", "pre", "s", "span", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "href", "title", "rel", "target", "class", "tabindex", "role", "aria-label", "type", "data-copy", "start",
}  # fmt: skip


@pytest.mark.parametrize("mark", ["- ", "> ", "1. ", "- > "])
@pytest.mark.parametrize("depth", [5, 9, 10, 11, 30])
def test_nothing_disappears_however_deep_it_lies(mark: str, depth: int) -> None:
    indent = "> " if mark == "> " else " " * len(mark)
    text = "\n".join(f"{indent * level}{mark}item {level}" for level in range(depth))
    html = render(f"{text}\n\nAfter.")
    for word in (*(f"item {level}" for level in range(depth)), "<p>After.</p>"):
        assert word in html


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:40]))
def test_hostile_markdown_makes_nothing_but_text_and_harmless_links(text: str) -> None:
    for tag, attrs in Elements(render(text)).found:
        assert tag in TAGS
        assert attrs.keys() <= ATTRIBUTES
        assert (attrs.get("href") or "https://").startswith(("https://", "http://", "mailto:"))


def test_the_cleaner_stops_what_the_renderer_lets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.markdown.MARKDOWN.render", lambda text, env: text)
    assert render('<a href="javascript:alert(1)" onclick="x">a</a><img src="https://evil.example/">') == "<a>a</a>"
    assert render('<p class="composer" id="x" style="color: red">b</p>') == "<p>b</p>"
    assert render('<div class="code composer" role="dialog">c</div>') == '<div class="code">c</div>'
    assert render('<a href="//evil.example">d</a><form><input></form>') == "<a>d</a>"


# Rules


def test_raw_html_is_shown_as_it_was_typed() -> None:
    assert render("a <b>c</b>") == "<p>a &lt;b&gt;c&lt;/b&gt;</p>\n"


def test_a_link_opens_in_a_new_tab_and_tells_nothing_about_this_one() -> None:
    link = Elements(render('[Parley](https://parley.example/?a=1&b=2 "the title")')).first("a")
    assert link == {
        "href": "https://parley.example/?a=1&b=2",
        "title": "the title",
        "rel": "noopener noreferrer nofollow",
        "target": "_blank",
    }


@pytest.mark.parametrize("address", ["http://x.example", "HTTPS://x.example", "mailto:alice@example.org"])
def test_the_web_and_mail_may_be_linked(address: str) -> None:
    assert len(links(render(f"[x]({address}) and <{address}>"))) == 2


@pytest.mark.parametrize("address", ["ftp://x.example", "/admin/", "#top", "tel:1", "httpsx:1", "javascript:1"])
def test_other_links_stay_as_they_were_typed(address: str) -> None:
    assert render(f"[x]({address})") == f"<p>[x]({address})</p>\n"


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


def test_a_table_scrolls_by_keyboard_and_aligns_its_cells_by_class() -> None:
    html = render("| a | b | c | d |\n|:--|:-:|--:|---|\n| 1 | 2 | 3 | 4 |")
    assert Elements(html).first("div") == {
        "class": "table", "role": "group", "aria-label": "Table", "tabindex": "0",
    }  # fmt: skip
    assert [attrs.get("class") for tag, attrs in Elements(html).found if tag == "td"] == [
        "align-left", "align-center", "align-right", None,
    ]  # fmt: skip
    assert "style" not in html


def test_code_has_its_language_a_button_to_copy_it_and_the_focus() -> None:
    html = render("```Python title=x\nx = 1\n```")
    assert '<span class="code__language">python</span>' in html
    assert '<button class="code__copy" type="button" data-copy="">Copy</button>' in html
    assert '<pre tabindex="0"><code class="language-python">' in html


@pytest.mark.parametrize("text", ["```\nx\n```", "    x", "```{}\nx\n```", "```日本\nx\n```"])
def test_code_without_a_language_is_called_code(text: str) -> None:
    assert '<span class="code__language">code</span>' in render(text)
    assert "<code>x\n</code>" in render(text)


def test_known_languages_are_coloured() -> None:
    assert '<span class="k">def</span>' in render("```python\ndef f(): ...\n```")
    assert '<span class="k">def</span>' in render("- in a list\n\n  ```py\n  def f(): ...\n  ```")


def test_unknown_languages_are_not() -> None:
    assert '<code class="language-brainfuck">+[-]\n</code>' in render("```brainfuck\n+[-]\n```")


@pytest.mark.parametrize("language", sorted(HIGHLIGHTED))
def test_colours_change_no_character_of_the_code(language: str) -> None:
    code = "\n\n  <a b='c'>\t&amp; \"d\" {{ e }} /* f */ # g\n\x0c\u2028é𝄞\n\n"
    assert Elements(render(f"```{language}\n{code}```")).text == f"{language}Copy{code}\n"


def test_struck_out_text_and_lists_that_start_late() -> None:
    assert render("~~a~~") == "<p><s>a</s></p>\n"
    assert render("3. a") == '<ol start="3">\n<li>a</li>\n</ol>\n'


def test_the_result_is_marked_safe() -> None:
    assert isinstance(render("a"), SafeString)
    assert isinstance(render("a" * (MARKDOWN_CHARS + 1)), SafeString)


# Bounds

SECONDS = 4  # What takes one here may take three on a busy machine; what is not linear takes minutes.


def test_a_long_text_goes_without_colours() -> None:
    code = "```python\ndef f(): ...\n```\n"
    assert '<span class="k">' in render(code + "a" * (HIGHLIGHT_CHARS - len(code)))
    assert '<span class="k">' not in render(code + "a" * HIGHLIGHT_CHARS)


def test_a_very_long_text_is_shown_as_it_is() -> None:
    text = "\n# <b>" + "a" * MARKDOWN_CHARS
    html = render(text)
    assert html.startswith('<pre class="plain" tabindex="0">\n\n# &lt;b&gt;')


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("|a" * 1000 + "|\n" + "|-" * 1000 + "|\n" + "|b\n" * 1000, id="a thousand columns"),
        pytest.param(("|a" * 256 + "|\n" + "|-" * 256 + "|\n" + "|b\n" * 256 + "\n") * 80, id="cells left out"),
        pytest.param("|a|\n|-|\n|b|\n\n" * 10_000, id="many tables"),
    ],
)
def test_tables_have_a_bounded_number_of_cells(text: str) -> None:
    start = time.process_time()
    html = render(text[:MARKDOWN_CHARS])
    assert time.process_time() - start < SECONDS
    assert html.count("<td") + html.count("<th") <= TABLE_CELLS


def test_an_ordinary_table_after_a_huge_one_stays_readable() -> None:
    html = render("|a|b|\n|-|-|\n" + "|1|2|\n" * TABLE_CELLS + "\ntext after it")
    assert "<p>text after it</p>" in html


PATHOLOGICAL = {
    "quotes": ">", "lists": "- ", "brackets": "[", "closing brackets": "]", "links": "[a](", "titles": '[a](b "',
    "images": "![", "stars": "*a **a ", "stars and underscores": "*_", "strikes": "~~a ", "ticks": "`a``b",
    "definitions": "[a]: /u\n", "half definitions": "[a]:\n", "autolinks": "<http:", "mails": "<a@", "less": "<",
    "entities": "&#x0;", "fences": "~~~\n```\n", "rows": "|a|b|\n", "items": "- a\n", "loose items": "- - - a\n\n",
    "quoted items": "> - a\n", "mixed": "[*`<![~~", "code": "    a\n", "headings": "# a\n", "breaks": "a  \n",
}  # fmt: skip


@pytest.mark.parametrize("piece", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
def test_no_markdown_is_slow(piece: str) -> None:
    text = (piece * MARKDOWN_CHARS)[:MARKDOWN_CHARS]
    start = time.process_time()
    render(text)
    assert time.process_time() - start < SECONDS


# Each of these took Pygments minutes at this length before there was a deadline and a longest line.
SLOW_CODE = [("c", "\n"), ("c#", "a\n"), ("java", "\n"), ("java", "a "), ("make", "a"), ("ini", "="), ("ini", "a=\n")]


@pytest.mark.parametrize(("language", "piece"), SLOW_CODE)
def test_no_code_is_slow(language: str, piece: str) -> None:
    code = (piece * HIGHLIGHT_CHARS)[: HIGHLIGHT_CHARS - 100]
    start = time.process_time()
    html = render(f"```{language}\n{code}\n```")
    assert time.process_time() - start < SECONDS
    assert Elements(html).text.strip() == f"{language}Copy{code}".strip()


# The filter


def test_the_filter_renders_in_a_template() -> None:
    template = Template("{% load messages %}{{ text|markdown }}")
    assert template.render(Context({"text": "*a* <b>"})) == "<p><em>a</em> &lt;b&gt;</p>\n"


def test_the_filter_renders_a_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    caches["rendered"].clear()
    template = Template("{% load messages %}{{ text|markdown }}")
    first = template.render(Context({"text": "a"}))
    monkeypatch.setattr("chat.templatetags.messages.render", lambda text: SafeString("rendered again"))
    assert template.render(Context({"text": "a"})) == first
    assert template.render(Context({"text": "b"})) == "rendered again"
    caches["rendered"].clear()


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
def test_code_has_the_contrast_that_reading_needs(name: str, scheme: int) -> None:
    background = (
        "header" if name == "muted" else f"{name}-background" if f"{name}-background" in COLOURS else "background"
    )
    dark, light = sorted((luminance(COLOURS[name][scheme]), luminance(COLOURS[background][scheme])))
    assert (light + 0.05) / (dark + 0.05) >= 4.5
