"""What can happen to a reply."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chat.events import AnyDelta, Delta, Reasoning, joined, truncated

DELTAS = st.lists(st.builds(Delta, st.text()) | st.builds(Reasoning, st.text()))


@given(DELTAS)
def test_joining_keeps_the_text_and_merges_neighbours_of_one_kind(deltas: list[AnyDelta]) -> None:
    result = joined(deltas)
    for kind in (Delta, Reasoning):
        assert text(result, kind) == text(deltas, kind)
    assert all(type(one) is not type(other) for one, other in pairwise(result))


@given(DELTAS, st.integers(-1, 40))
def test_cutting_keeps_all_whole_characters_that_fit(deltas: list[AnyDelta], room: int) -> None:
    every = "".join(delta.text for delta in deltas)
    kept = "".join(delta.text for delta in truncated(deltas, room))
    assert every.startswith(kept)
    assert len(kept.encode()) <= max(0, room)
    assert kept == every or len(every[: len(kept) + 1].encode()) > room


def text(deltas: list[AnyDelta], kind: type[AnyDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))
