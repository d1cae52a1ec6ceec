"""Markdown in the page: the server's markup, drawn block by block, with nothing loaded and nothing run."""

import random
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from playwright.sync_api import BrowserContext, Page, expect

from chat.demo import ANSWER
from chat.markdown import MARKDOWN_CHARS, render
from tests.test_markdown import HOSTILE

pytestmark = pytest.mark.chromium

ORDINARY = [
    "",
    "a",
    "a\nb  \nc\\\nd",
    "# A\n## B\n### C\n\nD\n===\nE\n---\n",
    "*a* **b** ***c*** _d_ __e__ ~~f~~ `g` ``h ` i``",
    "- a\n- b\n  - c\n    1. d\n\n- e\n\n\n* f",
    "3. a\n4. b\n\n   c\n\n1) d",
    "> a\nb\n> > c\n\n> - d",
    "---\n***\n- - -",
    "    code\n\n    more\n\ntext",
    "```python\ndef f():\n\n    return '<&>'\n```",
    "~~~ C++ title\nint a;\n~~~",
    "````md\n```js\n1\n```\n````",
    "```\nnever closed",
    "- ```js\n  let a;\n  ```\n- b",
    "> ```\n> quoted\n> ```",
    "``` {.python}\n1\n```\n\n```python:a/b.py\n1\n```\n\n```é\n1\n```",
    "| a | b | c | d |\n|---|:--|:-:|--:|\n| 1 | 2 | 3 | 4 |\n| `x\\|y` | *b* |\n",
    "a | b\n--|--\n1 | 2 | 3\ntext\n\nafter",
    "|a|\n|-|\n> quote",
    "[a](https://x.example) [b](<https://x.example/a b> 'title') [c](mailto:a@x.example)",
    "<https://x.example/ä?ö=ü#ß> <alice@example.org> https://bare.example www.bare.example",
    "[a][1] [1] [A]\n\n[1]: https://x.example 'one'\n[a]: https://y.example",
    "[a](https://münchen.example/straße) [b](https://[::1]:8000/a%20b%zz)",
    "![a *b*](https://x.example/a.png 't') ![](https://x.example/a.png)",
    "[![a](https://x.example/a.png) b](https://x.example/) ![c](https://x.example/c.png)",
    "&amp; &copy; &#65; &#x1F600; &nosuch; &lt;b&gt; \\* \\< \\a",
    "\t- a\n\t\tb",
    "a\r\nb\r\n\r\n- c\r\n",
    "# a\rb\r\r- c\r\n\rd\n\re",
    "Zeile 🙂 👩‍👩‍👧 é 日本語 \u200b **太字**です",
    "a\n# b\nc\n- d\ne\n1. f\n2. g",
    "2. cannot interrupt\na\n2. a paragraph",
    "|a" * 200 + "|\n" + "|-" * 200 + "|\n" + "|b\n" * 200,
    "$$ \\frac{a}{b} $$ and \\(x\\) and \\[y\\]",
    "- [ ] open\n- [x] done\n\n1. [X] *a*\n- [ ]\n- [x]b\n- [ ] # c\n- > [ ] d",
    "a[^1] [^1](https://x.example) [a [^1]](https://x.example)\n\n[^1]: one\nlazily\n\n    more\n[^n]:\n    - x\n",
    "a[^n] [^no]\n\n[^n]: [^1]: b",
    "https://x.example/a_(b)?c=1&d. (https://y.example), **http://z.example/** http://1.2.3.400/*a* xhttps://n.example",
    "访问https://a.example。看 HTTPS://A.example/ä*b*_ https://münchen.example https://x.example/Ж日 https:// ://x",
    "[https://x.example](https://y.example) [x.example](https://x.example/a) [X.EXAMPLE/b](https://x.example)",
    "[x.example.evil](https://x.example) [a@b.c](mailto:a@b.c) [`x.example`](https://x.example)",
    "[nginx.lan](https://nginx.lan)",
    "$5 and $10, $x_1$, $\\$5$, $n$th, $a\nb$, $HOME, \\$x$, $`a`$, [$a$](https://x.example), ![$a$ b](https://x.example)",
    "The roots:\n\\[\n- b \\pm \\sqrt{b^2}\n\\]\nof \\(ax^2\\).",
    "$$\na &= b \\\\\n- c\n$$\n\n$$\n\n$$ a $$ b\n\n> \\[a\n> # b\\]\n\n- $$c$$\n- \\[d",
    "Never closed:\n\\[\n- a\n1. b\n# c",
    "\\[\n- a\n\n# closed too late \\]",
    "   \\[\n" + "x" * 4_995 + "\N{GRINNING FACE}",
    "H~2~O x^2^ ==mark== :smile: [^1]\n\n[^1]: note",
]

