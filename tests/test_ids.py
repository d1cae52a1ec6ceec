"""Ids grow with time, also within a millisecond."""

import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from chat.models.ids import first_of, uuid7

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What the clock shows."""
    now = [MOMENT]
    monkeypatch.setattr(time, "time_ns", lambda: int(now[0].timestamp() * 1000) * 1_000_000)
    return now


def test_later_ids_are_greater_within_a_millisecond(now: list[datetime]) -> None:
    ids = [uuid7() for _ in range(1000)]
    assert all(one < other for one, other in pairwise(ids))
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert {one.int >> 80 for one in ids} == {first_of(MOMENT).int >> 80}


def test_ids_follow_the_clock(now: list[datetime]) -> None:
    first = uuid7()
    for moment in (MOMENT.replace(second=1), MOMENT):
        now[0] = moment
        assert uuid7().int >> 80 == first_of(moment).int >> 80
    assert first.int >> 80 == first_of(MOMENT).int >> 80


def test_nobody_guesses_an_id_from_the_one_before(now: list[datetime]) -> None:
    ids = [uuid7().int for _ in range(1000)]
    steps = {other - one for one, other in pairwise(ids)}
    assert len(steps) > 990
