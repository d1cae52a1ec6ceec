"""Questions as HTML: what stays as it was typed, what does not."""

import pytest

from chat.questions import FOLDED_LINES, LINE_CHARS, render_question
from tests.test_markdown import HOSTILE, Elements, calls, links


@pytest.mark.parametrize(
    "text",
    [
        "*a* _b_ # c",
        "# a",
        "- a\n- b",
        "a\nb\n\n\nc",
        "  a\n    b",
        "1. a\n> b",
        "<b>a</b>",
        "a\\*",
        "$x$",
        "[a](/b)",
        "&lt;",
    ],
)
def test_a_question_stays_as_it_was_typed(text: str) -> None:
    html = render_question(text)
    assert Elements(html).text == f"{text}\n"
    assert [tag for tag, _ in Elements(html).found] == ["p"]


def test_fenced_code_is_code() -> None:
    html = render_question("Why?\n\n```python\ndef f(): ...\n```\n\nIt *fails*.")
    assert '<code class="language-python"><span class="k">def</span>' in html
    assert html.startswith('<p dir="auto">Why?</p>\n<div class="code"')
    assert html.endswith('<p dir="auto">It *fails*.</p>\n')


def test_inline_code_is_code_and_addresses_are_links() -> None:
    html = render_question("Is `f()` at https://x.example/a?")
    assert '<code dir="ltr">f()</code>' in html
    assert links(html) == ["https://x.example/a"]


@pytest.mark.parametrize("text", ["    ```\n    a", "a ``` b", "``", "`a\n\nb"])
def test_what_is_no_fence_is_text(text: str) -> None:
    assert "<pre" not in render_question(text)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:40]))
def test_hostile_questions_make_only_text_and_code(text: str) -> None:
    tags = {tag for tag, _ in Elements(render_question(text)).found}
    assert tags <= {"a", "button", "code", "details", "div", "input", "label", "p", "pre", "span", "summary"}
    assert all(str(link).startswith("https://") for link in links(render_question(text)))


@pytest.mark.parametrize("long", ["a\n" * (FOLDED_LINES + 1), "a" * LINE_CHARS * (FOLDED_LINES + 1)])
def test_a_long_question_is_folded(long: str) -> None:
    assert '<details class="fold">' in render_question(long)
    assert "<details" not in render_question(long[: len(long) // 2])


@pytest.mark.parametrize("piece", ["a\n", "`a", "```\n", "http://a(", "a ```\n", "~~~ a\nb\n"])
def test_twice_the_question_takes_twice_the_work(piece: str) -> None:
    assert calls(piece * 600, render_question) < 2.5 * calls(piece * 300, render_question)