# All kinds of blocks, next to each other.
REPLY = """\
# A heading
with a paragraph right below it, **bold**, `code` and a [link](https://x.example).

- one
- two
  going on
lazily

- three, now loose

  with a second paragraph

1. first
   ```python
   def f(): ...
   ```
2. second

```js
let a = `b`;


let c;
```
right below the fence

| a | b |
|---|:-:|
| 1 | 2 |
| 3 | 4 |
after the table

> a quote
lazily going on

> another one

A paragraph that
turns out
a heading
---

text
***
more text
+ a list
+ of two

    indented code


    with a gap

[ref]: https://x.example
'a title
of two lines'

A [ref].

~~~
an open fence
```
that never closes
"""

FRAGMENTS = [
    "a", "b c", "\n", "\n\n", " ", "    ", "\t", "- ", "+ ", "1. ", "2) ", "> ", "# ", "---", "===", "***", "```",
    "~~~", "```js\n", "|", "a|b\n", "-|-\n", "|:-:|\n", "*", "**", "`", "<b>", "[x](https://y)", "![x](https://y)",
    "\\", "&amp;", "[d]: https://x\n", "[d]:\n", "'t", "<https://z>", "~~", "$", "$$", "\\[\n", "\\]\n", "\\(", "\\)",
]  # fmt: skip

# For generated texts.
PIECES = [
    *FRAGMENTS, "\r", "\r\n", "\x00", "\x0b", "\x0c", "\x1f", "\x85", "\xa0", "\u2003", "\u2028", "\u3000", "\ufeff",
    "é", "日本", "𝄞", "- [ ] ", "10. ", "    code", "\t\t", "<!--", "</p>", "<a href=x>", "<https://[>",
    "<alice@x.example>", "&copy;", "&#0;", "&#xd800;", "&ngE;", "&amp", "\\\n", "  \n", "__", "_", "![", "[", "]", "](",
    ")", "<", ">", '"t"', "[d]", "[d][]", "~", "``", "`` ` ``", "|a|\n", ":-|-:\n", "\\|", "=", "#######", " #\n",
    "```é b\n", "~~~\n", "3) ", "0. ", "* ", "$", "$$", "\\(", "\\)", "\\[", "\\]", "$$\n", "\\[\n", "x^2", "\\$",
    "[^1]", "[^1]: ", "[^n]", "[^n]:", "https://x.example", "https://", "http://y/(a)", "- [x] ", "[ ] ", "://",
    "\\\\", "$a$", "\\(a\\)",
]  # fmt: skip
SPACES = [
    "\x0b", "\x0c", "\x1c", "\xa0", "\u1680", "\u2003", "\u200b", "\u2028", "\u202f", "\u3000",
]  # fmt: skip
SPACED = [
    "{0}a{0}", "# {0}a{0}", "# {0}", "{0}a{0}\n===", "> {0}a{0}", "- {0}a{0}", "|{0}a{0}|{0}|\n|-|-|\n|{0}b{0}|{0}|",
    "**{0}a{0}**", "[{0}a]\n\n[a{0}]: https://x.example", "```{0}js{0}\n```", "[a]({0}https://x.example{0})",
    "> > > > > > > > > > > > > > > > > > > > {0}a{0}",
]  # fmt: skip
ADDRESSES = [
    "", "<>", "http:", "http://", "https:x", "https:/x", "https:///x", "http://[bad", "http://[::1]",
    "http://[::1]:8000/a", "http://a%20b", "<http://a b>", "http://x:99999", "http://x:", "http://x:a",
    "http://1.2.3.400", "http://1.2.3", "http://0x7f.1", "http://xn--a", "http://xn--mnchen-3ya.example",
    "http://münchen.example", "http://ＦＵＬＬ.example", "http://日本.example", "http://☃.example", "http://a_b.example",
    "http://a..b", "http://.a", "http://-a-.example", "http://a@b@c", "http://:@x", "http://@", "http://x?y#z",
    "http://x\\y", "http://x%", "http://%41", "http://%zz", "http://a|b", "http://a^b", "http://a<b", "HTTP://X",
    "hTTps://x", "mailto:", "mailto:a", "mailto:a@münchen.example", "mailto:?x", "mailto://x", "ftp://x", "//x", "/x",
    "#x", "?x", "javascript:1", "http&#58;//x", "http://\xad", "http://\u200b", "http://x。y", "http://ß.example",
    "http://á.example", "http://ا.example", "http://a.b.c.d.e:80/ä ö", "http://한.example", "http://x/\u3000y",
    "http://a%2eb", "http://user:word@x.example",
]  # fmt: skip
LINKS = [
    "[x]({})", "[x]({} 't')", "![x]({})", "![]({})", "[![x]({})](https://y.example)", "[![x](https://y.example)]({})",
    "<{}>", "{}", "a {}, b", "({})", "[{}](https://y.example)", "[x]\n\n[x]: {}",
    "[x]\n\n[x]: {}\n't'", "[*x* `y`]({})",
]  # fmt: skip


