"""Background work: a process claims rows, does beside its replies what they say, and deletes them when that is done."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from chat.database import DatabaseThreads, in_thread, retry_on_deadlock, retry_while_away
from chat.models import Job
from chat.tasks import spawn

logger = logging.getLogger(__name__)

# A process does at most this many of a kind at the same time, so that none of them waits for those of another.
AT_ONCE = {Job.Kind.TITLE: 4, Job.Kind.FILL: 1, Job.Kind.EXPORT: 1}
# How long to wait after each failure. After one more, a job is given up.
PAUSES = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10))

# Does what a job says about its subject, and returns what stores the result, for the transaction that deletes the job.
# It is called again after a failure, or if its process has died.
type Work = Callable[[str], Awaitable[Callable[[], None]]]


class JobFailed(Exception):
    """The work did not succeed, for a reason outside of the code. It may later."""


class Jobs:
    """Those of one process. They have a thread of their own, so that no reply waits for one."""

    def __init__(self, process: str, work: Mapping[str, Work]) -> None:
        """`work` is by the kinds of jobs."""
        # Set when there may be some to be claimed.
        self.due = asyncio.Event()
        self._process = process
        self._work = work
        self._threads = DatabaseThreads(max_workers=1, thread_name_prefix="jobs")
        self._running: dict[Job, asyncio.Task[None]] = {}

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._running.values())

    async def claim(self, *, take_over: bool) -> None:
        """Begin what is due, as far as there is room; with `take_over` also what dead processes have left."""
        for job in await in_thread(self._claim, self._threads)(take_over=take_over):
            task = self._running[job] = spawn(self._do(job), str(job), self._threads)
            task.add_done_callback(lambda _, job=job: self._forget(job))  # type: ignore[misc]

    async def hand_over(self) -> None:
        """End those under way, and let other processes do them."""
        for task in self.tasks:
            task.cancel()
        if self._running:
            await asyncio.wait(self.tasks)
        await in_thread(Job.objects.filter(process=self._process).hand_over, self._threads)()

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    def _claim(self, *, take_over: bool) -> list[Job]:
        # At most beats there is nothing to do, and this is the cheapest way to know.
        if not Job.objects.some_are_due():
            return []
        doing = list(self._running)
        claimed: list[Job] = []
        # A newer version may have added kinds that this one does not know.
        for kind in self._work:
            room = AT_ONCE[Job.Kind(kind)] - sum(job.kind == kind for job in doing)
            free = Job.objects.claimable(self._process, kind, doing, take_over=take_over) if room > 0 else ()
            claimed += (job for each in free[:room] if (job := Job.objects.claim(each, self._process)))
        return claimed

    def _forget(self, job: Job) -> None:
        del self._running[job]
        # There is room for another one.
        self.due.set()

    async def _do(self, job: Job) -> None:
        if job.failures > len(PAUSES):
            # Its processes have died.
            await self._give_up(job)
            return
        try:
            store = await self._work[job.kind](job.subject)
            if not await _finish(job, store):
                logger.info("The %s is no longer this process's", job)
        except Exception as error:
            if isinstance(error, JobFailed):
                logger.warning("The %s failed: %s", job, error)
            else:
                logger.exception("The %s failed", job)
            if job.failures == len(PAUSES):
                await self._give_up(job)
            else:
                await in_thread(Job.objects.retry)(job, PAUSES[job.failures])

    async def _give_up(self, job: Job) -> None:
        logger.error("The %s is given up", job)
        await _finish(job, lambda: None)


@retry_while_away
@in_thread
@retry_on_deadlock
def _finish(job: Job, store: Callable[[], None]) -> bool:
    """Whether the result is stored; twice does no harm."""
    return Job.objects.finish(job, store)
