"""The hits in a text, and the part of it that is shown."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import words
from chat.search.hits import SNIPPET_CHARS, snippet
from chat.search.query import parse


def shown(text: str, query: str) -> str:
    """The snippet, with its hits in brackets."""
    return "".join(f"[{piece.text}]" if piece.is_hit else piece.text for piece in snippet(text, parse(query)))


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("How much salt?", "salt", "How much [salt]?"),
        ("Crème BRÛLÉE", "brulee", "Crème [BRÛLÉE]"),
        ("Ein Straßenfest", "strass", "Ein [Straßenfest]"),
        ("Two spoons of salt, two spoons", '"two spoons" salt', "[Two spoons] of [salt], [two spoons]"),
        ("spoons, two", '"two spoons"', "spoons, two"),
        ("東京都の猫", "京都", "東[京都]の猫"),
        ("東京都の猫", "東京都", "[東京都]の猫"),
        ("東京都の猫の", "猫", "東京都の[猫]の"),
        ("One\n\n  line of\tsalt", "salt", "One line of [salt]"),
        ("<b>salt</b> & more", "salt", "<b>[salt]</b> & more"),
        ("salt and pepper", "salt -pepper", "[salt] and pepper"),
        ("Nothing", "salt", "Nothing"),
        ("", "salt", ""),
    ],
    ids=str,
)
def test_hits_are_marked(text: str, query: str, expected: str) -> None:
    assert shown(text, query) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("## Salt\n\n> **Two** spoons of *sea* salt, ~~three~~.", "[Salt] Two spoons of sea [salt], three."),
        (
            "**Salt**: `**salt**` and\n\n| a | b |\n| :-- | --: |\n| salt | c |",
            "[Salt]: **[salt]** and | a | b | | [salt] | c |",
        ),
        ("See [salt](https://example.org/a_b).", "See [salt] (https://example.org/a_b)."),
        (
            "[`salt`][1] [salt] (here) 2*3 * salt*2 5* salt_and_*",
            "[[salt]][1] [[salt]] (here) 2*3 * [salt]*2 5* [salt]_and_*",
        ),
        ("塩は**食塩**です salt", "塩は食塩です [salt]"),
        (
            "```python\n# salt\ndef salt(*args, **salt):\n    2**3\n```\n# Salt",
            "python # [salt] def [salt](*args, **[salt]): 2**3 [Salt]",
        ),
        ("1. salt\n- pepper\n* [ ] oil", "1. [salt] - pepper * [ ] oil"),
        ("#salt costs 3 > 2 $", "#[salt] costs 3 > 2 $"),
    ],
    ids=str,
)
def test_the_signs_of_markdown_are_not_shown(text: str, expected: str) -> None:
    assert shown(text, "salt") == expected


def test_signs_that_are_cut_off_are_known() -> None:
    assert shown(f"salt {'far ' * 52}[a link](https://example.org/{'a' * 100})", "salt").endswith("far a…")


@pytest.mark.parametrize("part", ["`", "``a ", "*", "[", "|-", "> ", "~~~\n", " ", "*a ", "[a]("])
def test_hostile_signs_cost_little(part: str) -> None:
    start = process_time()
    shown(part * (400_000 // len(part)) + " salt", "salt")
    assert process_time() - start < 2


def test_a_long_text_is_shown_around_its_first_hit() -> None:
    text = "far " * 500 + "the salt " + "near " * 500
    found = shown(text, "salt")
    assert found.startswith("…far far")
    assert found.endswith("near…")
    assert "the [salt] near" in found
    assert len(found) < SNIPPET_CHARS + 10


def test_a_hit_far_down_in_an_endless_text_is_not_looked_for() -> None:
    assert shown("far " * 500_000 + "salt", "salt").startswith("far far")


def test_an_endless_word_is_shown_in_part() -> None:
    assert len(shown("a" * 100_000, "b")) <= SNIPPET_CHARS + 1


@given(st.text(), st.text(min_size=1, max_size=3))
def test_a_snippet_loses_only_space_and_signs(text: str, part: str) -> None:
    word = next((word for word, _, _ in words.split(part)), "a")
    pieces = snippet(text[:SNIPPET_CHARS], parse(f'"{word}"'))
    shown, stored = "".join(piece.text for piece in pieces), text[:SNIPPET_CHARS]
    assert [*filter(str.isalnum, shown)] == [*filter(str.isalnum, stored)]
