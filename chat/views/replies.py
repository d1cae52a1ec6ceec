"""One reply: its stream of events, its stop, its second try, and the message as the server renders it."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict
from itertools import groupby
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseRedirectBase
from django.shortcuts import aget_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from chat import metrics, sentences, sse
from chat.database import in_thread
from chat.events import Delta, End, Entry, Error, Snapshot
from chat.forms import offered
from chat.live import read_live
from chat.models import Conversation, Message, OverLimit, Reply, ReplyRunning
from chat.replylog import PlaceLost, Unreachable, log
from chat.views.problems import Refusal, SignedInRequest, problem, signed_in, wants_json
from chat.worker import worker

logger = logging.getLogger(__name__)

# The browser waits this long before it comes back by itself, in milliseconds.
RETRY = 2000
# Seqs are stored as positive 32-bit integers.
LARGEST_SEQ = 2**31 - 1
# A place in a line is looked at this often, in seconds.
LINE_LOOK = 2.0
# In so many seconds some replies will have ended.
BUSY_RETRY = 5
GONE = End(Reply.Status.INTERRUPTED, error=Error("deleted"))


class SeeOther(HttpResponseRedirectBase):
    """The answer to a form: whatever its method was, go and get that page."""

    status_code = 303


@require_GET
@signed_in
async def reply(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """The reply's message as a fragment of a page."""
    reply = await _get(request, pk)
    message = reply.message
    await read_live([message])
    return await in_thread(_render_message)(request, message)


