"""Group commit: one task stores what all replies of the process have gathered."""

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from chat import metrics
from chat.database import AWAY
from chat.events import Entry, Outcome
from chat.tasks import spawn

logger = logging.getLogger(__name__)

# Seconds between two commits, a frame.
FRAME = 0.025
# Seconds by which each append of a commit makes the next frame longer, up to LONGEST_FRAME: the more replies there are,
# the more is gained by waking everybody less often, and the eye does not see the difference.
FRAME_PER_APPEND = 0.00025
LONGEST_FRAME = 0.1
# Turns of the event loop in which a released writer appends what has arrived: it asks for more, its connection is
# read, it is woken, and it appends.
TURNS = 4
# Seconds without work after which the task ends.
REST = 1.0


class Fenced(Exception):
    """Another attempt has claimed the reply: this one must write nothing more."""


class NotStored(Exception):
    """The store failed: the entries are not in the log, and their writer must not continue after the gap."""


class StoreAway(NotStored):
    """The database stayed away for longer than a commit waits. It may take the entries later."""


type Failure = type[Fenced] | type[NotStored]


@dataclass(slots=True, eq=False)
class Append:
    """Entries of one reply on their way into the store.

    With an `outcome` the reply ends: it is stored in the reply's row.
    """

    reply_id: UUID
    attempt: int
    entries: list[Entry]
    outcome: Outcome | None = None
    # The entries replace all that the log holds.
    restarts: bool = False
    # What the reply's row is to say of the entries, for a log that stores both at once.
    marks: Mapping[str, Any] | None = None
    # Whether the store has answered; then `failure` says why it does not have the entries.
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Failure | None = None


class Log(Protocol):
    async def store(self, appends: list[Append]) -> dict[UUID, Failure]:
        """Store what is not fenced, in one go; returns the replies that were not stored, and why."""

    def publish(self, reply_id: UUID, entries: list[Entry]) -> None:
        """Show readers what has been stored."""


class GroupCommit:
    """Gathers appends, stores them together, and only then publishes them: nothing is shown that is not stored.

    The first append after a pause is stored at once, the next ones a frame later.
    """

    def __init__(self, log: Log, threads: ThreadPoolExecutor) -> None:
        self._log = log
        self._threads = threads
        self._pending: list[Append] = []
        self._more = asyncio.Event()
        self._all_stored = asyncio.Event()
        self._all_stored.set()
        self._task: asyncio.Task[None] | None = None
        self._storing_since: float | None = None

    @property
    def storing_for(self) -> float:
        """How many seconds the commit in progress has taken so far; 0 between commits."""
        return 0.0 if self._storing_since is None else time.monotonic() - self._storing_since

    async def put(self, append: Append) -> None:
        self._pending.append(append)
        self._all_stored.clear()
        self._more.set()
        if self._task is None or self._task.done():
            self._task = spawn(self._run(), "group commit", self._threads)
        await append.answered.wait()
        if append.failure:
            raise append.failure

    async def flush(self) -> None:
        """Return when nothing waits to be stored."""
        await self._all_stored.wait()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while await self._has_more():
            began = loop.time()
            batch, self._pending = self._pending, []
            self._more.clear()
            self._storing_since = time.monotonic()
            await self._commit(batch)
            self._storing_since = None
            if not self._pending:
                self._all_stored.set()
            frame = min(FRAME + FRAME_PER_APPEND * len(batch), LONGEST_FRAME)
            await asyncio.sleep(max(0.0, began + frame - loop.time()))
            await _release(batch)

    async def _has_more(self) -> bool:
        try:
            async with asyncio.timeout(REST):
                await self._more.wait()
        except TimeoutError:
            pass
        return bool(self._pending)

    async def _commit(self, batch: list[Append]) -> None:
        try:
            with metrics.commit.time():
                failures = await self._log.store(batch)
        except Exception as error:
            logger.exception("%d appends could not be stored", len(batch))
            failure = StoreAway if isinstance(error, AWAY) else NotStored
            failures = {append.reply_id: failure for append in batch}
        metrics.stored.inc(sum(len(append.entries) for append in batch if append.reply_id not in failures))
        for append in batch:
            append.failure = failures.get(append.reply_id)
            if append.failure:
                append.answered.set()
            else:
                self._log.publish(append.reply_id, append.entries)


async def _release(batch: list[Append]) -> None:
    """Let the writers of a stored batch continue, and wait until they have appended what they already have.

    Releasing them right before the next commit gets the deltas that arrived during the frame into that commit. Released
    right after their own, they would append too early for some deltas, which would then wait for one more frame.
    """
    for append in batch:
        append.answered.set()
    for _ in range(TURNS):
        await asyncio.sleep(0)
