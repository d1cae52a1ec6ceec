"""Fan-out: what reaches one reader of one reply."""

import asyncio

from chat.events import Entry

# A reader that is behind by more entries than this reads them from the store instead.
UNREAD = 1000


class Inbox:
    """Stored entries that one reader has not taken yet; `place` is the last seq that need not be brought to it."""

    def __init__(self, place: int) -> None:
        self.place = place
        self._entries: list[Entry] = []
        self._look = False
        self._changed = asyncio.Event()

    def put(self, entries: list[Entry]) -> None:
        fresh = [entry for entry in entries if entry[0] > self.place]
        if not fresh:
            return
        gap = fresh[-1][0] - self.place != len(fresh)
        behind = gap or len(self._entries) + len(fresh) > UNREAD
        # What it reads from the store itself goes at least up to here.
        self.place = fresh[-1][0]
        if behind:
            self.nudge()
        else:
            self._entries.extend(fresh)
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
        look = self._look
        self._entries.clear()
        self._look = False
        return None if look else entries
