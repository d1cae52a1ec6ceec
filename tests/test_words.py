"""Texts as words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Two spoons, 100% of it.", "two spoons 100 of it"),
        ("Crème brûlée, ÜBERRASCHUNG", "creme brulee uberraschung"),
        ("Cre\u0300me", "creme"),
        ("Straße STRASSE", "strasse strasse"),
        ("ΟΔΟΣ οδός Ёлка", "οδοσ οδοσ елка"),
        ("snake_case don't a.b", "snake case don t a b"),
        ("東京都", "東京 京都 都"),
        ("私はSakeが好き。", "私は は sake が好 好き き"),
        ("ｶﾞﾗｽ がぎ カキ", "ガラ ラス ス がぎ ぎ カキ キ"),
        ("ﬁn Ｆｕｌｌ ½", "fin full 1 2"),
        ("한국어 कुल", "한국어 कुल"),
        ("السَّلام", "السَّلام"),
        ("*** — “ ” 🎉", ""),
    ],
    ids=str,
)
def test_a_text_as_words(text: str, found: str) -> None:
    assert words.indexed(text) == found


@given(st.text())
def test_words_are_folded_and_in_place(text: str) -> None:
    places = [(start, end) for _, start, end in words.split(text)]
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert places == sorted(places)
    for word, _, _ in words.split(text):
        assert 0 < len(word) <= words.LONGEST_WORD
        # No index splits it, and nothing in it means something in the language of one.
        assert not set(word) & set(" \"'\\:*@&|!()\x00")
        assert not word.isascii() or word.isalnum()


@given(st.text())
def test_a_folded_text_has_the_same_words(text: str) -> None:
    folded = " ".join(word for word, _, _ in words.split(text) if not words.is_paired(word))
    assert words.indexed(folded) == folded


@given(st.text(st.characters(codec="ascii")))
def test_ascii_has_the_same_words(text: str) -> None:
    assert words.indexed(text) == " ".join(word for word, _, _ in words.split(text))


def test_a_word_has_its_place() -> None:
    text = "Ein Straßenfest in 東京都"
    assert [(word, text[start:end]) for word, start, end in words.split(text)] == [
        ("ein", "Ein"),
        ("strassenfest", "Straßenfest"),
        ("in", "in"),
        ("東京", "東京"),
        ("京都", "京都"),
        ("都", "都"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [("東京都", ("東京", "京都")), ("東", ("東",)), ("東京 tower", ("東京", "京", "tower")), ("x 京", ("x", "京"))],
)
def test_what_is_looked_for_may_continue(text: str, found: tuple[str, ...]) -> None:
    assert words.wanted(text) == found


def test_the_words_of_an_endless_text_are_cut_between_two() -> None:
    found = words.indexed("word " * 100_000)
    assert words.MOST_CHARS - 5 < len(found) <= words.MOST_CHARS
    assert set(found.split(" ")) == {"word"}


def test_an_endless_word_is_cut() -> None:
    assert words.indexed("A" * 100_000) == "a" * words.LONGEST_WORD
