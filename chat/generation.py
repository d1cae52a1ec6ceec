"""Writes one reply: queue for a slot, claim it, relay what the model writes into the log, finish it."""

import asyncio
import logging
import traceback
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from django.utils import timezone

from chat import metrics, sentences
from chat.catalog import Catalog, Model
from chat.completions import CompletionError, Parameters, TooLarge
from chat.database import AWAY, in_thread, retry_while_away
from chat.events import AnyDelta, Delta, End, Error, Finished, Opened, Snapshot, size, truncated
from chat.live import DELETED
from chat.models import Message, Reply, tree
from chat.plan import Begin, Continue, Interrupt, Plan, Restore, Resume, plan
from chat.replylog import EMPTY, CursorLost, Fenced, LogUnreachable, NotStored, ReplyLog, StoreAway, Writer
from chat.tasks import spawn

logger = logging.getLogger(__name__)

# A prompt has at most this many messages.
PROMPT_MESSAGES = 1000

CONTINUE = "Continue exactly where you stopped, mid-word if need be. Repeat nothing and do not comment."

BROKEN = Error("broken")
STORAGE_FAILED = Error("storage_failed")


class State(Enum):
    """QUEUED waits for a slot; CLAIMING asks the database; CLAIMED is this process's; ENDED is stored."""

    QUEUED = "queued"
    CLAIMING = "claiming"
    CLAIMED = "claimed"
    ENDED = "ended"


class Order(Enum):
    """STOP ends the reply as stopped, DISCARD as deleted. DROP leaves its end to the process that claims it next."""

    STOP = "stop"
    DISCARD = "discard"
    DROP = "drop"


class Ordered(Exception):
    """The run was ordered to do something else."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What all runs of a process share."""

    process: str
    threads: ThreadPoolExecutor
    log: ReplyLog
    catalog: Catalog
    slots: asyncio.Semaphore
    # Whether the process has a lease.
    has_lease: asyncio.Event
    system_prompt: str
    prompt_chars: int
    reply_bytes: int


