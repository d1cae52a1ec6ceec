"""What every log does. A backend stores, reads and looks after the replies that other processes write."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from chat.events import Delta, End, Entry, Outcome, Piece, Reasoning, Snapshot, joined, whole
from chat.replylog.commit import Append, Failure, GroupCommit
from chat.replylog.inbox import Inbox
from chat.tasks import spawn

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


class Unreachable(Exception):
    """The store does not answer; it may later."""


class Writer:
    """Appends to one reply's log on behalf of one attempt, after what `so_far` says is there."""

    def __init__(self, commit: GroupCommit, reply_id: UUID, attempt: int, so_far: Snapshot) -> None:
        self._commit = commit
        self._reply_id = reply_id
        self._attempt = attempt
        self._pieces: list[Piece] = [Reasoning(so_far.reasoning), Delta(so_far.text)]
        self.seq = so_far.seq

    @property
    def size(self) -> int:
        """How long the reply is so far, in bytes."""
        return sum(len(piece.text.encode()) for piece in self._pieces)

    async def append(self, pieces: list[Piece]) -> None:
        """Return when the pieces are stored; raises Fenced when the reply has been claimed by somebody else.

        Cancelling the wait does not take the pieces back.
        """
        pieces = joined(pieces)
        self._pieces += pieces
        await self._commit.put(self._append(pieces))

    async def end(self, end: End, upstream_id: str = "") -> None:
        """Store the End together with the row of the reply; raises Fenced like `append`."""
        append = self._append([end])
        append.outcome = Outcome(end, whole(self._pieces, self.seq), upstream_id)
        await self._commit.put(append)

    async def begin_anew(self, kept: Snapshot) -> None:
        """Put what is kept of a reply that has ended in the place of its log, to write on behind it."""
        self._pieces = [Reasoning(kept.reasoning), Delta(kept.text)]
        self.seq = kept.seq - 1
        append = self._append([kept])
        append.anew = True
        await self._commit.put(append)

    def _append(self, events: Sequence[Piece | Snapshot | End]) -> Append:
        entries: list[Entry] = list(enumerate(events, self.seq + 1))
        self.seq += len(entries)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return Append(self._reply_id, self._attempt, entries, stored)


class ReplyLog(ABC):
    # The wait before each look at what other processes have written, in seconds; 0 where the look itself waits.
    poll_pause = POLL

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

    async def follow(self, reply_id: UUID, after: int) -> AsyncGenerator[list[Entry]]:
        """All entries behind `after`, stored and to come, in order and once, up to and with the End.

        An empty list says that nothing has happened for a while. Raises PlaceLost and Unreachable.
        """
        # Subscribed before the store is read: what is stored in between arrives twice, not never.
        with self._subscribed(reply_id, after) as inbox:
            entries = await self.read(reply_id, after)
            while True:
                if entries:
                    after = entries[-1][0]
                    inbox.place = max(inbox.place, after)
                yield entries
                if entries and isinstance(entries[-1][1], End):
                    return
                fresh = None if len(entries) >= PAGE else await inbox.take(after)
                entries = await self.read(reply_id, after) if fresh is None else fresh

    async def flush(self) -> None:
        """Return when all that was appended is stored."""
        await self._commit.flush()

    @property
    def storing_for(self) -> float:
        """How many seconds the commit in progress has taken so far; 0 between commits."""
        return self._commit.storing_for

    async def close(self) -> None:
        """Bring readers nothing more, and give back what the log holds open."""
        if self._tending:
            self._tending.cancel()

    async def snapshot(self, reply_id: UUID) -> Snapshot:
        """All pieces that are stored now; raises PlaceLost when the log has ended or is gone."""
        pieces: list[Piece] = []
        seq = 0
        while entries := await self.read(reply_id, seq):
            seq = entries[-1][0]
            for _, event in entries:
                if isinstance(event, End):
                    raise PlaceLost
                if isinstance(event, Snapshot):
                    pieces = [Reasoning(event.reasoning), Delta(event.text)]
                else:
                    pieces.append(event)
        return whole(pieces, seq)

    async def fence(self, reply_id: UUID, attempt: int) -> Snapshot:
        """Keep earlier attempts from writing, and return all that they have written; raises as `snapshot` does.

        A store that looks at the attempt with each write has nothing to do for it.
        """
        return await self.snapshot(reply_id)

    @abstractmethod
    async def read(self, reply_id: UUID, after: int) -> list[Entry]:
        """The stored entries behind `after`, at most PAGE of them; raises PlaceLost and Unreachable."""

    @abstractmethod
    async def check(self) -> None:
        """Raise Unreachable unless the store takes writes."""

    @abstractmethod
    async def reopen(self, reply_id: UUID) -> None:
        """Let no reader find the end of a reply that goes on behind it; raises Unreachable."""

    @abstractmethod
    async def purge(self) -> None:
        """Forget the replies that ended some minutes ago."""

    @abstractmethod
    async def _store(self, appends: list[Append]) -> dict[UUID, Failure]:
        """Store what is not fenced off, in one go; returns the replies of which nothing was stored, and why."""

    @abstractmethod
    async def _poll(self, places: dict[UUID, int]) -> dict[UUID, list[Entry]]:
        """The entries behind each place, of replies that another process may be writing."""

    def _publish(self, reply_id: UUID, entries: list[Entry]) -> None:
        for inbox in self._inboxes.get(reply_id, ()):
            inbox.put(entries)

    @contextmanager
    def _subscribed(self, reply_id: UUID, after: int) -> Iterator[Inbox]:
        inbox = Inbox(after)
        self._inboxes.setdefault(reply_id, set()).add(inbox)
        if self._tending is None:
            self._tending = spawn(self._tend(), "log reader")
        try:
            yield inbox
        finally:
            self._inboxes[reply_id].discard(inbox)
            if not self._inboxes[reply_id]:
                del self._inboxes[reply_id]

    async def _tend(self) -> None:
        """Bring the readers what other processes write, and wake those to whom nothing happens."""
        loop = asyncio.get_running_loop()
        nudged = loop.time()
        while self._inboxes:
            await asyncio.sleep(self.poll_pause)
            if loop.time() - nudged > IDLE:
                nudged = loop.time()
                self.nudge(self._inboxes.keys())
            elsewhere = {
                reply_id: min(inbox.place for inbox in inboxes)
                for reply_id, inboxes in self._inboxes.items()
                if reply_id not in self._written_here
            }
            try:
                found = await self._poll(elsewhere)
            except Exception:
                logger.exception("Could not look for what other processes have written")
                # Each reader finds out for itself whether the store holds its place, or answers at all.
                self.nudge(elsewhere.keys())
                await asyncio.sleep(POLL)
                continue
            for reply_id, entries in found.items():
                self._publish(reply_id, entries)
        self._tending = None

    def nudge(self, reply_ids: Iterable[UUID]) -> None:
        """Make the readers of these replies look into the store."""
        for reply_id in reply_ids:
            for inbox in self._inboxes.get(reply_id, ()):
                inbox.nudge()
