"""Logs of several processes on one store, and replies to write in them."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from uuid import UUID

from chat import asking
from chat.database import DatabaseThreads
from chat.events import Delta, End, Entry
from chat.models import Reply, User
from chat.replylog import ReplyLog
from chat.replylog.database import DatabaseLog
from chat.replylog.redis import RedisLog

DONE = End("complete", "stop", {"total_tokens": 3})


class Stores:
    """Makes the logs of several processes on one store."""

    def __init__(self, redis_url: str | None) -> None:
        self._redis_url = redis_url

    @asynccontextmanager
    async def log(self) -> AsyncIterator[ReplyLog]:
        threads = DatabaseThreads(2)
        log = DatabaseLog(threads) if self._redis_url is None else RedisLog(self._redis_url, threads)
        try:
            yield log
        finally:
            await log.close()
            await end_threads(log, threads)


async def end_threads(log: ReplyLog, *pools: ThreadPoolExecutor) -> None:
    """Wait for the work in threads of a log that is closed, and in others.

    Nobody waits for its result. After a test it could not close its connection, as it may no longer use the database.
    """
    own = [log._thread] if isinstance(log, DatabaseLog) else []
    for pool in [*own, *pools]:
        await asyncio.to_thread(pool.shutdown)


def claimed_reply(owner: User) -> Reply:
    reply = asking.begin(owner, "Hello", "demo")
    assert Reply.objects.claim(reply.pk, 0, "here")
    return Reply.objects.select_related("message").get(pk=reply.pk)


async def everything(log: ReplyLog, reply_id: UUID, after: int = 0) -> list[Entry]:
    return [entry async for entries in log.follow(reply_id, after) for entry in entries]


def text(entries: list[Entry]) -> str:
    return "".join(event.text for _, event in entries if isinstance(event, Delta))


async def in_store(log: ReplyLog, reply: Reply) -> list[Entry]:
    return await log.read(reply.pk, 0)
