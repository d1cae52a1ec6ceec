"""Primary keys that grow with time, so that new rows land next to each other in an index.

https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7
"""

import secrets
import time
from datetime import datetime
from uuid import UUID


def uuid7() -> UUID:
    """A UUID of version 7: milliseconds since 1970, then 74 random bits.

    Python has it in its `uuid` module from 3.14 on.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | random >> 62 << 64 | 0b10 << 62 | random & (1 << 62) - 1)


def first_of(moment: datetime) -> UUID:
    """The lowest id that a row can have that was made at this moment or later."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