def generated(seed: int) -> list[str]:
    """Links and white space of all kinds, random constructs, and ordinary and hostile texts with random damage.

    What the two libraries are known to treat differently does not come up: letters whose case was defined lately, byte
    order marks in labels and at the ends of addresses, and definitions after a block that uses them.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing is secret here.
    texts = ["".join(chance.choices(PIECES, k=chance.randint(2, 16))) for _ in range(5200)]
    for _ in range(2000):
        text = chance.choice([*ORDINARY, *HOSTILE, REPLY, ANSWER])[:1000]
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text) + 1)
            damage = chance.choice(["", chance.choice(PIECES), text[place : place + 3] * 2])
            text = text[:place] + damage + text[place + chance.randint(0, 4) :]
        texts.append(text)
    texts = [text for text in texts if "]:" not in text.replace("[^1]:", "")]
    texts += [link.format(address) for link in LINKS for address in ADDRESSES]
    return texts + [text.format(space) for text in SPACED for space in SPACES]


WITHOUT_COLOURS = """
    function withoutColours(root) {
        for (const code of root.querySelectorAll("pre code")) code.textContent = code.textContent;
        return root.innerHTML;
    }
    function asParsed(html) {
        const root = document.createElement("div");
        root.innerHTML = html;
        return withoutColours(root);
    }
"""


class Handler(SimpleHTTPRequestHandler):
    """Serves the static files, and an empty page at /, under the policy of the product."""

    # With a stylesheet, so that you can look at colours.
    PAGE = b"<!doctype html><html lang=en><title>Markdown</title><link rel=stylesheet href=/css/code.css><main></main>"

    def do_GET(self) -> None:
        if self.path == "/":
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(self.PAGE)))
            self.end_headers()
            self.wfile.write(self.PAGE)
        else:
            super().do_GET()

    def end_headers(self) -> None:
        policy = "; ".join(f"{name} {' '.join(sources)}" for name, sources in settings.SECURE_CSP.items())
        self.send_header("Content-Security-Policy", policy)
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        """Tests are quiet."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    handler = partial(Handler, directory=str(settings.BASE_DIR / "static"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def context_options() -> dict[str, Any]:
    """No server of ours is needed."""
    return {}


@pytest.fixture
def blank(first_context: BrowserContext, origin: str) -> Page:
    """A page with `live`, a LiveMarkdown that owns its <main>."""
    page = first_context.new_page()
    page.goto(origin)
    page.evaluate(
        """async () => {
            const { LiveMarkdown } = await import("/js/live.js");
            window.LiveMarkdown = LiveMarkdown;
            window.main = document.querySelector("main");
            window.live = new LiveMarkdown(main);
        }"""
    )
    return page


def drawn(page: Page, texts: list[str]) -> list[tuple[str, str]]:
    """For each text, what the page and the server make of it, as a browser reads it, without colours."""
    pairs: list[tuple[str, str]] = page.evaluate(
        f"""(texts) => {{
            {WITHOUT_COLOURS}
            return texts.map(([text, html]) => {{
                const root = document.createElement("div");
                const live = new LiveMarkdown(root);
                live.append(text);
                live.flush();
                return [withoutColours(root), asParsed(html)];
            }});
        }}""",
        [[text, render(text)] for text in texts],
    )
    return pairs


