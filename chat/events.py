"""What can happen to a reply.

`Delta`, `Reasoning` and `End` are stored in the reply's log, each under a `seq` that counts from 1 without a gap.
A `Snapshot` stands for all up to its seq: at the beginning of the log of a reply that goes on after its end, and on the
way to a reader whose place is no longer in the log. `Opened` and `Finished` pass only from a model to the task that
makes the reply.
"""

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any


@dataclass(frozen=True, slots=True)
class Delta:
    """Text to append to the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text to append to the model's thinking."""

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
    """All of the reply up to and with `seq`."""

    text: str
    reasoning: str
    seq: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the row of a reply gets together with the End in its log."""

    end: End
    whole: Snapshot
    upstream_id: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The model has begun to answer; `upstream_id` is its own name for the completion."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The model has said all it has to say."""

    finish_reason: str
    usage: dict[str, Any] | None


type Piece = Delta | Reasoning
type Entry = tuple[int, Piece | Snapshot | End]


def joined(pieces: list[Piece]) -> list[Piece]:
    """The same text in as few pieces as possible: neighbours of one kind become one."""
    return [kind("".join(piece.text for piece in group)) for kind, group in groupby(pieces, key=type)]


def cut(pieces: list[Piece], room: int) -> tuple[list[Piece], int]:
    """The beginning of the pieces, at most `room` bytes, and the bytes that are left: less than 0 if any is missing."""
    size = sum(len(piece.text.encode()) for piece in pieces)
    if size <= room:
        return pieces, room - size
    fitting: list[Piece] = []
    for piece in pieces:
        data = piece.text.encode()
        if text := data[: max(0, room)].decode(errors="ignore"):
            fitting.append(type(piece)(text))
        room -= len(data)
    return fitting, room


def whole(pieces: list[Piece], seq: int) -> Snapshot:
    """All of a reply that the pieces make, up to and with `seq`."""
    text = "".join(piece.text for piece in pieces if isinstance(piece, Delta))
    reasoning = "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))
    return Snapshot(text, reasoning, seq)
