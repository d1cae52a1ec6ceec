"""Fan-out: what reaches one reader of one reply."""

import asyncio

from chat.events import Entry

# A reader that is behind by more entries than this reads them from the store instead.
UNREAD = 1000


class Inbox:
    """Stored entries that one reader has not taken yet; `place` is the last seq that it has."""

    def __init__(self) -> None:
        self.place = 0
        self._entries: list[Entry] = []
        self._look = False
        self._changed = asyncio.Event()

    def put(self, entries: list[Entry]) -> None:
        if len(self._entries) + len(entries) > UNREAD:
            self.nudge()
        else:
            self._entries.extend(entries)
            self._changed.set()

    def nudge(self) -> None:
        """Make the reader look into the store."""
        self._entries.clear()
        self._look = True
        self._changed.set()

    async def take(self, after: int) -> list[Entry] | None:
        """The next entries, behind `after`; None when the reader has to look into the store for them."""
        await self._changed.wait()
        self._changed.clear()
        entries = [entry for entry in self._entries if entry[0] > after]
        look = self._look or (bool(entries) and entries[0][0] != after + 1)
        self._entries.clear()
        self._look = False
        return None if look else entries
