"""What can happen to a reply.

A reply's log stores `Delta`, `Reasoning` and `End`, each under a `seq` that counts from 1 without a gap. A `Snapshot`
replaces everything up to its seq: at the start of the log of a resumed reply, and for a reader whose cursor is no
longer in the log. `Opened` and `Finished` go only from a model to the task that makes the reply.
"""

from collections.abc import Iterable
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
    """All of the reply up to and including `seq`."""

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
    """The model has begun to answer; `upstream_id` is its own id for the answer."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole."""

    finish_reason: str
    usage: dict[str, Any] | None


type Piece = Delta | Reasoning
type Entry = tuple[int, Piece | Snapshot | End]


def joined(pieces: list[Piece]) -> list[Piece]:
    """Return the same text in as few pieces as possible: neighbours of one kind become one."""
    return [kind("".join(piece.text for piece in group)) for kind, group in groupby(pieces, key=type)]


def size(pieces: Iterable[Piece]) -> int:
    """Return the length of the text in bytes of UTF-8."""
    return sum(len(piece.text.encode()) for piece in pieces)


def cut(pieces: list[Piece], room: int) -> list[Piece]:
    """Return the beginning of the pieces in at most `room` bytes, without half a character."""
    if size(pieces) <= room:
        return pieces
    fitting: list[Piece] = []
    for piece in pieces:
        data = piece.text.encode()
        if text := data[: max(0, room)].decode(errors="ignore"):
            fitting.append(type(piece)(text))
        room -= len(data)
    return fitting


def whole(pieces: list[Piece], seq: int) -> Snapshot:
    """Return all of a reply that the pieces make, up to and including `seq`."""
    text = "".join(piece.text for piece in pieces if isinstance(piece, Delta))
    reasoning = "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))
    return Snapshot(text, reasoning, seq)