class Run:
    """What this process does about one reply, from the queue to the end.

    `attempt` is the one that the reply's row shows. A reply that is taken over is claimed at once, so that its readers
    hear of it; a queued one when there is a slot.
    """

    def __init__(self, resources: Resources, reply_id: UUID, attempt: int, *, taking_over: bool = False) -> None:
        self.reply_id = reply_id
        self.attempt = attempt
        self.state = State.CLAIMING if taking_over else State.QUEUED
        self.claimed = asyncio.Event()
        self._resources = resources
        self._log = resources.log
        self._taking_over = taking_over
        self._order: Order | None = None
        self._has_slot = False
        # What an order cancels.
        self._work: asyncio.Task[Any] | None = None
        # Whether it continues a reply after its end, and nothing has come yet.
        self._resumed = False
        self._upstream_id = ""
        self._ids: dict[str, object] = {"reply": reply_id, "server": resources.process}
        self._logger = logging.LoggerAdapter(logger, self._ids)
        self.task = spawn(self._run(), f"reply {reply_id}", resources.threads)

    def stop(self) -> None:
        """End as stopped; the connection to the model closes at once."""
        self._receive(Order.STOP)

    def discard(self) -> None:
        """End in the same way because the conversation is in the trash; its readers are told that it is deleted."""
        self._receive(Order.DISCARD)

    def drop(self) -> None:
        """Write no more, and leave the end to the process that claims the reply next."""
        self._receive(Order.DROP)

    def _receive(self, order: Order) -> None:
        # A reply that is no longer this process's cannot be stopped by it.
        if self._order is not Order.DROP:
            self._order = order
        if self._work:
            self._work.cancel()

    async def _unless_ordered[T](self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; raises Ordered as soon as there is an order."""
        if self._order:
            work.close()
            raise Ordered
        # In a task of its own, so that an order cancels this and nothing else.
        self._work = task = asyncio.create_task(work)
        await asyncio.wait([task])
        if task.cancelled():
            raise Ordered
        return task.result()

    async def _run(self) -> None:
        try:
            await self._claim_and_write()
        except Fenced:
            self._logger.info("Reply %s is no longer this process's", self.reply_id)
        except LogUnreachable:
            # What readers have seen of it is unknown. The process tries again at its next beat.
            self._logger.warning("Reply %s has to wait: its log does not answer", self.reply_id)
        except Exception:
            # The reply stays claimed. The process finds it without a run at its next beat, and takes it over.
            self._logger.exception("Reply %s could not be finished", self.reply_id)
        finally:
            # Another process may continue or delete the reply, and that is not published here.
            self._log.nudge([self.reply_id])
            if self._has_slot:
                self._resources.slots.release()

    async def _claim_and_write(self) -> None:
        with suppress(Ordered):
            if not self._taking_over:
                await self._take_slot()
            # Without a lease, the reply would be claimable again at once.
            await self._unless_ordered(self._resources.has_lease.wait())
        if self._order is Order.DROP:
            return
        self.state = State.CLAIMING
        claim = retry_while_away(_claim)
        reply = await claim(self.reply_id, self.attempt, self._resources.process)
        if reply is None:
            return
        self.state = State.CLAIMED
        self.claimed.set()
        self._ids["conversation"] = reply.message.conversation_id
        if self._taking_over:
            metrics.taken_over.inc()
        await self._write(reply)

    async def _take_slot(self) -> None:
        """Queue until the process has a slot; raises Ordered."""
        if not self._has_slot:
            await self._unless_ordered(self._resources.slots.acquire())
            self._has_slot = True

    async def _write(self, reply: Reply) -> None:
        model = self._resources.catalog.get(reply.model)
        so_far = await self._so_far(reply)
        kept = Snapshot(reply.message.text, reply.reasoning, reply.last_seq)
        todo = plan(
            kept,
            so_far,
            shown=reply.started is not None,
            more_shown=reply.more_shown,
            can_continue=model.continues,
        )
        with self._log.writer(reply.pk, reply.attempt, so_far) as writer:
            if isinstance(todo, Resume | Restore):
                await writer.restart(todo.kept)
            self._resumed = isinstance(todo, Resume)
            end = await self._carry_out(todo, reply, model, writer)
            await self._end(writer, end)
            self.state = State.ENDED
            metrics.ended.labels(end.status).inc()

    async def _end(self, writer: Writer, end: End) -> None:
        """Store the end, however long the database stays away; raises StoreAway when the run is to be dropped."""
        while True:
            try:
                return await writer.end(end, self._upstream_id)
            except StoreAway:
                if self._order is Order.DROP:
                    raise

    async def _so_far(self, reply: Reply) -> Snapshot:
        """What the log holds of the reply, after fencing off earlier attempts."""
        if reply.attempt == 1:
            return EMPTY
        try:
            return await self._log.fence(reply.pk, reply.attempt)
        except CursorLost:
            return EMPTY

    async def _carry_out(self, todo: Plan, reply: Reply, model: Model, writer: Writer) -> End:
        try:
            if isinstance(todo, Interrupt | Restore):
                if self._order:
                    raise Ordered
                return End(Reply.Status.INTERRUPTED, error=todo.error)
            await self._take_slot()
            return await self._unless_ordered(self._generate(todo, reply, model, writer))
        except Ordered:
            if self._order is Order.DROP:
                raise Fenced from None
            return DELETED if self._order is Order.DISCARD else End(Reply.Status.STOPPED)

    async def _generate(self, todo: Begin | Continue | Resume, reply: Reply, model: Model, writer: Writer) -> End:
        """Relay what the model writes, and say how that ended."""
        messages = await prompt(reply, self._resources.system_prompt, self._resources.prompt_chars)
        begun = _begun(todo)
        try:
            finished = await self._relay(model, [*messages, *_beginning(begun, model)], reply, writer)
        except CompletionError as completion_error:
            error = Error(completion_error.code, completion_error.params)
            self._logger.warning("Reply %s: %s", self.reply_id, sentences.for_staff(error))
            failed = (completion_error.told and not begun) or not writer.seq
            return End(Reply.Status.FAILED if failed else Reply.Status.INTERRUPTED, error=error)
        except (Fenced, *AWAY):
            # While the database is away, nothing can be said about the end. The process tries again at its next beat.
            raise
        except NotStored:
            # All of it is still in memory, and is stored with the end.
            return End(Reply.Status.INTERRUPTED, error=STORAGE_FAILED)
        except Exception as error:  # noqa: BLE001 (the root of the work)
            # Without its message, which may hold text of the reply or the endpoint's address.
            stack = "".join(traceback.format_tb(error.__traceback__))
            self._logger.error("Reply %s broke: %s\n%s", self.reply_id, type(error).__name__, stack)
            return End(Reply.Status.FAILED, error=BROKEN)
        return End(Reply.Status.COMPLETE, finished.finish_reason, finished.usage)

    async def _relay(self, model: Model, messages: list[dict[str, str]], reply: Reply, writer: Writer) -> Finished:
        """Put what the model writes into the log."""
        finished = Finished("", None)
        room = self._resources.reply_bytes - writer.size
        parameters = Parameters(reply.temperature, reply.max_tokens)
        async with aclosing(model.stream(messages, parameters)) as stream:
            async for events in stream:
                deltas: list[AnyDelta] = []
                for event in events:
                    match event:
                        case Opened():
                            self._upstream_id = event.upstream_id
                        case Finished():
                            finished = event
                        case _:
                            deltas.append(event)
                if fitting := truncated(deltas, room):
                    await self._append(reply, writer, fitting)
                room -= size(deltas)
                if room < 0:
                    raise TooLarge
        return finished

    async def _append(self, reply: Reply, writer: Writer, deltas: list[AnyDelta]) -> None:
        first = not writer.seq
        marks = self._marks(reply, deltas, first=first)
        if self._log.can_be_lost and marks:
            # Were the log lost, only the row would know that readers have seen something. So it knows before they do.
            await retry_while_away(_store_marks)(reply, marks)
            marks = {}
        await writer.append(deltas, marks)
        if first:
            metrics.first_piece.observe((timezone.now() - reply.asked).total_seconds())

    def _marks(self, reply: Reply, deltas: list[AnyDelta], *, first: bool) -> dict[str, Any]:
        """What the reply's row is to say of these deltas: what came first with them, and when."""
        marks: dict[str, Any] = {}
        if first:
            marks["started"] = timezone.now()
        if reply.answered is None and any(isinstance(delta, Delta) for delta in deltas):
            marks["answered"] = reply.answered = timezone.now()
        if self._resumed:
            marks["more_shown"] = True
            self._resumed = False
        return marks


def _begun(todo: Begin | Continue | Resume) -> str:
    """The beginning of the answer that the model is to continue."""
    match todo:
        case Begin():
            return ""
        case Continue(so_far):
            return so_far.text
        case Resume(kept):
            return kept.text


def _beginning(begun: str, model: Model) -> list[dict[str, str]]:
    """The messages that ask the model to continue the beginning of its answer."""
    if not begun:
        return []
    answer = {"role": str(Message.Role.ASSISTANT), "content": begun}
    if model.continues:
        return [answer]
    # In a new turn of the conversation; its answer is joined to the text.
    return [answer, {"role": str(Message.Role.USER), "content": CONTINUE}]


@in_thread
def _claim(reply_id: UUID, attempt: int, process: str) -> Reply | None:
    """The reply, claimed by this process; None if another process was quicker, or if it has ended."""
    if not Reply.objects.claim(reply_id, attempt, process):
        return None
    # This process may have slept since, for so long that another one has claimed the reply and written it: with the
    # attempt of that one, nothing would fence this one off.
    return Reply.objects.at_attempt(reply_id, attempt + 1)


async def prompt(reply: Reply, system: str, chars: int) -> list[dict[str, str]]:
    """The messages for the model up to the question, oldest first, within `chars` characters.

    `system`, the operator's, comes first, then the reply's instructions. Both count. The question is always included.
    """
    system = "\n\n".join(filter(None, [system, reply.instructions]))
    question = reply.message.parent_id
    texts = await in_thread(tree.texts)(question, chars - len(system), PROMPT_MESSAGES)
    messages = [{"role": role, "content": text} for role, text in texts if text]
    # An answer means nothing without its question.
    if messages[0]["role"] == Message.Role.ASSISTANT:
        del messages[0]
    return [{"role": "system", "content": system}, *messages] if system else messages


@in_thread
def _store_marks(reply: Reply, marks: dict[str, Any]) -> None:
    """Store when the first delta and the first word of the answer came, and that there is more than was resumed."""
    Reply.objects.mark(reply.pk, reply.attempt, marks)
