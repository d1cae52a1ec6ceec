"""The language of searches."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.search.query import NotSearchable, Term, parse


def written(text: str) -> str:
    """The query as its words: a prefix ends with a star."""
    query = parse(text)
    return ", ".join([*map(_written, query.wanted), *(f"-{_written(term)}" for term in query.unwanted)])


def _written(term: Term) -> str:
    return " ".join(term.words) + ("*" if term.is_prefix else "")


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Salt  Soup", "salt, soup*"),
        ('"Salt Soup"', "salt soup"),
        ("“Salt Soup” x", "salt soup, x"),
        ('"salt sou', "salt sou*"),
        ('soup "salt', "soup, salt*"),
        ("soup -Salt", "soup, -salt"),
        ('soup -"two spoons"', "soup, -two spoons"),
        ("well-known", "well known*"),
        ("soup -", "soup"),
        ("soup --salt", "soup, -salt"),
        ('salt"soup"', "salt, soup"),
        ("Sal* soup -spo* x", "sal*, soup, x, -spo*"),
        ('"two spo*" "three*" x', "two spo*, three*, x"),
        ("well-kno* sal*t soup*", "well kno*, sal t, soup*"),
        ("s* *alt 東京* soup", "s, alt, 東京, soup*"),
        ("C", "c"),
        ("猫", "猫*"),
        ("猫 soup", "猫*, soup*"),
        ("東京都", "東京 京都"),
        ("100% \\ ' * : ( ) NOT", "100, not*"),
    ],
    ids=str,
)
def test_what_people_write(text: str, query: str) -> None:
    assert written(text) == query


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_words"),
        ('" - *', "no_words"),
        ("-salt", "only_unwanted"),
        ("a" * 201, "too_long"),
        ("a " * 13, "too_many_words"),
    ],
)
def test_what_cannot_be_searched(text: str, code: str) -> None:
    with pytest.raises(NotSearchable) as refusal:
        parse(text)
    assert refusal.value.code == code


@given(st.text(max_size=200))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    with suppress(NotSearchable):
        assert parse(text).wanted
