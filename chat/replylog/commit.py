"""Group commit: one writer a process stores what all its replies have gathered."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from chat import metrics
from chat.events import Entry, Outcome
from chat.tasks import spawn

logger = logging.getLogger(__name__)

# The writer commits at most once in this time, one frame, in seconds.
FRAME = 0.025
# Each append of a commit makes the wait for the next one longer by this, up to LONGEST_FRAME, in seconds: the more
# replies there are, the more is gained by waking everybody less often, and the eye does not see the difference.
FRAME_AN_APPEND = 0.00025
LONGEST_FRAME = 0.1
# The writer stays for more work for this long, in seconds.
LINGER = 1.0


class Fenced(Exception):
    """Another process has claimed the reply: this writer must write nothing any more."""


class NotStored(Exception):
    """The store failed: the entries are not in the log, and their writer must not go on behind the gap."""


type Failure = type[Fenced] | type[NotStored]


@dataclass(slots=True, eq=False)
class Append:
    """Entries of one reply on their way into the store; `stored` tells their writer how it went."""

    reply_id: UUID
    attempt: int
    entries: list[Entry]
    stored: asyncio.Future[None]
    outcome: Outcome | None = None
    # The entries take the place of all that the log holds.
    anew: bool = False


class GroupCommit:
    """Gathers appends, stores them together, and only then publishes them: nothing is shown that is not stored.

    `store` returns the replies of which nothing was stored, and why. The first append after a rest is stored at once,
    the next ones a frame later.
    """

    def __init__(
        self,
        store: Callable[[list[Append]], Awaitable[dict[UUID, Failure]]],
        publish: Callable[[UUID, list[Entry]], None],
    ) -> None:
        self._store = store
        self._publish = publish
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
            self._task = spawn(self._run(), "group commit")
        await append.stored

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
            frame = min(FRAME + FRAME_AN_APPEND * len(batch), LONGEST_FRAME)
            await asyncio.sleep(max(0.0, began + frame - loop.time()))
            # Only now do the writers go on: what has come in for them meanwhile is in the next commit with the sleep(0)
            # below. Had they gone on before the wait, it would be in the one after.
            for append in batch:
                if not append.stored.done():
                    append.stored.set_result(None)
            await asyncio.sleep(0)

    async def _has_more(self) -> bool:
        try:
            async with asyncio.timeout(LINGER):
                await self._more.wait()
        except TimeoutError:
            pass
        return bool(self._pending)

    async def _commit(self, batch: list[Append]) -> None:
        try:
            with metrics.commit.time():
                failures = await self._store(batch)
        except Exception:
            logger.exception("%d appends could not be stored", len(batch))
            failures = {append.reply_id: NotStored for append in batch}
        metrics.stored.inc(sum(len(append.entries) for append in batch if append.reply_id not in failures))
        for append in batch:
            failure = failures.get(append.reply_id)
            if failure is None:
                self._publish(append.reply_id, append.entries)
            elif not append.stored.done():
                append.stored.set_exception(failure())
