"""The task that makes a reply: claim it, relay the model's pieces into the log, finish it; and recover lost ones.

A reply belongs to this process as long as its lease is renewed. Whoever claims it next raises `attempt`, and this
process finds itself fenced off with the next piece or the next renewal.
"""

import asyncio
import contextvars
import logging
import os
import secrets
import socket
import traceback
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from chat import demo, metrics
from chat.completions import CompletionError, Endpoint, Event, Limits
from chat.database import in_thread
from chat.events import Delta, End, Error, Finished, Opened, Piece, Snapshot
from chat.models import LEASE, Message, Reply
from chat.replylog import NOTHING, Fenced, NotStored, PlaceLost, Unreachable, Writer, log

logger = logging.getLogger(__name__)

# Leases are renewed and orphans looked for this often, in seconds.
BEAT = LEASE.total_seconds() / 3
# Ended replies leave the log every so many beats.
PURGE_BEATS = 30
# So many orphans are taken at a beat, so that a host that comes back is not buried under them.
TAKEN_AT_ONCE = 100

# The model is sent no message before this many.
LOOKED_AT = 1000

GO_ON = "Go on exactly where you stopped, in the middle of the word if need be. Repeat nothing and do not comment."

INTERRUPTED = Error("interrupted", "The server was restarted while this reply was being written. Try again.")
LOST = Error("lost", "The server lost a part of its memory while this reply was being written. Try again.")
BROKEN = Error("broken", "Something went wrong on the server while this reply was being written. Try again.")


