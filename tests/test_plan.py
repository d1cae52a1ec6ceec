"""What happens to a reply that has just been claimed, as a table."""

import pytest

from chat.events import Snapshot
from chat.plan import INTERRUPTED, LOST, Begin, Continue, Interrupt, Plan, Restore, Resume, plan

EMPTY = Snapshot("", "", 0)
THOUGHT = Snapshot("", "hm", 2)
TEXT = Snapshot("so far", "hm", 5)
# What the row of a reply has that a person has asked to continue after its end.
KEPT = Snapshot("so far", "hm", 6)
MORE = Snapshot("so far and on", "hm", 8)


@pytest.mark.parametrize("can_continue", [True, False])
@pytest.mark.parametrize(
    ("kept", "so_far", "shown", "expected", "without_continuing"),
    [
        pytest.param(EMPTY, EMPTY, False, Begin(), Begin(), id="new, or its process died before the first delta"),
        pytest.param(EMPTY, EMPTY, True, Interrupt(LOST), Interrupt(LOST), id="its log is lost"),
        pytest.param(EMPTY, THOUGHT, True, Interrupt(INTERRUPTED), Interrupt(INTERRUPTED), id="only reasoning"),
        pytest.param(EMPTY, TEXT, True, Continue(TEXT), Interrupt(INTERRUPTED), id="text"),
        pytest.param(EMPTY, TEXT, False, Continue(TEXT), Interrupt(INTERRUPTED), id="text, its mark not stored yet"),
        pytest.param(KEPT, EMPTY, True, Resume(KEPT), Resume(KEPT), id="resumed"),
        pytest.param(KEPT, KEPT, True, Resume(KEPT), Resume(KEPT), id="resumed, its process died before any more"),
        pytest.param(KEPT, MORE, True, Continue(MORE), Interrupt(INTERRUPTED), id="resumed, with more since"),
    ],
)
def test_a_claimed_reply(
    kept: Snapshot, so_far: Snapshot, shown: bool, expected: Plan, without_continuing: Plan, can_continue: bool
) -> None:
    decision = plan(kept, so_far, shown=shown, more_shown=False, can_continue=can_continue)
    assert decision == (expected if can_continue else without_continuing)


@pytest.mark.parametrize("can_continue", [True, False])
@pytest.mark.parametrize("so_far", [EMPTY, KEPT])
def test_a_resumed_reply_whose_log_lost_what_was_shown(so_far: Snapshot, can_continue: bool) -> None:
    """Other text under the same numbers would contradict what readers have."""
    assert plan(KEPT, so_far, shown=True, more_shown=True, can_continue=can_continue) == Restore(KEPT, LOST)
