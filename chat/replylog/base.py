"""What all logs do. A backend stores entries, reads them, and finds those that other processes have written."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseAway

from chat.database import in_thread
from chat.events import AnyDelta, Delta, End, Entry, Outcome, Reasoning, Snapshot, joined, size, snapshot_of
from chat.models import Reply
from chat.replylog.commit import Append, Failure, GroupCommit, StoreAway
from chat.replylog.inbox import Inbox
from chat.tasks import spawn

logger = logging.getLogger(__name__)

# Seconds between two polls for what other processes have written.
POLL = 0.25
# Seconds between two checks which of their replies still run: the log does not hear of deletions.
LOOK = 2.0
# Seconds without news after which a reader looks into the store, and its stream gives a sign of life.
IDLE = 10.0
# Readers that reconnect within this time find the rest of a reply in its log; later ones get a snapshot.
LOG_KEPT = timedelta(minutes=10)
# At most this many entries are read at once.
PAGE = 2000


EMPTY = Snapshot("", "", 0)


class CursorLost(Exception):
    """The log does not hold what follows the reader's cursor."""


class LogUnreachable(Exception):
    """The store does not answer; it may later."""


class Writer:
    """Appends to one reply's log on behalf of one attempt, after `so_far`."""

    def __init__(self, commit: GroupCommit, ends: GroupCommit, reply_id: UUID, attempt: int, so_far: Snapshot) -> None:
        self._commit = commit
        self._ends = ends
        self._reply_id = reply_id
        self._attempt = attempt
        self._deltas: list[AnyDelta] = [Reasoning(so_far.reasoning), Delta(so_far.text)]
        self._last: Append | None = None
        self.seq = so_far.seq

    @property
    def size(self) -> int:
        """The length of the reply so far, in bytes."""
        return size(self._deltas)

    async def append(self, deltas: list[AnyDelta], marks: Mapping[str, Any] | None = None) -> None:
        """Return when the deltas are stored; raises Fenced when another attempt has claimed the reply, and NotStored.

        A log in the database stores `marks` with them, fields of the reply. Cancelling the wait does not take the
        deltas back.
        """
        deltas = joined(deltas)
        self._deltas += deltas
        append = self._append(deltas)
        append.marks = marks
        await self._commit.put(append)

    async def end(self, end: End, upstream_id: str = "") -> None:
        """Store the End together with the row of the reply; raises like `append`.

        After StoreAway it may be called again.
        """
        if self._last:
            # It is still on its way if its writer was cancelled, and the End comes after it.
            await self._last.answered.wait()
        append = self._append([end])
        append.outcome = Outcome(end, snapshot_of(self._deltas, self.seq), upstream_id)
        try:
            await self._ends.put(append)
        except StoreAway:
            # The next try has the same seq, in case only the answer to this one was lost.
            self.seq -= 1
            raise

    async def restart(self, kept: Snapshot) -> None:
        """Replace the log of a reply that is being resumed by what is kept of it; raises like `append`."""
        self._deltas = [Reasoning(kept.reasoning), Delta(kept.text)]
        self.seq = kept.seq - 1
        append = self._append([kept])
        append.restarts = True
        await self._commit.put(append)

    def _append(self, events: Sequence[AnyDelta | Snapshot | End]) -> Append:
        entries: list[Entry] = list(enumerate(events, self.seq + 1))
        self.seq += len(entries)
        self._last = Append(self._reply_id, self._attempt, entries)
        return self._last


