"""The event stream of a reply: the events that a reader has missed, then the new ones, up to the end."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import asdict
from itertools import groupby
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse

from chat import metrics, sentences, sse
from chat.database import AWAY, in_thread
from chat.events import Delta, Entry, Reasoning, Snapshot
from chat.live import current_state
from chat.models import Reply, User
from chat.process import Process
from chat.replylog import CursorLost, LogUnreachable, ReplyLog
from chat.sessions import session_is_valid
from chat.views.problems import SignedInRequest

logger = logging.getLogger(__name__)

# The browser waits this long before it reconnects, in milliseconds.
RETRY = 2000
# Seconds between two checks of a queued reply.
QUEUE_LOOK = 2.0
# Seconds between two checks of the session, which readers must not outlive. Less than the time between two comments,
# so that a quiet stream checks with each.
SESSION_LOOK = 10.0


def event_stream(request: SignedInRequest, reply: Reply, after: int, first: bytes = b"") -> StreamingHttpResponse:
    """The events after seq `after`, preceded by `first`."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    blocks = _stream(request.user, Process.of(request), reply, after, first)
    stream = _while_signed_in(blocks, request.session.session_key)
    return StreamingHttpResponse(stream, content_type="text/event-stream", headers=headers)


async def _while_signed_in(blocks: AsyncGenerator[bytes], session_key: str | None) -> AsyncIterator[bytes]:
    """The blocks up to the end of the session. The reader finds out why when it reconnects."""
    now = asyncio.get_running_loop().time
    looked = now()
    async with aclosing(blocks):
        async for block in blocks:
            if now() - looked > SESSION_LOOK:
                looked = now()
                if not await _is_signed_in(session_key):
                    return
            yield block


async def _is_signed_in(session_key: str | None) -> bool:
    try:
        return await session_is_valid(session_key)
    except AWAY:
        # Nobody can have signed out meanwhile.
        return True


async def _stream(person: User, process: Process, reply: Reply, after: int, first: bytes) -> AsyncGenerator[bytes]:
    yield sse.retry(RETRY) + first
    try:
        with process.shares.stream(person), metrics.readers.track_inprogress():
            if reply.status == Reply.Status.QUEUED:
                async for block in _queue(process, reply):
                    yield block
            async for block in _events(process.log, reply.pk, after):
                yield block
    except LogUnreachable:
        logger.warning("The stream of reply %s broke off: its log does not answer", reply.pk, extra={"reply": reply.pk})
    except Exception:
        # Daphne leaves the connection open when a stream raises. When it ends, the reader reconnects.
        logger.exception("The stream of reply %s broke", reply.pk, extra={"reply": reply.pk})


async def _queue(process: Process, reply: Reply) -> AsyncIterator[bytes]:
    """Say that the reply is queued until it is claimed; nothing if that happens at once."""
    told = False
    while not await process.claims(reply.pk, QUEUE_LOOK if told or not reply.is_shown_as_queued else 0):
        # Another process may have claimed it, which only the row tells.
        if not process.has(reply.pk) and await _status(reply.pk) != Reply.Status.QUEUED:
            break
        yield sse.encode("status", _json({"status": "queued"}))
        told = True
    if told:
        yield sse.encode("status", _json({"status": "streaming"}))


async def _events(log: ReplyLog, reply_id: UUID, after: int) -> AsyncIterator[bytes]:
    while True:
        try:
            async with aclosing(log.follow(reply_id, after)) as news:
                async for entries in news:
                    if not entries and await _status(reply_id) not in Reply.RUNNING:
                        # The reply ended, but its log was lost before the End was written.
                        raise CursorLost
                    yield _encode(entries) if entries else sse.comment()
            return
        except (CursorLost, LogUnreachable):
            snapshot, end = await current_state(log, reply_id)
        if snapshot:
            after = snapshot.seq
            yield _encode_one(after, snapshot)
        if end:
            yield _encode_one(after, end)
            return


@in_thread
def _status(reply_id: UUID) -> str | None:
    return Reply.objects.filter(pk=reply_id).values_list("status", flat=True).first()


def _encode(entries: Iterable[Entry]) -> bytes:
    """Encode entries as events; neighbouring deltas, and neighbouring reasoning, become one under the last seq."""
    blocks: list[bytes] = []
    for kind, group in groupby(entries, key=lambda entry: type(entry[1])):
        run = list(group)
        if kind in (Delta, Reasoning):
            text = "".join(event.text for _, event in run if isinstance(event, Delta | Reasoning))
            name = "delta" if kind is Delta else "reasoning"
            blocks.append(sse.encode(name, _json({"text": text}), run[-1][0]))
        else:
            blocks += [_encode_one(seq, event) for seq, event in run]
    return b"".join(blocks)


def _encode_one(seq: int, event: Any) -> bytes:
    if isinstance(event, Snapshot):
        return sse.encode("snapshot", _json(asdict(event)))
    error = {"code": event.error.code, "message": sentences.of(event.error)} if event.error else None
    return sse.encode("end", _json({**asdict(event), "error": error}), seq)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
