"""Streams of Redis or Valkey: readers in any process are as quick as in the one that writes.

A reply is one stream. Its entries have the ids `<seq>-<attempt>`: a seq can be written once, a retry of what has
arrived already does no harm, and each entry tells on whose behalf it is there. Who takes a reply over writes a claim,
`<last seq>-<its attempt>`, behind which earlier attempts write nothing. Readers never see claims.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as TimedOut

from chat.database import in_thread, retry_on_deadlock
from chat.events import End, Entry, Snapshot
from chat.models import Reply
from chat.replylog.base import PAGE, PlaceLost, ReplyLog, Unreachable
from chat.replylog.coding import decode, encode
from chat.replylog.commit import Append, Failure, Fenced, NotStored

logger = logging.getLogger(__name__)

# Readers that were away for this long find the rest of a reply in its log; later ones get a snapshot. In seconds.
KEPT = 600
# No stream stays for longer than this after its last entry, whatever has become of its reply, in seconds.
LONGEST = 86_400
# What cannot be stored is tried again for this long, so that a quick restart of Redis goes unnoticed, in seconds.
PATIENCE = 3.0
# The time between two tries, in seconds.
PAUSE = 0.1
# A command may take this long, in seconds; the reader blocks for less.
TIMEOUT = 2.0
# Replies that are newly followed wait for the reader to come round, in milliseconds.
BLOCK = 100
# Each reply that is followed makes the reader pause for this long between two looks, up to LONGEST_PAUSE, in seconds:
# the more there are, the more is gained by fetching for all of them at once.
PAUSE_A_REPLY = 0.00025
LONGEST_PAUSE = 0.05
# A page has room for so many claims beside its entries.
CLAIMS = 100
# At most this many readers and claims ask at once; the others queue. The writer and the follower have connections of
# their own, so that no rush of readers delays them.
ASKING = 8
# What the client raises when its connection is broken. Writing to one that has just been reset does not end in its own
# error: https://github.com/python/cpython/issues/136234.
BROKEN = (Disconnected, AttributeError, TypeError)
FAILURES = (RedisError, *BROKEN)

LAST = """
local found = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local seq, attempt, kind = 0, 0, ''
if found then
    seq, attempt = found[1]:match('(%d+)-(%d+)')
    seq, attempt, kind = tonumber(seq), tonumber(attempt), found[2][2]
end
local mine = tonumber(ARGV[1])
"""

# Appends all or nothing. Arguments: the attempt, how long to keep the stream, the last seq before, kinds and data.
APPEND = (
    LAST
    + """
