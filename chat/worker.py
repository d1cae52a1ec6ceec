"""This process's part in making replies: which runs are in its hands, their leases, and the orphans it adopts.

A reply belongs to a process as long as its lease is renewed. Whoever claims it next raises `attempt`, and the process
finds itself fenced off with the next piece or the next renewal.
"""

import asyncio
import contextvars
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from chat import metrics
from chat.database import in_thread, retry_on_deadlock
from chat.generation import Run, close_endpoint
from chat.models import LEASE, Reply, ReplyQuerySet
from chat.replylog import log

logger = logging.getLogger(__name__)

# Leases are renewed and orphans looked for this often, in seconds.
BEAT = LEASE.total_seconds() / 6
# Ended replies leave the log every so many beats.
PURGE_BEATS = 60
# So many orphans are taken at a beat, so that a host that comes back is not buried under them.
TAKEN_AT_ONCE = 100


class Worker:
    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._runs: dict[UUID, Run] = {}
        self._slots = asyncio.Semaphore(settings.CHAT_PROCESS_RUNNING)
        self._expected = 0
        metrics.running.set_function(lambda: len(self._runs) - len(self._queued))
        metrics.queued.set_function(lambda: len(self._queued))
        self._keeping: asyncio.Task[None] | None = None
        self.draining = False
        self.log = log
        # When the database last took a beat, on the monotonic clock; None before it first has.
        self.last_beat: float | None = None

    @property
    def _queued(self) -> list[Run]:
        return [run for run in self._runs.values() if not run.begun.is_set()]

    @property
    def full(self) -> bool:
        """Whether as many replies are made and wait for their turn as may."""
        most = settings.CHAT_PROCESS_RUNNING + settings.CHAT_PROCESS_QUEUED
        return len(self._runs) + self._expected >= most

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Keep a place for a reply that is about to be stored."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1

    def start(self, reply_id: UUID, attempt: int) -> Run:
        """Make the reply in a task of this process; `attempt` is the one that its row shows."""
        self.keep()
        run = self._runs.get(reply_id)
        # If the process was asleep since the reply was stored, it may have been adopted already.
        if run is None or run.attempt != attempt:
            run = self._take(reply_id, attempt)
        if self.draining:
            # It was accepted when the process was about to end. Others find it when its lease has run out.
            run.drop()
        return run

    def holds(self, reply_id: UUID) -> bool:
        return reply_id in self._runs

    def _take(self, reply_id: UUID, attempt: int, adopted: bool = False) -> Run:
        run = self._runs[reply_id] = Run(self.name, self._slots, reply_id, attempt, adopted)
        run.task.add_done_callback(lambda _: self._forget(reply_id, run))
        return run

    def _forget(self, reply_id: UUID, run: Run) -> None:
        # A person may have let the reply go on before the task of its last run was through.
        if self._runs.get(reply_id) is run:
            del self._runs[reply_id]

    async def begins(self, reply_id: UUID, seconds: float) -> bool:
        """Whether the reply's turn comes in this process within some seconds."""
        run = self._runs.get(reply_id)
        if run is None:
            await asyncio.sleep(seconds)
            return False
        try:
            async with asyncio.timeout(seconds):
                return await run.begun.wait()
        except TimeoutError:
            return False

    async def stop(self, reply_id: UUID) -> None:
        """Return when the reply has ended, whoever was writing it; raises TimeoutError when it does not end."""
        for _ in range(3):
            attempt = await _running_attempt(reply_id)
            if attempt is None:
                return
            # If another process writes it, claiming it fences that one off, and it is ended here.
            run = self._runs.get(reply_id) or self._take(reply_id, attempt)
            run.stop()
            await asyncio.wait([run.task])
            # If it runs again by now, somebody has let it go on, and did not ask for a stop.
            if run.ended:
                return
        raise TimeoutError

    def keep(self) -> None:
        """Renew leases and adopt orphans from now on."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep(), context=contextvars.Context())

    async def drain(self) -> None:
        """Take no more replies, let the running ones end for a while, and give back those that have not."""
        self.draining = True
        # Others may have room for those that have not begun.
        await self._hand_over(self._queued)
        if self._runs:
            await asyncio.wait([run.task for run in self._runs.values()], timeout=settings.CHAT_DRAIN_SECONDS)
        await self._hand_over(list(self._runs.values()))
        await close_endpoint()

    async def _hand_over(self, runs: list[Run]) -> None:
        for run in runs:
            run.drop()
        if runs:
            await asyncio.wait([run.task for run in runs])
            await log.flush()
            try:
                await _give_back(self.name, {run.reply_id for run in runs})
            except DatabaseError:
                logger.exception("Replies could not be given back; their leases run out")

    async def _keep(self) -> None:
        for beat in count():
            try:
                await self._renew()
                await self._adopt()
                self.last_beat = time.monotonic()
                if beat % PURGE_BEATS == 0:
                    await log.purge()
            except Exception:
                logger.exception("Leases, orphans or ended replies could not be looked after")
            await asyncio.sleep(BEAT)

    async def _renew(self) -> None:
        # Those of this moment: a reply may end and go on in another run while the database is asked.
        runs = self._runs.copy()
        queued = {run.reply_id for run in self._queued}
        claimed = runs.keys() - queued
        for reply_id in await _renew(self.name, claimed, queued) if claimed or queued else ():
            runs[reply_id].drop()

    async def _adopt(self) -> None:
        if self.draining:
            return
        for reply_id, attempt, status in await _orphans():
            # What has begun is kept alive in any case; what waits in another process comes when there is room for it.
            begun = status == Reply.Status.STREAMING
            if reply_id not in self._runs and (begun or len(self._runs) < settings.CHAT_PROCESS_RUNNING):
                self._take(reply_id, attempt, adopted=begun)


@in_thread
def _running_attempt(reply_id: UUID) -> int | None:
    return Reply.objects.running().filter(pk=reply_id).values_list("attempt", flat=True).first()


@partial(in_thread, executor=ThreadPoolExecutor(max_workers=1, thread_name_prefix="leases"))
@retry_on_deadlock
@transaction.atomic
def _renew(worker: str, claimed: set[UUID], queued: set[UUID]) -> set[UUID]:
    """Renew the leases of what is claimed; returns what others have claimed.

    The leases of what waits here run out: who has room for it may have it.
    """
    held = _locked(Reply.objects.held_by(worker).filter(pk__in=claimed))
    Reply.objects.filter(pk__in=held).update(lease=Now() + LEASE)
    # The turn of some may have come since they were counted.
    waiting = Reply.objects.filter(_nobody_elses(worker), pk__in=queued)
    return (claimed | queued) - {*held, *waiting.values_list("pk", flat=True)}


@in_thread
@retry_on_deadlock
@transaction.atomic
def _give_back(worker: str, reply_ids: set[UUID]) -> None:
    """Let others claim these replies at once, unless somebody has done so."""
    mine = _locked(Reply.objects.running().filter(_nobody_elses(worker), pk__in=reply_ids))
    Reply.objects.filter(pk__in=mine).update(lease=Now())


def _locked(replies: ReplyQuerySet) -> list[UUID]:
    """Lock them in the order in which everybody does."""
    return list(replies.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))


def _nobody_elses(worker: str) -> Q:
    return Q(worker=worker) | Q(status=Reply.Status.QUEUED)


@in_thread
def _orphans() -> list[tuple[UUID, int, str]]:
    # What has begun comes before what is queued.
    orphans = Reply.objects.orphaned().order_by("-status", "lease")
    return list(orphans.values_list("pk", "attempt", "status")[:TAKEN_AT_ONCE])


worker = Worker()
