"""What can happen to a reply."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chat.events import Delta, Piece, Reasoning, cut, joined

PIECES = st.lists(st.builds(Delta, st.text()) | st.builds(Reasoning, st.text()))


@given(PIECES)
def test_joining_keeps_the_text_and_leaves_no_neighbours_of_one_kind(pieces: list[Piece]) -> None:
    result = joined(pieces)
    for kind in (Delta, Reasoning):
        assert text(result, kind) == text(pieces, kind)
    assert all(type(one) is not type(other) for one, other in pairwise(result))


@given(PIECES, st.integers(-1, 40))
def test_cutting_keeps_as_many_whole_characters_as_fit(pieces: list[Piece], room: int) -> None:
    every = "".join(piece.text for piece in pieces)
    kept = "".join(piece.text for piece in cut(pieces, room))
    assert every.startswith(kept)
    assert len(kept.encode()) <= max(0, room)
    assert kept == every or len(every[: len(kept) + 1].encode()) > room


def text(pieces: list[Piece], kind: type[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, kind))
