"""Everything that lives as long as a server process: log of replies, models, runs, background tasks.

The process renews its row at each beat. As long as it does, the replies that it has claimed are its own; afterwards
any other process may claim them. Claiming a reply raises its `attempt`, and a process that was only asleep finds
itself fenced off with the next delta that it writes, or at its next beat.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, cast
from uuid import UUID

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import Error as DatabaseAway
from django.http import HttpRequest

from chat import exporting, metrics, queued, rules, temporary, trash
from chat.asking import ReplyRunning
from chat.catalog import Catalog
from chat.changes import Changes
from chat.database import DatabaseThreads, in_thread, retry_on_deadlock
from chat.generation import Resources, Run, State
from chat.jobs import Jobs, Work
from chat.lease import Lease
from chat.limits import OverLimit
from chat.models import Export, Job, QueuedQuestion, Reply, ServerProcess, User
from chat.rendering import Rendering
from chat.replylog import open_log
from chat.sessions import OpenSessions
from chat.shares import Shares
from chat.tasks import spawn
from chat.titling import Titling

type Scope = MutableMapping[str, Any]
type Application = Callable[[Scope, Any, Any], Awaitable[None]]

logger = logging.getLogger(__name__)

# Beats in the time of a lease: each renews it and looks for claimable replies.
BEATS = 6
# Ended replies leave the log every this many beats, conversations the trash, and temporary ones end.
PURGE_BEATS = 60
# Rules of queues are looked at every this many beats.
RULE_BEATS = 10
# At most this many replies are claimed per beat, so that a host that comes back is not overwhelmed.
CLAIMED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Options:
    """`lease` is how long the process may be silent, `drain` how long its replies may take when it ends."""

    lease: timedelta
    drain: timedelta
    running: int
    queued: int
    system_prompt: str
    prompt_chars: int
    reply_bytes: int
    title_model: str

    @classmethod
    def from_settings(cls) -> Self:
        return cls(
            lease=timedelta(seconds=settings.CHAT_LEASE_SECONDS),
            drain=timedelta(seconds=settings.CHAT_DRAIN_SECONDS),
            running=settings.CHAT_PROCESS_RUNNING,
            queued=settings.CHAT_PROCESS_QUEUED,
            system_prompt=settings.CHAT_SYSTEM_PROMPT,
            prompt_chars=settings.CHAT_HISTORY_CHARS,
            reply_bytes=settings.CHAT_REPLY_BYTES,
            title_model=settings.CHAT_TITLE_MODEL,
        )


class Process:
    """`config/asgi.py` makes one; two of them in one event loop, on one database, behave as two hosts."""

    def __init__(self, options: Options, redis_url: str, catalog: Catalog) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.options = options
        # Those of background tasks. Each may hold a connection: see DATABASE_POOL in the README.
        self.threads = DatabaseThreads(max_workers=2, thread_name_prefix="background")
        self.log = open_log(redis_url, self.threads)
        self.catalog = catalog
        self.rendering = Rendering(self.threads)
        self.shares = Shares()
        self.changes = Changes(self.threads)
        self.sessions = OpenSessions(self.threads)
        self.draining = False
        self.lease = Lease(self.name, options.lease)
        self._resources = Resources(
            process=self.name,
            threads=self.threads,
            log=self.log,
            catalog=catalog,
            slots=asyncio.Semaphore(options.running),
            has_lease=self.lease.held,
            system_prompt=options.system_prompt,
            prompt_chars=options.prompt_chars,
            reply_bytes=options.reply_bytes,
        )
        titling = Titling(catalog, options.title_model)
        work: dict[str, Work] = {
            Job.Kind.TITLE: titling.make,
            Job.Kind.FILL: in_thread(rules.fill),
            Job.Kind.EXPORT: exporting.make,
        }
        self.jobs = Jobs(self.name, work)
        self._runs: dict[UUID, Run] = {}
        self._reserved = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        # Set when there may be queued questions to be asked.
        self._look = asyncio.Event()
        # What else ends with the process.
        self._closing: list[Callable[[], None]] = []
        self._closed = False

    @classmethod
    def from_settings(cls) -> Self:
        return cls(Options.from_settings(), settings.REDIS_URL, Catalog.from_settings())

    def serving(self, application: Application) -> Application:
        """The ASGI application whose requests this process serves: `of` finds it by the request."""

        async def serve(scope: Scope, receive: Any, send: Any) -> None:
            await application({**scope, "process": self}, receive, send)

        return serve

    @staticmethod
    def of(request: HttpRequest) -> "Process":
        """The process that serves this request."""
        return cast("ASGIRequest", request).scope["process"]  # type: ignore[no-any-return]

    # Life

    def start(self) -> None:
        """Renew the lease and look for claimable replies from now on."""
        if self._tasks:
            return
        self.lease.begin()
        metrics.running.set_function(lambda: len(self._runs) - len(self._queued))
        metrics.queued.set_function(lambda: len(self._queued))
        self._tasks = [
            spawn(self._every(1, self.lease.renew), "lease", self.threads),
            spawn(self._every(1, self.reconcile), "reconcile", self.threads),
            spawn(self._every(1, self.ask_queued_questions, self._look), "queued questions", self.threads),
            spawn(self._every(1, self.claim_jobs, self.jobs.due), "jobs", self.threads),
            spawn(self._every(1, self.erase_temporary), "temporary conversations", self.threads),
            spawn(self._every(RULE_BEATS, in_thread(rules.add_jobs)), "rules of queues", self.threads),
            spawn(self._every(PURGE_BEATS, self._purge), "purge", self.threads),
        ]

    async def is_alone(self) -> bool:
        """Whether no other process is alive."""
        return await self.lease.is_only_one()

    async def drain(self) -> None:
        """Begin no more replies, give the running ones time to end, and hand over the rest.

        Questions are still stored, for other processes or this one's successor to answer.
        """
        self.draining = True
        # Other processes may have room for those that have not begun.
        await self._hand_over(self._queued)
        if tasks := [*(run.task for run in self._runs.values()), *self.jobs.tasks]:
            await asyncio.wait(tasks, timeout=self.options.drain.total_seconds())
        await self._leave()

    def closes(self, close: Callable[[], None]) -> None:
        """Call this too, at the end of `close`."""
        self._closing.append(close)

    async def close(self) -> None:
        """Close all that the process has opened, after its last request.

        Only Django's pool of connections stays, until the interpreter ends (chat/apps.py): threads may still have some.
        """
        if self._closed:
            return
        self.draining = self._closed = True
        await self._leave()
        self.jobs.close()
        self.lease.close()
        self.rendering.close()
        await self.catalog.aclose()
        await self.log.close()
        self.threads.shutdown(wait=False)
        # Nothing waits from here on, so that no request comes between.
        for close in self._closing:
            close()

    async def _leave(self) -> None:
        """Give back the lease, and with it all replies."""
        await self._hand_over(list(self._runs.values()))
        self.changes.close()
        self.sessions.close()
        if self._ending.is_set():
            return
        self._ending.set()
        self._look.set()
        self.jobs.due.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.options.lease.total_seconds())
        await self.log.flush()
        try:
            await self.jobs.hand_over()
            await self.lease.give_back()
        except DatabaseAway:
            logger.exception("The lease could not be given back, so it has to expire")

    # Replies

    @property
    def full(self) -> bool:
        """Whether no further reply may be queued."""
        return len(self._runs) + self._reserved >= self.options.running + self.options.queued

    @contextmanager
    def reserving(self) -> Iterator[None]:
        """Count a reply that is about to be stored as queued."""
        self._reserved += 1
        try:
            yield
        finally:
            self._reserved -= 1

    def queue(self, reply_id: UUID, attempt: int) -> Run:
        """Queue the stored reply for a slot of this process; `attempt` is the one that its row shows."""
        self.start()
        run = self._runs.get(reply_id)
        # If the process was asleep since the reply was stored, it may have claimed it already, as any process may.
        if run is None or run.attempt != attempt:
            run = self._run(reply_id, attempt)
        if self.draining:
            run.drop()
            spawn(self._hand_over([run]), "hand over", self.threads)
        return run

    def has(self, reply_id: UUID) -> bool:
        return reply_id in self._runs

    async def claims(self, reply_id: UUID, seconds: float) -> bool:
        """Whether this process claims the queued reply within some seconds."""
        run = self._runs.get(reply_id)
        if run is None:
            await asyncio.sleep(seconds)
            return False
        try:
            async with asyncio.timeout(seconds):
                return await run.claimed.wait()
        except TimeoutError:
            return False

    async def stop(self, reply_id: UUID) -> None:
        """Return when the reply has ended, whichever process writes it; raises TimeoutError when it does not end."""
        for _ in range(3):
            attempt = await _running_attempt(reply_id)
            if attempt is None:
                return
            # If another process writes it, claiming it fences that one off, and this one ends it.
            run = self._runs.get(reply_id) or self._run(reply_id, attempt)
            run.stop()
            await asyncio.wait([run.task])
            # If it runs again by now, somebody has resumed it, and did not ask for a stop.
            if run.state is State.ENDED:
                return
        raise TimeoutError

    def _run(self, reply_id: UUID, attempt: int, *, taking_over: bool = False) -> Run:
        run = self._runs[reply_id] = Run(self._resources, reply_id, attempt, taking_over=taking_over)
        run.task.add_done_callback(lambda _: self._forget(reply_id, run))
        return run

    def _forget(self, reply_id: UUID, run: Run) -> None:
        # A person may have resumed the reply before the task of its last run was done.
        if self._runs.get(reply_id) is run:
            del self._runs[reply_id]
        self.look_for_queued_questions()
        self.jobs.due.set()

    @property
    def _queued(self) -> list[Run]:
        return [run for run in self._runs.values() if run.state is State.QUEUED]

    async def _hand_over(self, runs: list[Run]) -> None:
        """Drop these runs, and let other processes claim their replies now."""
        for run in runs:
            run.drop()
        if not runs:
            return
        await asyncio.wait([run.task for run in runs])
        try:
            await _hand_over([run.reply_id for run in runs], self.options.lease)
        except DatabaseAway:
            logger.exception("Queued replies could not be handed over; other processes claim them after a lease")

    # At each beat

    async def _every(
        self, beats: int, work: Callable[[], Awaitable[None]], sooner: asyncio.Event | None = None
    ) -> None:
        """Do the work every this many beats, and whenever `sooner` is set, until the process ends."""
        seconds = beats * self.options.lease.total_seconds() / BEATS
        while not self._ending.is_set():
            if sooner:
                sooner.clear()
            try:
                await work()
            except Exception:
                logger.exception("Recurring work failed; it is repeated at a later beat")
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await (sooner or self._ending).wait()

    async def reconcile(self) -> None:
        """Bring runs and rows together, and claim what dead processes have left."""
        if self._runs or await _anything_runs():
            await self._compare()
            await self._claim_what_others_left()

    def look_for_queued_questions(self) -> None:
        """Ask them now, instead of at the next beat."""
        self._look.set()

    async def ask_queued_questions(self) -> None:
        """Ask what is queued after replies that are complete, as far as there is room."""
        over_limit: set[int] = set()
        for reply_id, person_id in [] if self.draining else await _complete():
            if self.draining or self.full:
                return
            if person_id in over_limit:
                continue
            try:
                with self.reserving():
                    reply = await _ask_queued(reply_id, self.model_for)
            except (OverLimit, ReplyRunning) as refusal:
                # It stays queued, and is tried again at the next beat.
                if isinstance(refusal, OverLimit):
                    over_limit.add(person_id)
                continue
            if reply:
                self.queue(reply.pk, reply.attempt)

    async def claim_jobs(self) -> None:
        """Begin the background work that is due, as far as there is room."""
        if self.lease.held.is_set() and not self.draining:
            await self.jobs.claim(take_over=self.lease.trusts_others)

    async def erase_temporary(self) -> None:
        """Erase the temporary conversations that have ended, the log first: it is found by their rows."""
        for pk, reply_ids in await in_thread(temporary.to_erase)():
            await self.log.forget(reply_ids)
            await in_thread(temporary.erase)(pk)

    def model_for(self, person: User, name: str) -> str:
        """The model that answers when this person has chosen one, which may be gone since."""
        return self.catalog.choose(person, name).name

    async def _purge(self) -> None:
        await self.log.purge()
        await _purge()
        await in_thread(temporary.end_forgotten)()
        expired = trash.expired()
        while not self._ending.is_set() and await in_thread(trash.erase_some)(expired):
            pass
        while not self._ending.is_set() and await in_thread(Export.objects.erase_some)():
            pass

    async def _compare(self) -> None:
        """Drop what other processes have claimed, and take over what a failed run of this one has left claimed.

        What is in the trash by now ends: nobody can see it any longer or stop it, and it costs money.
        """
        # Those of this moment: a reply may end and be resumed in another run while the database is asked.
        runs = [run for run in self._runs.values() if run.state in (State.QUEUED, State.CLAIMED)]
        queued = {run.reply_id for run in runs if run.state is State.QUEUED}
        claimed, waiting = await _ours(self.name, queued)
        deleted = await _deleted({run.reply_id for run in runs}) if runs else set()
        for run in runs:
            if run.reply_id not in claimed and run.reply_id not in waiting:
                run.drop()
            elif run.reply_id in deleted:
                run.discard()
        for reply_id, attempt in claimed.items():
            if reply_id not in self._runs and not self.draining:
                self._run(reply_id, attempt, taking_over=True)

    async def _claim_what_others_left(self) -> None:
        if self.draining:
            return
        for reply_id, attempt, status in await _claimable(self.options.lease):
            # What has begun is continued in any case; what is queued elsewhere is claimed when there is room for it.
            begun = status == Reply.Status.STREAMING
            if begun and not self.lease.trusts_others:
                continue
            if reply_id not in self._runs and (begun or len(self._runs) < self.options.running):
                self._run(reply_id, attempt, taking_over=begun)


@in_thread
def _running_attempt(reply_id: UUID) -> int | None:
    return Reply.objects.running().filter(pk=reply_id).values_list("attempt", flat=True).first()


@in_thread
def _anything_runs() -> bool:
    """Whether a reply is being written anywhere. An idle process asks no more: the rest takes eight times the CPU."""
    return Reply.objects.running().exists()


@in_thread
def _purge() -> None:
    ServerProcess.objects.purge()


@in_thread
def _ours(name: str, queued: set[UUID]) -> tuple[dict[UUID, int], set[UUID]]:
    """The replies that this process has claimed, with their attempts, and those of `queued` that nobody has."""
    # In this order: a reply may be claimed between the two queries, but is never queued again by that.
    waiting = set(Reply.objects.filter(status=Reply.Status.QUEUED, pk__in=queued).values_list("pk", flat=True))
    return dict(Reply.objects.claimed_by(name).values_list("pk", "attempt")), waiting


@in_thread
def _deleted(reply_ids: set[UUID]) -> set[UUID]:
    """Those of these replies whose conversations are in the trash."""
    in_trash = Reply.objects.filter(pk__in=reply_ids, message__conversation__trashed__isnull=False)
    return set(in_trash.values_list("pk", flat=True))


@in_thread
@retry_on_deadlock
def _hand_over(reply_ids: list[UUID], lease: timedelta) -> None:
    Reply.objects.filter(pk__in=reply_ids).hand_over(lease)


@in_thread
def _complete() -> list[tuple[UUID, int]]:
    """The replies after which there are questions to be asked, and whose they are."""
    if not QueuedQuestion.objects.there_are_some():
        return []
    # In any order, so that those of people who are over a limit do not keep out all others for ever.
    complete = Reply.objects.filter(pk__in=QueuedQuestion.objects.answers_due()).order_by("?")
    return list(complete.values_list("pk", "message__conversation__owner")[:CLAIMED_AT_ONCE])


@in_thread
@retry_on_deadlock
def _ask_queued(reply_id: UUID, model_for: Callable[[User, str], str]) -> Reply | None:
    return queued.ask(QueuedQuestion.objects.due().filter(after=reply_id), model_for)


@in_thread
def _claimable(lease: timedelta) -> list[tuple[UUID, int, str]]:
    # What has begun comes before what is queued.
    claimable = Reply.objects.claimable(lease).order_by("-status", "queued")
    return list(claimable.values_list("pk", "attempt", "status")[:CLAIMED_AT_ONCE])
