"""What can happen to a reply.

A reply's log stores `Delta`, `Reasoning` and `End`, each under a `seq` that counts from 1 without a gap. A `Snapshot`
replaces everything up to its seq: at the start of the log of a resumed reply, and for a reader whose cursor is no
longer in the log. `Opened` and `Finished` go only from a model to the task that writes the reply.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any


@dataclass(frozen=True, slots=True)
class Delta:
    """Text to append to the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text to append to the model's thinking, which comes before its answer: a delta too."""

    text: str


@dataclass(frozen=True, slots=True)
class Error:
    """Why a reply ended early, free of keys and addresses; `chat/sentences.py` puts it into words."""

    code: str
    params: dict[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class End:
    """The last event of every reply; `status` is one of the four final values of `Reply.Status`."""

    status: str
    finish_reason: str = ""
    usage: dict[str, Any] | None = None
    error: Error | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of the reply up to and including `seq`."""

    text: str
    reasoning: str
    seq: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is stored in the reply's row together with the End in its log."""

    end: End
    snapshot: Snapshot
    upstream_id: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The model has begun to answer; `upstream_id` is its own id for the answer."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete."""

    finish_reason: str
    usage: dict[str, Any] | None


type AnyDelta = Delta | Reasoning
type Entry = tuple[int, AnyDelta | Snapshot | End]


def joined(deltas: list[AnyDelta]) -> list[AnyDelta]:
    """Return the same text in as few deltas as possible: neighbours of one kind become one."""
    return [kind("".join(delta.text for delta in group)) for kind, group in groupby(deltas, key=type)]


def size(deltas: Iterable[AnyDelta]) -> int:
    """Return the length of the text in bytes of UTF-8."""
    return sum(len(delta.text.encode()) for delta in deltas)


def truncated(deltas: list[AnyDelta], room: int) -> list[AnyDelta]:
    """Return the beginning of the deltas in at most `room` bytes, without half a character."""
    if size(deltas) <= room:
        return deltas
    fitting: list[AnyDelta] = []
    for delta in deltas:
        data = delta.text.encode()
        if text := data[: max(0, room)].decode(errors="ignore"):
            fitting.append(type(delta)(text))
        room -= len(data)
    return fitting


def snapshot_of(deltas: list[AnyDelta], seq: int) -> Snapshot:
    """Return all of a reply that the deltas make, up to and including `seq`."""
    text = "".join(delta.text for delta in deltas if isinstance(delta, Delta))
    reasoning = "".join(delta.text for delta in deltas if isinstance(delta, Reasoning))
    return Snapshot(text, reasoning, seq)