def drawn_in_pieces(page: Page, text: str, ends: list[int]) -> list[tuple[int, str, str]]:
    """The prefixes of `text` that the page, fed up to each end in turn, draws differently from the server."""
    differences: list[tuple[int, str, str]] = page.evaluate(
        f"""([pieces, renderings]) => {{
            {WITHOUT_COLOURS}
            const root = document.createElement("div");
            const live = new LiveMarkdown(root);
            const differences = [];
            pieces.forEach(([end, piece], index) => {{
                live.append(piece);
                live.flush();
                const page = withoutColours(root);
                const server = asParsed(renderings[index]);
                if (page !== server) differences.push([end, page, server]);
            }});
            return differences;
        }}""",
        [
            [[end, text[start:end]] for start, end in zip([0, *ends], ends, strict=False)],
            [render(text[:end]) for end in ends],
        ],
    )
    return differences


# The same markup


@pytest.mark.parametrize("texts", [ORDINARY, HOSTILE], ids=["ordinary", "hostile"])
def test_the_page_and_the_server_make_the_same_markup(blank: Page, texts: list[str]) -> None:
    for text, (page, server) in zip(texts, drawn(blank, texts), strict=True):
        assert page == server, f"of {text[:200]!r}"


def test_the_page_and_the_server_agree_on_generated_texts(blank: Page) -> None:
    texts = generated(seed=20261126)
    assert len(texts) > 7_000
    differences = [
        (text, page, server) for text, (page, server) in zip(texts, drawn(blank, texts), strict=True) if page != server
    ]
    assert differences == []


