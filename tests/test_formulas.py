"""What is a formula, and what only looks like one."""

import re

import pytest

from chat.formulas import FORMULA_CHARS
from chat.markdown import DRAWN_CHARS, render
from tests.test_markdown import Elements


def formulas(text: str) -> list[str]:
    """The sources of the formulas in a text."""
    return [found[1] for found in re.findall(r'<(span|div) class="formula" dir="ltr">(.*?)</\1>', render(text), re.S)]


@pytest.mark.parametrize(
    "formula",
    [
        r"\(ax^2\)", r"\[ax^2\]", "$$ax^2$$", "$ax^2$", r"$\$5$", "$5$", r"\( \frac{a}{b} \)", r"\(a\\b\)",
        "$a*b*c_1_2$", "$$\na\n$$", "\\[\n- b \\\\\n# c\n\\]", "$`a`$",
    ],
)  # fmt: skip
def test_a_formula_keeps_its_source(formula: str) -> None:
    assert formulas(formula) == [formula]
    assert formulas(f"Before {formula} after.") == ([formula] if "\n" not in formula else [])
    assert formulas(f"Before:\n{formula}\nAfter.") == [formula]


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $10", "It costs $5.", "$5-$10", "a $ b $ c", "$a $b", "US$5 or 5$", "$a\nb$", "\\$a$", "`$a$`",
        "    $a$", "```\n$a$\n```", "$$", "$$$a$$$", r"\(\)", "$ a$", r"\\(a\\)", "$a$5",
    ],
)  # fmt: skip
def test_other_dollars_and_brackets_are_text(text: str) -> None:
    assert formulas(text) == []


def test_prices_stay_as_they_were_typed() -> None:
    assert render("From $5 to $10.") == '<p dir="auto">From $5 to $10.</p>\n'


@pytest.mark.parametrize("text", ["- a\n\n  $$\n  b\n  $$\n- c", "> $$\n> b\n> $$", "1. $$\n   b\n   $$"])
def test_a_formula_stays_in_its_container(text: str) -> None:
    assert formulas(text) == ["$$\nb\n$$"]


@pytest.mark.parametrize("text", ["> $$\nb\n$$", "- $$\n\n  b$$", "$$\na\n\nb\n$$"])
def test_a_formula_neither_leaves_its_container_nor_has_empty_lines(text: str) -> None:
    assert formulas(text) == []


def test_a_formula_without_its_end_is_plain_text() -> None:
    assert render("The roots:\n\\[\n- b_1_\n# c") == '<p dir="auto">The roots:</p>\n<p dir="ltr">\\[\n- b_1_\n# c</p>\n'
    assert "<ul" in render("The roots:\n\\[\n- b\n\ntext")


@pytest.mark.parametrize("mark", ["$", "$$"])
def test_a_formula_has_a_greatest_length(mark: str) -> None:
    longest = f"{mark}{'x' * (FORMULA_CHARS - 2 * len(mark))}{mark}"
    assert formulas(longest) == [longest]
    assert formulas(f"{mark}x{longest[len(mark) :]}") == []
    # Two units of UTF-16.
    assert formulas(longest.replace("x", "\N{GRINNING FACE}", 1)) == []


def test_a_formula_without_its_end_is_measured_from_its_mark() -> None:
    longest = "\\[\n" + "x" * (FORMULA_CHARS - 3)
    assert render(f"   {longest}") == f'<p dir="ltr">{longest}</p>\n'
    assert "ltr" not in render(f"{longest}x")
    # Two units of UTF-16.
    assert "ltr" not in render(f"{longest[:-1]}\N{GRINNING FACE}")


def test_a_text_has_a_greatest_number_of_formulas_to_draw() -> None:
    html = render("$x_1$ " * (DRAWN_CHARS // 5 + 2))
    assert html.count('class="formula"') == DRAWN_CHARS // 5
    assert html.count('<span class="formula formula--long" dir="ltr">$x_1$</span>') == 2


def test_the_source_of_a_formula_is_escaped() -> None:
    html = render(r"\(a < b & \text{<script>alert(1)</script>}\)")
    assert {tag for tag, _ in Elements(html).found} == {"p", "span"}
    assert Elements(html).text == "\\(a < b & \\text{<script>alert(1)</script>}\\)\n"
