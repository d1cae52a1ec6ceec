"""Event streams. That of a reply has what a reader has missed, then what comes, up to the end.

That of a page has the same of all replies that are being written on it, and says what else has changed.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import Self
from uuid import UUID

from django.http import QueryDict, StreamingHttpResponse

from chat import metrics, sse
from chat.changes import Changes, Versions
from chat.database import AWAY
from chat.limits import OverLimit
from chat.models import Reply, User
from chat.process import Process
from chat.replylog import LogUnreachable
from chat.views.blocks import ReplyBlocks, encode_event
from chat.views.problems import SignedInRequest

logger = logging.getLogger(__name__)

# The browser waits this long before it reconnects, in milliseconds.
RETRY = 2000
# Seconds that pass at least between two checks of the right to watch somebody else's conversation. The first block
# after them checks, and a quiet stream has one every ten seconds.
RIGHTS_LOOK = 4.0
# Seconds between two signs of life on the stream of a page; that of a reply has one after replylog.base.IDLE.
SIGN_OF_LIFE = 10.0
# Seqs are stored as positive 32-bit integers.
LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class OpenPage:
    """What a page shows: its conversation if it has one, the versions of what it shows, and cursors of its replies."""

    conversation: UUID | None
    versions: Versions
    cursors: Mapping[UUID, int]

    @classmethod
    def from_query(cls, query: QueryDict) -> Self:
        """Raises ValueError for a query that no page sends."""
        conversation = query.get("conversation")
        cursors = [cursor.partition(":") for cursor in query.getlist("reply")]
        return cls(
            UUID(conversation) if conversation else None,
            Versions(
                number(query.get("version", "0")) if conversation else None,
                number(query.get("list", "0")),
                number(query.get("running", "0")),
            ),
            {UUID(reply): number(seq) for reply, _, seq in cursors},
        )


def number(text: str) -> int:
    """A number in a query; raises ValueError for what is none, or too large for the database."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= LARGEST):
        raise ValueError
    return int(text)


def event_stream(request: SignedInRequest, reply: Reply, after: int, first: bytes = b"") -> StreamingHttpResponse:
    """The events after seq `after`, preceded by `first`."""
    blocks = ReplyBlocks(Process.of(request), reply).after(after)
    return _response(request, f"reply {reply.pk}", blocks, first)


def page_stream(
    request: SignedInRequest,
    page: OpenPage,
    replies: Iterable[Reply],
    owner: int | None = None,
    may_read: Callable[[], Awaitable[bool]] | None = None,
) -> StreamingHttpResponse:
    """What changes on the page, and the events of the replies that are being written on it, each after its cursor.

    `owner` is whose conversation it is, if that is not the reader; then the stream also ends when `may_read` says so.
    """
    process = Process.of(request)
    blocks = [ReplyBlocks(process, reply, {"reply": str(reply.pk)}).after(page.cursors[reply.pk]) for reply in replies]
    merged = _merged(_changes(process.changes, owner or request.user.pk, page), _signs_of_life(), *blocks)
    shown = _while_allowed(merged, may_read) if may_read else merged
    return _response(request, f"conversation {page.conversation}", shown)


def _response(
    request: SignedInRequest, subject: str, blocks: AsyncGenerator[bytes], first: bytes = b""
) -> StreamingHttpResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    process = Process.of(request)
    counted = _counted(process, request.user, subject, blocks)
    stream = _while_signed_in(counted, process, request.session.session_key or "", sse.retry(RETRY) + first)
    return StreamingHttpResponse(stream, content_type="text/event-stream", headers=headers)


async def _while_signed_in(
    blocks: AsyncGenerator[bytes], process: Process, session_key: str, first: bytes
) -> AsyncGenerator[bytes]:
    """The blocks, preceded by `first`, up to the end of the session. When it reconnects, the reader finds out why."""
    with process.sessions.open(session_key) as session:
        async with aclosing(blocks):
            yield first
            async for block in blocks:
                if session.ended.is_set():
                    return
                yield block


async def _while_allowed(
    blocks: AsyncGenerator[bytes], may_read: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes]:
    looked = monotonic()
    async with aclosing(blocks):
        async for block in blocks:
            if monotonic() - looked > RIGHTS_LOOK:
                looked = monotonic()
                if not await may_read():
                    return
            yield block


async def _counted(
    process: Process, person: User, subject: str, blocks: AsyncGenerator[bytes]
) -> AsyncGenerator[bytes]:
    """The blocks; the stream counts as the person's until it ends."""
    try:
        # Others may have been opened since the request came.
        process.shares.check_streams(person)
        with process.shares.stream(person), metrics.readers.track_inprogress():
            async with aclosing(blocks):
                async for block in blocks:
                    yield block
    except OverLimit:
        # When it comes back, the reader is told.
        return
    except (LogUnreachable, *AWAY):
        logger.warning("The stream of %s broke off: the log of a reply or the database does not answer", subject)
    except Exception:
        # Daphne leaves the connection open when a stream raises. When it ends, the reader reconnects.
        logger.exception("The stream of %s broke", subject)


async def _merged(leader: AsyncGenerator[bytes], *others: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The blocks of all as they come, until the leader ends or one of them fails; none is ahead of a slow reader."""
    # None is the end of the leader. With room for one, each source waits until its block is taken.
    ready: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(maxsize=1)
    # A queue lets a busy source go before those that wait; a lock does not.
    turn = asyncio.Lock()

    async def hand_over(block: bytes | Exception | None) -> None:
        async with turn:
            await ready.put(block)

    async def gather(source: AsyncGenerator[bytes]) -> None:
        try:
            async with aclosing(source):
                async for block in source:
                    await hand_over(block)
            if source is leader:
                await hand_over(None)
        except Exception as failure:  # noqa: BLE001 (the reader raises it)
            await hand_over(failure)

    tasks = [asyncio.create_task(gather(source)) for source in (leader, *others)]
    try:
        while (block := await ready.get()) is not None:
            if isinstance(block, Exception):
                raise block
            yield block
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _changes(changes: Changes, person: int, page: OpenPage) -> AsyncGenerator[bytes]:
    """Say when other versions than the page's are there."""
    known = page.versions
    async with aclosing(changes.follow(person, page.conversation)) as news:
        async for versions in news:
            if versions != known:
                known = versions
                told = {"version": versions.conversation, "list": versions.list, "running": versions.running}
                yield encode_event("change", told)


async def _signs_of_life() -> AsyncGenerator[bytes]:
    """Events, as a page does not hear of comments."""
    while True:
        await asyncio.sleep(SIGN_OF_LIFE)
        yield encode_event("alive", {})