BEYOND_THE_BUDGET = {
    "characters": "# Title\n" + "line <b>\n" * (MARKDOWN_CHARS // 8),
    "wide characters": ("\N{GRINNING FACE}" * 49 + "\n") * (MARKDOWN_CHARS // 90),
    "one line": "a" * (MARKDOWN_CHARS + 1),
    "HTML": "# Title\n" + "[d]: https://x\n\n```\n'\n```\n" * (MARKDOWN_CHARS // 30),
    "HTML of one block": "# Title\n" + "- ```\n" * (MARKDOWN_CHARS // 6),
    "cells": "|a|b|\n|-|-|\n" + "|1|2|\n" * 10_000 + "\n|c|\n|-|\n",
}
SPACES_INSIDE = f"[a{' ' * 48_000}b](https://x.example)\n\n{'> ' * 19}a{' ' * 48_000}b"
# Each opens a formula, and the search for its end is in vain.
NEVER_CLOSED = [r"\\$", r"\(", r"\[", "\\[\n"]


@pytest.mark.parametrize("text", BEYOND_THE_BUDGET.values(), ids=BEYOND_THE_BUDGET)
def test_the_page_and_the_server_spend_the_same_budget(blank: Page, text: str) -> None:
    [(page, server)] = drawn(blank, [text])
    assert page == server
    ends = [len(text) * part // 5 for part in range(1, 6)]
    assert drawn_in_pieces(blank, text, ends) == []


def test_the_start_of_a_very_long_text_keeps_its_form(blank: Page) -> None:
    kept = blank.evaluate(
        """(chars) => {
            live.append("# Title\\n\\n" + "a paragraph\\n\\n".repeat(chars / 13 - 10));
            live.flush();
            const nodes = [...main.children];
            live.append("another\\n\\n".repeat(100));
            live.flush();
            return nodes.every((node, index) => node === main.children[index]) && main.lastChild.textContent;
        }""",
        MARKDOWN_CHARS,
    )
    assert kept.startswith("\nanother\n\n")


@pytest.mark.parametrize(
    "text",
    [
        "# Title\n" + "> |a|\n> |-|\n|a|b|\n|-|-|\n" * (MARKDOWN_CHARS // 24),
        SPACES_INSIDE,
        *(mark * 25_000 for mark in NEVER_CLOSED),
    ],
    ids=["tables", "spaces", "dollars", "brackets in a line", "brackets", "lines of brackets"],
)
def test_no_text_freezes_the_page(blank: Page, text: str) -> None:
    took, shown = blank.evaluate(
        """(text) => {
            live.append(text);
            const start = performance.now();
            live.flush();
            live.append("more");
            live.flush();
            return [performance.now() - start, main.textContent];
        }""",
        text,
    )
    assert took < 10_000  # One second when the machine is idle, and many without the budget.
    # A quote ends with a line break.
    assert shown.rstrip("\n").endswith(f"{text[-12:]}more")


def test_half_addresses_take_less_time_than_addresses(blank: Page) -> None:
    """The rest of the text is not scanned for each of them."""
    halves = blank.evaluate(DRAWN_IN_MS, ["://a"] * 5)
    [whole] = blank.evaluate(DRAWN_IN_MS, ["http://a "])
    # A busy machine may hold up some of them.
    assert min(halves) < whole


DRAWN_IN_MS = """(pieces) => pieces.map((piece) => {
    live.replace(piece.repeat(99_000 / piece.length));
    const start = performance.now();
    live.flush();
    return performance.now() - start;
})"""


# Block by block


def test_every_prefix_of_a_reply_is_drawn_as_the_whole(blank: Page) -> None:
    assert drawn_in_pieces(blank, REPLY, list(range(1, len(REPLY) + 1))) == []


def test_every_prefix_of_ordinary_texts_is_drawn_as_the_whole(blank: Page) -> None:
    # A definition turns earlier text into links. The page shows them only when it gets the server's HTML at the end.
    for text in (text[:400] for text in ORDINARY if "[a][1]" not in text and "a[^n]" not in text):
        assert drawn_in_pieces(blank, text, list(range(1, len(text) + 1))) == [], f"of {text!r}"


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25), st.randoms(use_true_random=False))
@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_text_in_any_pieces_is_drawn_as_the_whole(blank: Page, fragments: list[str], chance: random.Random) -> None:
    text = "".join(fragments)
    assume('"https://x"' not in render(text))  # See above.
    ends = sorted({*chance.sample(range(len(text) + 1), k=min(12, len(text) + 1)), len(text)})
    assert drawn_in_pieces(blank, text, ends) == []


def test_finished_blocks_are_never_touched_again(blank: Page) -> None:
    changed = blank.evaluate(
        """async (text) => {
            const finished = new Map();
            const changed = [];
            for (let end = 0; end < text.length; end += 3) {
                live.append(text.slice(end, end + 3));
                live.flush();
                finished.forEach((html, node) => {
                    if (node.parentNode !== main || node.outerHTML !== html) changed.push([end, html, node.outerHTML]);
                });
                // The last two may be a heading's paragraph and what follows it; all before them is finished.
                const blocks = [...main.children].slice(0, -2).filter((node) => !node.querySelector("code[class]"));
                for (const node of blocks) finished.set(node, node.outerHTML);
            }
            return [finished.size, changed];
        }""",
        REPLY,
    )
    assert changed[0] > 10
    assert changed[1] == []


def test_only_the_new_part_of_a_growing_list_is_touched(blank: Page) -> None:
    kept = blank.evaluate(
        """() => {
            live.append("- one\\n- two\\n- th");
            live.flush();
            const items = [...main.querySelectorAll("li")];
            live.append("ree\\n- four");
            live.flush();
            return items.map((item, index) => item === main.querySelectorAll("li")[index]);
        }"""
    )
    assert kept == [True, True, True]


# Each text and the one before, how many items of that are kept, and how many are rendered. Heads of tables are rows.
KEPT = [
    ("- a\n- b\n- [c](https://c.example)", "- a\n- b\n- [c", 2, 1),
    ("|a|b|\n|-|-|\n|c|d|\n|e|f|\n|g", "|a|b|\n|-|-|\n|c|d|\n|e|f|\n", 2, 2),
    ("- a\n- b\n\ntext\n", "- a\n- b\n", 2, 0),
    ("- a\n\n- b\n", "- a\n", 0, 2),
    ("|a|b|\n|-|-|\n|c|d|\n", "|A|b|\n|-|-|\n|c|d|\n", 0, 2),
]


@pytest.mark.parametrize(("text", "before", "kept", "rendered"), KEPT)
def test_only_items_that_have_changed_are_rendered(
    blank: Page, text: str, before: str, kept: int, rendered: int
) -> None:
    html, found = blank.evaluate(
        """async ([text, before]) => {
            const { Budget, render } = await import("/js/markup.js");
            const { html, kept } = render(text, new Budget(), true, render(before, new Budget(), true).items);
            return [html, kept];
        }""",
        [text, before],
    )
    assert (found, html.count("<li>") + html.count("<tr>")) == (kept, rendered)


def test_items_that_a_later_line_changes_are_drawn_again(blank: Page) -> None:
    loose = "- a\n- b\n- c\n\n- d\n"
    linked = "- [a]\n- [^b]\n- c\n\n  [a]: https://a.example\n- [^b]: d\n"
    wider = "|a|b|\n|-|-|\n|c|\n|d|\n"
    formulas = "- $$ a\n- b $$\n"
    for text in (loose, linked, wider, formulas):
        assert drawn_in_pieces(blank, text, list(range(1, len(text) + 1))) == [], f"of {text!r}"


def test_appended_text_appears(blank: Page) -> None:
    blank.evaluate("live.append('# Hel'); live.append('lo')")
    expect(blank.get_by_role("heading", name="Hello")).to_be_visible()


def test_text_is_drawn_without_animation_frames(blank: Page) -> None:
    blank.evaluate("window.requestAnimationFrame = () => 0; live.append('# Hello')")
    expect(blank.get_by_role("heading", name="Hello")).to_be_visible()


def test_replace_draws_only_the_new_text(blank: Page) -> None:
    blank.evaluate("live.append('[a]: https://x.example\\n\\n# Old\\n\\n- list\\n\\ntext'); live.flush()")
    blank.evaluate("live.replace('new [a]'); live.flush()")
    assert blank.evaluate("main.innerHTML") == '<p dir="auto">new [a]</p>\n'


# Colours


def test_code_is_coloured_once_its_fence_is_closed(blank: Page) -> None:
    blank.evaluate("live.append('```python\\ndef f(): ...\\n'); live.flush()")
    assert blank.locator("code span").count() == 0
    blank.evaluate("live.append('```\\n'); live.flush()")
    expect(blank.locator("code .hljs-keyword")).to_have_text("def")
    expect(blank.locator("code")).to_have_text("def f(): ...\n")


def test_code_in_a_list_is_coloured_after_the_list(blank: Page) -> None:
    blank.evaluate("live.append('- ```python\\n  def f(): ...\\n  ```\\n\\ntext\\n'); live.flush()")
    expect(blank.locator("li code .hljs-keyword")).to_have_text("def")


def test_colours_change_no_character_of_hostile_code(blank: Page) -> None:
    code = "<script>alert(1)</script> &lt;img src=x onerror=alert(1)&gt; <?php '</code>' ?>\n"
    for language in ("html", "php", "js", "markdown", "xml", "bash"):
        blank.evaluate("(text) => { live.replace(text); live.flush(); }", f"```{language}\n{code}```\n")
        expect(blank.locator("code span").first).to_be_attached()
        assert blank.locator("code").evaluate("(code) => code.textContent") == code
        assert blank.locator("code :not(span)").count() == 0


@pytest.mark.parametrize("code", ["Aa " * 5000, "Aa\n" * 5000], ids=["a long line", "many lines"])
def test_long_code_is_coloured_by_the_server_alone(blank: Page, code: str) -> None:
    blank.evaluate("(text) => live.append(text)", f"```csharp\n{code}\n```\n\n```python\ndef f(): ...\n```\n")
    expect(blank.locator("code.language-python span").first).to_be_attached()
    assert blank.locator("code.language-csharp span").count() == 0


# Nothing loaded, nothing run


def test_hostile_markdown_loads_nothing_and_runs_nothing(blank: Page, origin: str) -> None:
    requests: list[str] = []
    complaints: list[str] = []
    blank.on("request", lambda request: requests.append(request.url))
    blank.on("console", lambda message: complaints.append(message.text))
    blank.on("pageerror", lambda error: complaints.append(str(error)))
    blank.on("dialog", lambda dialog: complaints.append(dialog.message))
    blank.evaluate(
        """(texts) => {
            document.addEventListener("securitypolicyviolation", ({ blockedURI }) => console.log(blockedURI));
            for (const text of texts) {
                live.replace(text);
                live.flush();
            }
        }""",
        HOSTILE,
    )
    blank.evaluate("(html) => { main.innerHTML = html; }", "".join(render(text) for text in HOSTILE))
    # By the time a later request is answered, a load or a violation would have been noticed.
    blank.evaluate("fetch('/js/live.js').then((answer) => answer.text())")
    assert [url for url in requests if not url.startswith(f"{origin}/")] == []
    assert complaints == []