@require_GET
@signed_in
async def reply_events(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """The reply's events behind `Last-Event-ID`, else `after`, from its log and as they come."""
    reply = await _get(request, pk)
    after = request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"
    if not (after.isascii() and after.isdecimal() and len(after) <= 10 and int(after) <= LARGEST_SEQ):
        return problem(request, 400, "bad_after", "The place to go on from must be a number. Reload the page.")
    return event_stream(reply, int(after))


@require_POST
@signed_in
async def stop(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Answers once the reply has ended."""
    reply = await _get(request, pk)
    await stop_reply(reply.pk)
    if not wants_json(request):
        return SeeOther(_place_of(reply))
    await reply.arefresh_from_db(fields=["status"])
    return JsonResponse({"status": reply.status})


@require_POST
@signed_in
async def retry(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Ask the same question again; the new answer stands beside the old one."""
    reply = await _get(request, pk)
    conversation = reply.message.conversation
    with granting():
        second = await in_thread(conversation.retry)(reply, offered(reply.model))
    return accepted(request, conversation, reply.message.parent_id, second)


@require_POST
@signed_in
async def resume(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Go on with a reply that broke off, in the same message."""
    reply = await _get(request, pk)
    with granting():
        if not await in_thread(reply.resume)(offered(reply.model)):
            sentence = "This reply cannot be continued: it runs, or is complete, or the conversation has gone on."
            raise Refusal(409, "not_resumable", f"{sentence} Reload the page.")
        with suppress(Unreachable):
            # No reader shall find the old end there. Who writes the reply begins the log anew in any case.
            await log.reopen(reply.pk)
    return accepted(request, reply.message.conversation, reply.message.parent_id, reply)


@contextmanager
def granting() -> Iterator[None]:
    """Stands around what stores a new reply, and says in a Refusal why there shall be none."""
    if worker.draining:
        sentence = "The server is about to restart. Ask again in a few seconds; your text is kept."
        raise Refusal(503, "draining", sentence, settings.CHAT_DRAIN_SECONDS or 1)
    if worker.full:
        sentence = "The server has more to do than it can. Ask again in a few seconds; your text is kept."
        raise Refusal(503, "busy", sentence, BUSY_RETRY)
    try:
        with worker.expecting():
            yield
    except ReplyRunning:
        sentence = "The reply before is still being written. Wait for its end, or stop it first."
        raise Refusal(409, "reply_running", sentence) from None
    except OverLimit as limit:
        raise Refusal(429, limit.code, str(limit), limit.retry_after) from None


async def stop_reply(reply_id: UUID) -> None:
    """Return once the reply has ended."""
    try:
        await worker.stop(reply_id)
    except TimeoutError:
        raise Refusal(503, "not_stopped", "The reply could not be stopped. Try again.") from None


def accepted(
    request: HttpRequest, conversation: Conversation, message_id: UUID | None, reply: Reply
) -> HttpResponseBase:
    """Start the stored reply and answer in the form that the client asked for."""
    worker.start(reply.pk, reply.attempt)
    kind = request.get_preferred_type(["text/html", "application/json", "text/event-stream"])
    if kind not in ("application/json", "text/event-stream"):
        return SeeOther(_place_of(reply))
    started = {
        "conversation": {"id": str(conversation.pk), "url": conversation.get_absolute_url()},
        "message": {"id": str(message_id)},
        "reply": {
            "id": str(reply.pk),
            "url": reverse("reply", args=[reply.pk]),
            "events_url": reverse("reply_events", args=[reply.pk]),
            "stop_url": reverse("stop", args=[reply.pk]),
        },
    }
    if kind == "application/json":
        return JsonResponse(started, status=201)
    return event_stream(reply, 0, sse.encode("reply", json.dumps(started)))


def _place_of(reply: Reply) -> str:
    """The address of the reply's message on its page."""
    return f"{reply.message.conversation.get_absolute_url()}#message-{reply.pk}"


def event_stream(reply: Reply, after: int, first: bytes = b"") -> StreamingHttpResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(_stream(reply, after, first), content_type="text/event-stream", headers=headers)


async def _stream(reply: Reply, after: int, first: bytes) -> AsyncIterator[bytes]:
    yield sse.retry(RETRY) + first
    try:
        with metrics.readers.track_inprogress():
            if reply.status == Reply.Status.QUEUED:
                async for block in _line(reply):
                    yield block
            async for block in _events(reply.pk, after):
                yield block
    except Unreachable:
        logger.warning("The stream of reply %s broke off: its log does not answer", reply.pk, extra={"reply": reply.pk})
    except Exception:
        # Daphne leaves the connection open when a stream raises. Ended, it makes the reader come back.
        logger.exception("The stream of reply %s broke", reply.pk, extra={"reply": reply.pk})


async def _line(reply: Reply) -> AsyncIterator[bytes]:
    """Say that the reply waits for its turn, until that comes; nothing if it comes at once."""
    told = False
    while not await worker.begins(reply.pk, LINE_LOOK if told or not reply.waits_in_line else 0):
        # Only the row tells what others do with it.
        if not worker.holds(reply.pk) and await _status(reply.pk) != Reply.Status.QUEUED:
            break
        yield sse.encode("status", _json({"status": "queued"}))
        told = True
    if told:
        yield sse.encode("status", _json({"status": "streaming"}))


async def _events(reply_id: UUID, after: int) -> AsyncIterator[bytes]:
    while True:
        try:
            async with aclosing(log.follow(reply_id, after)) as news:
                async for entries in news:
                    if not entries and await _status(reply_id) not in Reply.RUNNING:
                        # The log was lost before it heard of the end.
                        raise PlaceLost
                    yield _encode(entries) if entries else sse.comment()
            return
        except (PlaceLost, Unreachable):
            snapshot, end = await _whole(reply_id)
        if snapshot:
            after = snapshot.seq
            yield sse.encode("snapshot", _json(asdict(snapshot)))
        if end:
            yield _encode_end(end, after)
            return


@in_thread
def _status(reply_id: UUID) -> str | None:
    return Reply.objects.filter(pk=reply_id).values_list("status", flat=True).first()


def _encode(entries: list[Entry]) -> bytes:
    """The entries as events. What a reader has missed comes in few of them, each under the last seq that it covers."""
    blocks: list[bytes] = []
    for kind, group in groupby(entries, key=lambda entry: type(entry[1])):
        run = list(group)
        seq, last = run[-1]
        if isinstance(last, End):
            blocks.append(_encode_end(last, seq))
        elif isinstance(last, Snapshot):
            blocks.append(sse.encode("snapshot", _json(asdict(last))))
        else:
            text = "".join(event.text for _, event in run if not isinstance(event, End))
            blocks.append(sse.encode("delta" if kind is Delta else "reasoning", _json({"text": text}), seq))
    return b"".join(blocks)


def _encode_end(end: End, seq: int) -> bytes:
    error = {"code": end.error.code, "message": sentences.of(end.error)} if end.error else None
    return sse.encode("end", _json({**asdict(end), "error": error}), seq)


async def _whole(reply_id: UUID) -> tuple[Snapshot | None, End | None]:
    """All of a reply whose log does not hold the reader's place, and its end if it has ended."""
    replies = Reply.objects.select_related("message").filter(pk=reply_id)
    reply = await replies.afirst()
    if reply and reply.is_running:
        try:
            snapshot = await log.snapshot(reply_id)
            if reply.started and not snapshot.seq:
                # The log was lost, and who writes the reply is about to notice. Until then, what is on the page stays.
                raise Unreachable
            return snapshot, None
        except PlaceLost:
            # It ended in this moment.
            reply = await replies.afirst()
        if reply and reply.is_running:
            # It is about to go on behind its end. The reader comes back.
            raise Unreachable
    if reply is None:
        return None, GONE
    end = End(reply.status, reply.finish_reason, reply.usage, reply.error)
    return Snapshot(reply.message.text, reply.reasoning, reply.last_seq), end


async def _get(request: SignedInRequest, pk: UUID) -> Reply:
    replies = Reply.objects.for_user(request.user).select_related("message__conversation")
    return await aget_object_or_404(replies, pk=pk)


def _render_message(request: HttpRequest, message: Message) -> HttpResponse:
    message.find_siblings()
    return render(request, "chat/_message.html", {"message": message})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