local before = tonumber(ARGV[3])
if attempt > mine then return 'fenced' end
if seq > before then return attempt == mine and 'stored' or 'lost' end
if seq < before then return 'lost' end
if kind == 'end' then return 'fenced' end
for i = 4, #ARGV, 2 do
    before = before + 1
    redis.call('XADD', KEYS[1], before .. '-' .. mine, 'kind', ARGV[i], 'data', ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'stored'
"""
)

# Puts one entry in the place of all. Arguments: the attempt, how long to keep the stream, the seq, kind and data.
ANEW = (
    LAST
    + """
if attempt > mine then return 'fenced' end
redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[1], ARGV[3] .. '-' .. mine, 'kind', ARGV[4], 'data', ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 'stored'
"""
)

# Arguments: the attempt, how long to keep the stream.
CLAIM = (
    LAST
    + """
if attempt > mine then return 'fenced' end
if attempt < mine then
    redis.call('XADD', KEYS[1], seq .. '-' .. mine, 'kind', 'claim', 'data', '')
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return 'stored'
"""
)

# Puts a claim of the last attempt in the place of a log that has ended: readers do not find the end, and who lost the
# reply before it stays fenced off. All of it goes, as a stream whose last entry alone is deleted still takes no smaller
# id. Argument: how long to keep the stream.
REOPEN = (
    LAST
    + """
if kind == 'end' then
    redis.call('DEL', KEYS[1])
    redis.call('XADD', KEYS[1], '0-' .. attempt, 'kind', 'claim', 'data', '')
    redis.call('EXPIRE', KEYS[1], ARGV[1])
end
"""
)


class RedisLog(ReplyLog):
    poll_pause = 0.0

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._asking = asyncio.Semaphore(ASKING)
        # When a command last got no answer.
        self._silent = 0.0

    # Made where they are first used: their connections belong to the event loop that runs there.

    @cached_property
    def _writer(self) -> Redis:
        return self._client(connections=1)

    @cached_property
    def _follower(self) -> Redis:
        return self._client(connections=1)

    @cached_property
    def _redis(self) -> Redis:
        return self._client(ASKING)

    def _client(self, connections: int) -> Redis:
        # A connection may have broken while nobody needed it, so each command is tried a second time; each of them may
        # be done twice.
        return Redis.from_url(
            self._url,
            max_connections=connections,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 1, supported_errors=BROKEN),  # type: ignore[arg-type]
            decode_responses=True,
        )

    @asynccontextmanager
    async def _ask(self) -> AsyncIterator[Redis]:
        """Queue for a connection, however long it takes; raises Unreachable when Redis does not answer."""
        asked = time.monotonic()
        async with self._asking:
            # Those who queued with one that got no answer would only wait for the same.
            if self._silent > asked:
                raise Unreachable
            try:
                with _reached():
                    yield self._redis
            except Unreachable as error:
                if isinstance(error.__cause__, TimedOut):
                    self._silent = time.monotonic()
                raise

    async def check(self) -> None:
        async with self._ask() as redis:
            await redis.set("parley:check", "", ex=LONGEST)

    async def close(self) -> None:
        await super().close()
        for client in (self._writer, self._follower, self._redis):
            await client.aclose()

    async def read(self, reply_id: UUID, after: int) -> list[Entry]:
        async with self._ask() as redis:
            found: Any = await redis.xrange(_key(reply_id), min=f"{after}-0", count=PAGE + CLAIMS)
        entries = list(_entries(found))
        if not after:
            return entries[:PAGE]
        # The entry at the place itself proves that the log still holds what follows it.
        if not entries or entries[0][0] != after or isinstance(entries[0][1], End):
            raise PlaceLost
        return entries[1 : PAGE + 1]

    async def fence(self, reply_id: UUID, attempt: int) -> Snapshot:
        async with self._ask() as redis:
            answer = await redis.eval(CLAIM, 1, _key(reply_id), attempt, LONGEST)
        if answer == "fenced":
            raise Fenced
        return await self.snapshot(reply_id)

    async def reopen(self, reply_id: UUID) -> None:
        async with self._ask() as redis:
            await redis.eval(REOPEN, 1, _key(reply_id), LONGEST)

    async def purge(self) -> None:
        """Streams expire by themselves."""

    async def _store(self, appends: list[Append]) -> dict[UUID, Failure]:
        # First the database: from then on the reply has ended, whether or not its stream hears of it.
        ends = [append for append in appends if append.outcome]
        ended, failures = await _record(ends) if ends else (set(), {})
        rest = [append for append in appends if append.reply_id not in failures]
        for append, answer in zip(rest, await self._append(rest), strict=True):
            if answer != "stored" and append.reply_id not in ended:
                failures[append.reply_id] = Fenced if answer == "fenced" else NotStored
        return failures

    async def _append(self, appends: list[Append]) -> list[object]:
        """What Redis has answered to each; an exception for those that it did not take."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            pipeline = self._writer.pipeline(transaction=False)
            for append in appends:
                _add(pipeline, append)
            try:
                answers: list[object] = await pipeline.execute(raise_on_error=False)
            except FAILURES as error:
                answers = [error] * len(appends)
            broken = [answer for answer in answers if isinstance(answer, Exception)]
            if not broken:
                return answers
            if asyncio.get_running_loop().time() > deadline:
                logger.warning("%d appends could not be stored: %s", len(broken), type(broken[0]).__name__)
                return answers
            await asyncio.sleep(PAUSE)

    async def _poll(self, places: dict[UUID, int]) -> dict[UUID, list[Entry]]:
        if not places:
            await asyncio.sleep(BLOCK / 1000)
            return {}
        await asyncio.sleep(min(PAUSE_A_REPLY * len(places), LONGEST_PAUSE))
        # Behind whatever has the seq of the place, claims included.
        ids: dict[Any, Any] = {_key(reply_id): f"{place}-{2**64 - 1}" for reply_id, place in places.items()}
        with _reached():
            found: Any = await self._follower.xread(ids, count=PAGE, block=BLOCK)
        return {UUID(key.rpartition(":")[2]): list(_entries(entries)) for key, entries in found}


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise Unreachable from error


def _key(reply_id: UUID) -> str:
    return f"parley:reply:{reply_id}"


def _entries(found: Iterable[tuple[str, dict[str, str]]]) -> Iterable[Entry]:
    for entry_id, fields in found:
        if fields["kind"] != "claim":
            yield decode(int(entry_id.partition("-")[0]), fields["kind"], fields["data"])


def _add(pipeline: Pipeline, append: Append) -> None:
    first, last = append.entries[0], append.entries[-1]
    kept = KEPT if isinstance(last[1], End) else LONGEST
    texts = [text for _, event in append.entries for text in encode(event)]
    script, place = (ANEW, first[0]) if append.anew else (APPEND, first[0] - 1)
    pipeline.eval(script, 1, _key(append.reply_id), append.attempt, kept, place, *texts)


@in_thread
def _record(ends: list[Append]) -> tuple[set[UUID], dict[UUID, Failure]]:
    """Store the ends in the database; returns the replies that have ended, and what kept the others from it."""
    finish = retry_on_deadlock(Reply.objects.finish)
    ended: set[UUID] = set()
    failures: dict[UUID, Failure] = {}
    for append in ends:
        try:
            if append.outcome and finish(append.reply_id, append.attempt, append.outcome):
                ended.add(append.reply_id)
            else:
                failures[append.reply_id] = Fenced
        except DatabaseError:
            failures[append.reply_id] = NotStored
    return ended, failures
