"""The task that makes one reply: wait for its turn, claim it, relay the model's pieces into the log, finish it."""

import asyncio
import contextvars
import logging
import traceback
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from chat import demo, metrics, sentences
from chat.completions import CompletionError, Endpoint, Event, Limits, TooLarge
from chat.database import in_thread
from chat.events import Delta, End, Error, Finished, Opened, Piece, Snapshot, cut
from chat.models import Message, Reply
from chat.replylog import NOTHING, Fenced, NotStored, PlaceLost, Unreachable, Writer, log

logger = logging.getLogger(__name__)

# The model is sent no message before this many.
LOOKED_AT = 1000

GO_ON = "Go on exactly where you stopped, in the middle of the word if need be. Repeat nothing and do not comment."

INTERRUPTED = Error("interrupted")
LOST = Error("lost")
BROKEN = Error("broken")


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

    def __init__(self, worker: str, slots: asyncio.Semaphore, reply_id: UUID, attempt: int, adopted: bool) -> None:
        self.reply_id = reply_id
        self._worker = worker
        self._slots = slots
        self.attempt = attempt
        self._adopted = adopted
        self._stopping = False
        self._dropped = False
        self._has_slot = False
        # What a stop or a drop cancels: the wait for a slot, then the relay.
        self._waiting: asyncio.Task[Any] | None = None
        self._upstream_id = ""
        self.begun = asyncio.Event()
        self.ended = False
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
        if self._waiting:
            self._waiting.cancel()

    async def _cancellable[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # In a task of its own: a stop cancels that and nothing else.
        self._waiting = task = asyncio.create_task(work)
        await asyncio.wait([task])
        return task

    async def _run(self) -> None:
        try:
            # A reply that has begun in another process is claimed at once, so that its readers hear of it.
            if not self._adopted:
                await self._take_slot()
            claim = await _claim(self._worker, self.reply_id, self.attempt) if not self._dropped else None
            if claim is not None:
                self.begun.set()
                self._ids["conversation"] = claim.reply.message.conversation_id
                metrics.taken_over.inc(self._adopted)
                await self._make(claim)
        except Fenced:
            self._logger.info("Reply %s is no longer this process's", self.reply_id)
        except Unreachable:
            # What is shown of it cannot be known now. The lease runs out, and whoever finds it then tries again.
            self._logger.warning("Reply %s has to wait: its log does not answer", self.reply_id)
        except Exception:
            # The lease runs out, and the sweep ends what this task could not.
            self._logger.exception("Reply %s could not be finished", self.reply_id)
        finally:
            # Whoever goes on with it, or has deleted it, is not heard here.
            log.nudge([self.reply_id])
            if self._has_slot:
                self._slots.release()

    async def _take_slot(self) -> None:
        """Wait until the process may make one more reply; it goes on without when the run is stopped or dropped."""
        if not (self._has_slot or self._stopping or self._dropped):
            self._has_slot = not (await self._cancellable(self._slots.acquire())).cancelled()

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
        await self._take_slot()
        relay = None if self._stopping or self._dropped else await self._cancellable(self._pump(claim, writer))
        if self._stopping:
            return End(Reply.Status.STOPPED)
        if relay is None or relay.cancelled():
            raise Fenced
        return relay.result()

    async def _pump(self, claim: Claim, writer: Writer) -> End:
        try:
            finished = await self._pour(claim, writer)
        except CompletionError as completion_error:
            error = Error(completion_error.code, completion_error.params)
            self._logger.warning("Reply %s: %s", self.reply_id, sentences.for_staff(error))
            failed = (completion_error.told and not claim.begun) or not writer.seq
            return End(Reply.Status.FAILED if failed else Reply.Status.INTERRUPTED, error=error)
        except Fenced:
            raise
        except NotStored:
            # All of it is still here, and the end stores it.
            return End(Reply.Status.INTERRUPTED, error=LOST)
        except Exception as error:  # noqa: BLE001 (the task's root)
            # Without its message, which may hold text of the reply or the endpoint's address.
            place = "".join(traceback.format_tb(error.__traceback__))
            self._logger.error("Reply %s broke: %s\n%s", self.reply_id, type(error).__name__, place)
            return End(Reply.Status.FAILED, error=BROKEN)
        return End(Reply.Status.COMPLETE, finished.finish_reason, finished.usage)

    async def _pour(self, claim: Claim, writer: Writer) -> Finished:
        """Put what the model writes into the log."""
        finished = Finished("", None)
        room = settings.CHAT_REPLY_BYTES - writer.size
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
                fitting, room = cut(pieces, room)
                if fitting:
                    await self._append(claim.reply, writer, fitting)
                if room < 0:
                    raise TooLarge
        return finished

    async def _append(self, reply: Reply, writer: Writer, pieces: list[Piece]) -> None:
        first = not writer.seq
        await writer.append(pieces)
        answers = reply.answered is None and any(isinstance(piece, Delta) for piece in pieces)
        if first:
            metrics.first_piece.observe((timezone.now() - reply.asked).total_seconds())
        if first or answers:
            with suppress(DatabaseError):
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


async def close_endpoint() -> None:
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
        fields |= {"error_code": end.error.code, "error_params": end.error.params}
    return reply.end(reply.attempt, whole.text, **fields)
