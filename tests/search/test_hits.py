"""The hits in a text, and the part of it that is shown."""

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
def test_a_snippet_loses_only_space(text: str, part: str) -> None:
    word = next((word for word, _, _ in words.split(part)), "a")
    pieces = snippet(text[:SNIPPET_CHARS], parse(f'"{word}"'))
    assert "".join("".join(piece.text for piece in pieces).split()) == "".join(text[:SNIPPET_CHARS].split())
