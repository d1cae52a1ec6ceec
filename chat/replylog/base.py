"""What every log does. A backend stores, reads and looks after the replies that other processes write."""

import asyncio
import contextvars
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

from chat.events import Delta, End, Entry, Piece, Reasoning, Snapshot, joined, whole
from chat.replylog.commit import Append, GroupCommit, Record
from chat.replylog.inbox import Inbox

logger = logging.getLogger(__name__)

# How often replies that another process writes are looked at, in seconds.
POLL = 0.25
# A reader to whom nothing has happened for this long looks into the store, in seconds.
IDLE = 15.0
# At most this many entries are read at once.
PAGE = 2000


NOTHING = Snapshot("", "", 0)


class PlaceLost(Exception):
    """The log does not hold what follows the place that a reader asked for."""


class Writer:
    """Appends to one reply's log on behalf of one attempt, after what `so_far` says is there."""

    def __init__(self, commit: GroupCommit, reply_id: UUID, attempt: int, so_far: Snapshot) -> None:
        self._commit = commit
        self._reply_id = reply_id
        self._attempt = attempt
        self._pieces: list[Piece] = [Reasoning(so_far.reasoning), Delta(so_far.text)]
        self.seq = so_far.seq

    async def append(self, pieces: list[Piece]) -> None:
        """Return when the pieces are stored; raises Fenced when the reply has been claimed by somebody else.

        Cancelling the wait does not take the pieces back.
        """
        pieces = joined(pieces)
        self._pieces += pieces
        await self._commit.put(self._append(pieces))

    async def end(self, end: End, record: Record) -> None:
        """Store the last event, and what `record` stores, together; raises Fenced like `append`."""
        append = self._append([end])
        append.record = partial(record, whole(self._pieces, self.seq))
        await self._commit.put(append)

    def _append(self, events: list[Piece] | list[End]) -> Append:
        entries: list[Entry] = list(enumerate(events, self.seq + 1))
        self.seq += len(entries)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return Append(self._reply_id, self._attempt, entries, stored)


class ReplyLog(ABC):
    def __init__(self) -> None:
        self._commit = GroupCommit(self._store, self._publish)
        self._inboxes: dict[UUID, set[Inbox]] = {}
        self._written_here: set[UUID] = set()
        self._tending: asyncio.Task[None] | None = None

    @contextmanager
    def writer(self, reply_id: UUID, attempt: int, so_far: Snapshot = NOTHING) -> Iterator[Writer]:
        """Write as `attempt`, after what is there already."""
        self._written_here.add(reply_id)
        try:
            yield Writer(self._commit, reply_id, attempt, so_far)
        finally:
            self._written_here.discard(reply_id)

    async def follow(self, reply_id: UUID, after: int) -> AsyncIterator[list[Entry]]:
        """All entries behind `after`, stored and to come, in order and once, up to and with the End.

        An empty list says that nothing has happened for a while. Raises PlaceLost.
        """
        # Subscribed before the store is read: what is stored in between arrives twice, not never.
        with self._subscribed(reply_id) as inbox:
            entries = await self.read(reply_id, after)
            while True:
                if entries:
                    after = inbox.place = entries[-1][0]
                yield entries
                if entries and isinstance(entries[-1][1], End):
                    return
                fresh = None if len(entries) >= PAGE else await inbox.take(after)
                entries = await self.read(reply_id, after) if fresh is None else fresh

    async def flush(self) -> None:
        """Return when all that was appended is stored."""
        await self._commit.flush()

    async def snapshot(self, reply_id: UUID) -> Snapshot:
        """All pieces that are stored now; raises PlaceLost when the reply is no longer in the log."""
        pieces: list[Piece] = []
        while entries := await self.read(reply_id, len(pieces)):
            pieces += [event for _, event in entries if not isinstance(event, End)]
            if isinstance(entries[-1][1], End):
                break
        return whole(pieces, len(pieces))

    @abstractmethod
    async def read(self, reply_id: UUID, after: int) -> list[Entry]:
        """The stored entries behind `after`, at most PAGE of them; raises PlaceLost."""

    @abstractmethod
    async def purge(self) -> None:
        """Forget the replies that ended some minutes ago."""

    @abstractmethod
    async def _store(self, appends: list[Append]) -> set[UUID]:
        """Store what is not fenced off, in one go; returns the replies that are."""

    @abstractmethod
    async def _poll(self, places: dict[UUID, int]) -> dict[UUID, list[Entry]]:
        """The entries behind each place, of replies that another process may be writing."""

    def _publish(self, reply_id: UUID, entries: list[Entry]) -> None:
        for inbox in self._inboxes.get(reply_id, ()):
            inbox.put(entries)

    @contextmanager
    def _subscribed(self, reply_id: UUID) -> Iterator[Inbox]:
        inbox = Inbox()
        self._inboxes.setdefault(reply_id, set()).add(inbox)
        if self._tending is None:
            # A fresh context, so that the loop does not borrow this request's thread.
            self._tending = asyncio.create_task(self._tend(), context=contextvars.Context())
        try:
            yield inbox
        finally:
            self._inboxes[reply_id].discard(inbox)
            if not self._inboxes[reply_id]:
                del self._inboxes[reply_id]

    async def _tend(self) -> None:
        """Bring the readers what other processes write, and wake those to whom nothing happens."""
        rounds = 0
        while self._inboxes:
            await asyncio.sleep(POLL)
            rounds += 1
            if rounds % round(IDLE / POLL) == 0:
                for inbox in [inbox for inboxes in self._inboxes.values() for inbox in inboxes]:
                    inbox.nudge()
            elsewhere = {
                reply_id: min(inbox.place for inbox in inboxes)
                for reply_id, inboxes in self._inboxes.items()
                if reply_id not in self._written_here
            }
            try:
                found = await self._poll(elsewhere) if elsewhere else {}
            except Exception:
                logger.exception("Could not look for what other processes have written")
                continue
            for reply_id, entries in found.items():
                self._publish(reply_id, entries)
        self._tending = None
