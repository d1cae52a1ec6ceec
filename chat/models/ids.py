"""Primary keys that grow with time, so that new rows land next to each other in an index.

https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7
"""

import secrets
import time
from datetime import datetime
from threading import Lock
from uuid import UUID


class Sequence:
    """The milliseconds and random bits of one id after the other. Within a millisecond they grow."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = 0

    def next(self) -> int:
        bits = time.time_ns() // 1_000_000 << 74 | secrets.randbits(74)
        with self._lock:
            if bits <= self._last and bits >> 74 == self._last >> 74:
                bits = self._last + 1 + secrets.randbits(32)
            self._last = bits
        return bits


_sequence = Sequence()


def uuid7() -> UUID:
    """A UUID of version 7: milliseconds since 1970, then 74 random bits. Those of a process grow within each of them.

    Python has it in its `uuid` module from 3.14 on.
    """
    bits = _sequence.next()
    return UUID(int=bits >> 74 << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64 | 0b10 << 62 | bits & (1 << 62) - 1)


def first_of(moment: datetime) -> UUID:
    """The lowest id that a row can have that was made at this moment or later."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
