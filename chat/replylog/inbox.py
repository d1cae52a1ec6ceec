"""Fan-out: what reaches one reader of one reply."""

import asyncio

from chat.events import Entry

# A reader with more unread entries than this reads them from the store instead.
UNREAD = 1000


class Inbox:
    """Stored entries that one reader has not taken yet; entries up to `cursor` need not be brought to it."""

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self._entries: list[Entry] = []
        self._look = False
        self._changed = asyncio.Event()

    def put(self, entries: list[Entry]) -> None:
        fresh = [entry for entry in entries if entry[0] > self.cursor]
        if not fresh:
            return
        gap = fresh[-1][0] - self.cursor != len(fresh)
        overflow = len(self._entries) + len(fresh) > UNREAD
        # What the reader reads from the store itself goes at least up to here.
        self.cursor = fresh[-1][0]
        if gap or overflow:
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
        """The next entries after `after`; None when the reader must look for them in the store."""
        await self._changed.wait()
        self._changed.clear()
        entries = [entry for entry in self._entries if entry[0] > after]
        look = self._look
        self._entries.clear()
        self._look = False
        return None if look else entries