class ReplyLog(ABC):
    # Seconds to wait before each `poll`; 0 where polling itself waits.
    poll_pause = POLL
    # Whether the entries can be lost while the database is not.
    can_be_lost = False

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        """`threads` are those in which background tasks use the database."""
        self._threads = threads
        self._commit = GroupCommit(self, threads)
        # Where ends are stored in another place, they go there by themselves, so that no delta waits for them.
        self._ends = self._commit
        self._inboxes: dict[UUID, set[Inbox]] = {}
        self._written_here: dict[UUID, Writer] = {}
        self._serving: asyncio.Task[None] | None = None

    @contextmanager
    def writer(self, reply_id: UUID, attempt: int, so_far: Snapshot = EMPTY) -> Iterator[Writer]:
        """Write as `attempt`, after what is there already."""
        writer = self._written_here[reply_id] = Writer(self._commit, self._ends, reply_id, attempt, so_far)
        try:
            yield writer
        finally:
            if self._written_here.get(reply_id) is writer:
                del self._written_here[reply_id]

    async def follow(self, reply_id: UUID, after: int) -> AsyncGenerator[list[Entry]]:
        """All entries after `after`, stored and to come, in order and once, up to and including the End.

        An empty list means that nothing has happened for a while, or that the reply no longer runs. Raises CursorLost
        and LogUnreachable.
        """
        # Subscribe before reading the store: what is stored in between arrives twice, not never.
        with self._subscribed(reply_id, after) as inbox:
            writer = self._written_here.get(reply_id)
            # Nothing is in the log of a reply that this process has just begun to write.
            begins = writer is not None and not (writer.seq or after)
            entries = await (self._next(inbox, reply_id, after) if begins else self.read(reply_id, after))
            while True:
                if entries:
                    after = entries[-1][0]
                    inbox.cursor = max(inbox.cursor, after)
                yield entries
                if entries and isinstance(entries[-1][1], End):
                    return
                full = len(entries) >= PAGE
                entries = await (self.read(reply_id, after) if full else self._next(inbox, reply_id, after))

    async def _next(self, inbox: Inbox, reply_id: UUID, after: int) -> list[Entry]:
        fresh = await inbox.take(after)
        return await self.read(reply_id, after) if fresh is None else fresh

    def nudge(self, reply_ids: Iterable[UUID]) -> None:
        """Make the readers of these replies look into the store."""
        for reply_id in reply_ids:
            for inbox in self._inboxes.get(reply_id, ()):
                inbox.nudge()

    async def flush(self) -> None:
        """Return when all that was appended is stored."""
        await self._commit.flush()
        await self._ends.flush()

    @property
    def storing_for(self) -> float:
        """How many seconds the commit in progress has taken so far; 0 between commits."""
        return max(self._commit.storing_for, self._ends.storing_for)

    async def close(self) -> None:
        """Stop serving readers, and close what the log has opened."""
        if self._serving:
            self._serving.cancel()
            # What it still does on its way out would connect again.
            await asyncio.wait([self._serving])

    async def snapshot(self, reply_id: UUID) -> Snapshot:
        """All that is stored now; raises CursorLost when the log has ended or is gone, and LogUnreachable."""
        deltas: list[AnyDelta] = []
        seq = 0
        while entries := await self.read(reply_id, seq):
            seq = entries[-1][0]
            for _, event in entries:
                if isinstance(event, End):
                    raise CursorLost
                if isinstance(event, Snapshot):
                    deltas = [Reasoning(event.reasoning), Delta(event.text)]
                else:
                    deltas.append(event)
        return snapshot_of(deltas, seq)

    async def fence(self, reply_id: UUID, attempt: int) -> Snapshot:
        """Keep earlier attempts from writing, and return all that they have written; raises as `snapshot` does.

        A store that compares the attempt at each write need do nothing else.
        """
        return await self.snapshot(reply_id)

    @abstractmethod
    async def read(self, reply_id: UUID, after: int) -> list[Entry]:
        """The stored entries after `after`, at most PAGE of them; raises CursorLost and LogUnreachable."""

    @abstractmethod
    async def check(self) -> None:
        """Raise LogUnreachable unless the store takes writes."""

    @abstractmethod
    async def hide_end(self, reply_id: UUID) -> None:
        """Hide the End of a reply that has been resumed; raises LogUnreachable."""

    @abstractmethod
    async def purge(self) -> None:
        """Forget the replies that ended some minutes ago."""

    @abstractmethod
    async def forget(self, reply_ids: Collection[UUID]) -> None:
        """Forget these replies, which have ended and are about to be deleted; raises LogUnreachable."""

    @abstractmethod
    async def store(self, appends: list[Append]) -> dict[UUID, Failure]:
        """Store what is not fenced, in one go; returns the replies that were not stored, and why.

        Storing the same appends again must do no harm.
        """

    @abstractmethod
    async def poll(self, cursors: dict[UUID, int]) -> dict[UUID, list[Entry]]:
        """The entries after each cursor, of replies that another process may be writing."""

    def publish(self, reply_id: UUID, entries: list[Entry]) -> None:
        """Bring stored entries to the reply's readers in this process; what they have already does no harm."""
        for inbox in self._inboxes.get(reply_id, ()):
            inbox.put(entries)

    @contextmanager
    def _subscribed(self, reply_id: UUID, after: int) -> Iterator[Inbox]:
        inbox = Inbox(after)
        self._inboxes.setdefault(reply_id, set()).add(inbox)
        if self._serving is None:
            self._serving = spawn(self._serve_readers(), "log reader", self._threads)
        try:
            yield inbox
        finally:
            self._inboxes[reply_id].discard(inbox)
            if not self._inboxes[reply_id]:
                del self._inboxes[reply_id]

    async def _serve_readers(self) -> None:
        """Bring readers what other processes write, and wake those that hear nothing."""
        loop = asyncio.get_running_loop()
        looked = nudged = loop.time()
        looking: asyncio.Task[None] | None = None
        while self._inboxes:
            await asyncio.sleep(self.poll_pause)
            if loop.time() - nudged > IDLE:
                nudged = loop.time()
                self.nudge(self._inboxes.keys())
            elsewhere = {
                reply_id: min(inbox.cursor for inbox in inboxes)
                for reply_id, inboxes in self._inboxes.items()
                if reply_id not in self._written_here
            }
            try:
                for reply_id, entries in (await self.poll(elsewhere)).items():
                    self.publish(reply_id, entries)
                if elsewhere and loop.time() - looked > LOOK and (looking is None or looking.done()):
                    looked = loop.time()
                    # Beside this: the database may be away while the log works.
                    looking = spawn(self._look_for_deletions(elsewhere.keys()), "look for deletions", self._threads)
            except Exception:
                logger.exception("Could not look for what other processes have written")
                # Each reader finds out for itself whether the store holds what follows its cursor, or answers at all.
                self.nudge(elsewhere.keys())
                await asyncio.sleep(POLL)
        self._serving = None

    async def _look_for_deletions(self, reply_ids: Set[UUID]) -> None:
        with suppress(DatabaseAway):
            self.nudge(reply_ids - await _running(reply_ids))


@in_thread
def _running(reply_ids: Set[UUID]) -> set[UUID]:
    return set(Reply.objects.running().filter(pk__in=reply_ids).values_list("pk", flat=True))