class Worker:
    """This process's part in making replies: the runs in its hands, their leases, and the orphans it adopts."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._runs: dict[UUID, Run] = {}
        metrics.running.set_function(self._runs.__len__)
        self._keeping: asyncio.Task[None] | None = None
        self.draining = False

    def start(self, reply_id: UUID, attempt: int = 0) -> "Run":
        """Make the reply in a task of this process; `attempt` is the one that its row shows."""
        self.keep()
        run = self._runs[reply_id] = Run(self.name, reply_id, attempt)
        run.task.add_done_callback(lambda _: self._forget(reply_id, run))
        return run

    def _forget(self, reply_id: UUID, run: "Run") -> None:
        # A person may have let the reply go on before the task of its last run was through.
        if self._runs.get(reply_id) is run:
            del self._runs[reply_id]

    async def stop(self, reply_id: UUID) -> None:
        """Return when the reply has ended, whoever was writing it; raises TimeoutError when it does not end."""
        for _ in range(3):
            attempt = await _running_attempt(reply_id)
            if attempt is None:
                return
            # If another process writes it, claiming it fences that one off, and it is ended here.
            run = self._runs.get(reply_id) or self.start(reply_id, attempt)
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
        if self._runs:
            await asyncio.wait([run.task for run in self._runs.values()], timeout=settings.CHAT_DRAIN_SECONDS)
        unfinished = list(self._runs.values())
        for run in unfinished:
            run.drop()
        if unfinished:
            await asyncio.wait([run.task for run in unfinished])
            await log.flush()
            await _give_back(self.name)
        await _close_endpoint()

    async def _keep(self) -> None:
        for beat in count():
            try:
                await self._renew()
                await self._adopt()
                if beat % PURGE_BEATS == 0:
                    await log.purge()
            except Exception:
                logger.exception("Leases, orphans or ended replies could not be looked after")
            await asyncio.sleep(BEAT)

    async def _renew(self) -> None:
        claimed = {reply_id for reply_id, run in self._runs.items() if run.claimed}
        for reply_id in await _renew(self.name, claimed) if claimed else ():
            if run := self._runs.get(reply_id):
                run.drop()

    async def _adopt(self) -> None:
        if self.draining:
            return
        for reply_id, attempt in await _orphans():
            if reply_id not in self._runs:
                self.start(reply_id, attempt).adopted = True


@dataclass(frozen=True, slots=True)
class Claim:
    """What a process needs to know of a reply it has just claimed."""

    reply: Reply
    messages: list[dict[str, str]]
    begun: bool = False

    def going_on(self, so_far: Snapshot) -> "Claim":
        """The same with the beginning of the answer, if there is one, to go on from."""
        if not so_far.text:
            return self
        begun = [{"role": str(Message.Role.ASSISTANT), "content": so_far.text}]
        if not _can_go_on(self.reply):
            # In a new turn, whose answer is joined to the text.
            begun.append({"role": str(Message.Role.USER), "content": GO_ON})
        return Claim(self.reply, self.messages + begun, begun=True)


class Run:
    """One reply in the hands of this process."""

    def __init__(self, worker: str, reply_id: UUID, attempt: int) -> None:
        self._worker = worker
        self._reply_id = reply_id
        self._attempt = attempt
        self._stopping = False
        self._dropped = False
        self._relaying: asyncio.Task[End] | None = None
        self._upstream_id = ""
        self.claimed = False
        self.ended = False
        self.adopted = False
        self._ids: dict[str, object] = {"reply": reply_id, "worker": worker}
        self._logger = logging.LoggerAdapter(logger, self._ids)
        # A fresh context: in the request's own, database calls would borrow its thread after it has ended.
        self.task = asyncio.create_task(self._run(), context=contextvars.Context())

    def stop(self) -> None:
        """End as stopped; the connection to the model closes at once."""
        self._stopping = True
        self._cancel()

    def drop(self) -> None:
        """Write no more, and leave the end to whoever claims the reply next."""
        self._dropped = True
        self._cancel()

    def _cancel(self) -> None:
        if self._relaying:
            self._relaying.cancel()

    async def _run(self) -> None:
        try:
            claim = await _claim(self._worker, self._reply_id, self._attempt)
            if claim is not None:
                self.claimed = True
                self._ids["conversation"] = claim.reply.message.conversation_id
                metrics.taken_over.inc(self.adopted)
                await self._make(claim)
        except Fenced:
            self._logger.info("Reply %s is no longer this process's", self._reply_id)
        except Unreachable:
            # What is shown of it cannot be known now. The lease runs out, and whoever finds it then tries again.
            self._logger.warning("Reply %s has to wait: its log does not answer", self._reply_id)
        except Exception:
            # The lease runs out, and the sweep ends what this task could not.
            self._logger.exception("Reply %s could not be finished", self._reply_id)

    async def _make(self, claim: Claim) -> None:
        reply = claim.reply
        so_far = await _so_far(reply)
        with log.writer(reply.pk, reply.attempt, so_far) as writer:
            # A person has asked it to go on after its end, and nothing has come yet.
            resumed = bool(reply.message.text) and so_far.seq <= reply.last_seq
            if resumed:
                so_far = Snapshot(reply.message.text, reply.reasoning, reply.last_seq)
                await writer.begin_anew(so_far)
            if self._stopping:
                end = End(Reply.Status.STOPPED)
            elif self._dropped:
                raise Fenced
            elif reply.attempt > 1 and reply.started and not so_far.seq:
                end = End(Reply.Status.INTERRUPTED, error=LOST)
            elif so_far.seq and not resumed and not (so_far.text and _can_go_on(reply)):
                end = End(Reply.Status.INTERRUPTED, error=INTERRUPTED)
            else:
                end = await self._relay(claim.going_on(so_far), writer)
            await writer.end(end, partial(_record, reply, self._upstream_id, end))
            self.ended = True
            metrics.ended.labels(end.status).inc()

    async def _relay(self, claim: Claim, writer: Writer) -> End:
        # In a task of its own: a stop cancels the relay and nothing else.
        self._relaying = asyncio.create_task(self._pump(claim, writer))
        await asyncio.wait([self._relaying])
        if self._stopping:
            return End(Reply.Status.STOPPED)
        if self._relaying.cancelled():
            raise Fenced
        return self._relaying.result()

    async def _pump(self, claim: Claim, writer: Writer) -> End:
        finished = Finished("", None)
        try:
            async with aclosing(_source(claim.reply.model, claim.messages)) as stream:
                async for events in stream:
                    pieces: list[Piece] = []
                    for event in events:
                        match event:
                            case Opened():
                                self._upstream_id = event.upstream_id
                            case Finished():
                                finished = event
                            case _:
                                pieces.append(event)
                    if pieces:
                        await self._append(claim.reply, writer, pieces)
        except CompletionError as error:
            self._logger.warning("Reply %s: %s", self._reply_id, error.code)
            failed = (error.told and not claim.begun) or not writer.seq
            return End(
                Reply.Status.FAILED if failed else Reply.Status.INTERRUPTED,
                error=Error(error.code, error.message),
            )
        except Fenced:
            raise
        except NotStored:
            # All of it is still here, and the end stores it.
            return End(Reply.Status.INTERRUPTED, error=LOST)
        except Exception as error:  # noqa: BLE001 (the task's root)
            # Without its message, which may hold text of the reply or the endpoint's address.
            place = "".join(traceback.format_tb(error.__traceback__))
            self._logger.error("Reply %s broke: %s\n%s", self._reply_id, type(error).__name__, place)
            return End(Reply.Status.FAILED, error=BROKEN)
        return End(Reply.Status.COMPLETE, finished.finish_reason, finished.usage)

    async def _append(self, reply: Reply, writer: Writer, pieces: list[Piece]) -> None:
        first = not writer.seq
        await writer.append(pieces)
        answers = reply.answered is None and any(isinstance(piece, Delta) for piece in pieces)
        if first:
            metrics.first_piece.observe((timezone.now() - reply.asked).total_seconds())
        if first or answers:
            await _mark(reply, first, answers)


def _source(model: str, messages: list[dict[str, str]]) -> AsyncGenerator[list[Event]]:
    if settings.CHAT_DEMO:
        return demo.stream(model, messages)
    return _endpoint().stream(model, messages, settings.CHAT_CONTINUE.get(model, "none"))


def _can_go_on(reply: Reply) -> bool:
    """Whether the model can be given the beginning of its answer."""
    return settings.CHAT_CONTINUE.get(reply.model, "none") != "none"


async def _so_far(reply: Reply) -> Snapshot:
    """What the log holds of a reply that has just been claimed, which has fenced off whoever wrote it before."""
    if reply.attempt == 1:
        return NOTHING
    try:
        return await log.fence(reply.pk, reply.attempt)
    except PlaceLost:
        return NOTHING


@cache
def _endpoint() -> Endpoint:
    limits = Limits(
        settings.CHAT_CONNECT_SECONDS,
        settings.CHAT_FIRST_PIECE_SECONDS,
        settings.CHAT_GAP_SECONDS,
        settings.CHAT_TOTAL_SECONDS,
    )
    return Endpoint(settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, limits)


async def _close_endpoint() -> None:
    if _endpoint.cache_info().currsize:
        await _endpoint().aclose()


def history(branch: list[Message], system_prompt: str, budget: int) -> list[dict[str, str]]:
    """The messages to send for a branch that ends with a question.

    The oldest are left out as long as there are more than `budget` characters, the question never.
    """
    messages = [{"role": message.role, "content": message.text} for message in branch if message.text]
    kept = messages[-1:]
    left = budget - len(system_prompt) - len(kept[0]["content"])
    for message in reversed(messages[:-1]):
        left -= len(message["content"])
        if left < 0:
            break
        kept.insert(0, message)
    # An answer without its question says nothing.
    if len(kept) < len(messages) and kept[0]["role"] == Message.Role.ASSISTANT:
        del kept[0]
    return [{"role": "system", "content": system_prompt}, *kept] if system_prompt else kept


@in_thread
def _claim(worker: str, reply_id: UUID, attempt: int) -> Claim | None:
    if not Reply.objects.claim(reply_id, attempt, worker):
        return None
    reply = Reply.objects.select_related("message__conversation").get(pk=reply_id)
    branch = reply.message.conversation.branch(reply.message.parent_id, last=LOOKED_AT)
    return Claim(reply, history(branch, settings.CHAT_SYSTEM_PROMPT, settings.CHAT_HISTORY_CHARS))


@in_thread
def _mark(reply: Reply, first: bool, answers: bool) -> None:
    """Store when the first piece and the first word of the answer came."""
    now = timezone.now()
    times = ({"started": now} if first else {}) | ({"answered": now} if answers else {})
    Reply.objects.filter(pk=reply.pk, attempt=reply.attempt).update(**times)
    if answers:
        reply.answered = now


def _record(reply: Reply, upstream_id: str, end: End, whole: Snapshot) -> bool:
    fields: dict[str, Any] = {
        "status": end.status,
        "finish_reason": end.finish_reason,
        "usage": end.usage,
        "upstream_id": upstream_id,
        "reasoning": whole.reasoning,
        "last_seq": whole.seq,
    }
    if end.error:
        fields |= {"error_code": end.error.code, "error_message": end.error.message}
    return reply.end(reply.attempt, whole.text, **fields)


@in_thread
def _running_attempt(reply_id: UUID) -> int | None:
    return Reply.objects.running().filter(pk=reply_id).values_list("attempt", flat=True).first()


@in_thread
def _renew(worker: str, reply_ids: set[UUID]) -> set[UUID]:
    """Renew the leases of these replies; returns those that the worker has lost."""
    held = Reply.objects.held_by(worker).filter(pk__in=reply_ids)
    held.update(lease=Now() + LEASE)
    return reply_ids - set(held.values_list("pk", flat=True))


@in_thread
def _give_back(worker: str) -> None:
    """Let others claim the worker's replies at once."""
    Reply.objects.held_by(worker).update(lease=Now())


@in_thread
def _orphans() -> list[tuple[UUID, int]]:
    return list(Reply.objects.orphaned().values_list("pk", "attempt")[:TAKEN_AT_ONCE])


worker = Worker()
