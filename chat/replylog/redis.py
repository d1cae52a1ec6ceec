"""Streams of Redis or Valkey: readers in any process are as quick as in the one that writes.

A reply is one stream. Its entries have the ids `<seq>-<attempt>`: a seq can be written once, a retry of what has
arrived already does no harm, and each entry names its attempt. Taking over adds a claim, `<last seq>-<attempt>`,
after which earlier attempts write nothing. Readers never see claims.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from hashlib import sha1
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as TimedOut

from chat.database import AWAY, RETRY_PAUSE, in_thread, retry_on_deadlock, retry_while_away
from chat.events import End, Entry, Outcome, Snapshot
from chat.models import Reply
from chat.replylog.base import LOG_KEPT, PAGE, CursorLost, LogUnreachable, ReplyLog
from chat.replylog.coding import decode, encode
from chat.replylog.commit import Append, Failure, Fenced, GroupCommit, NotStored, StoreAway

logger = logging.getLogger(__name__)

# Seconds after its last entry for which a stream is kept at most, even if its reply never ends.
LONGEST = 3600
# Seconds for which appends are repeated, so that a quick restart of Redis goes unnoticed.
OUTAGE = 3.0
# Seconds that a command may take; the follower blocks for less.
TIMEOUT = 2.0
# XREAD's block time in milliseconds; a new subscription waits at most this long.
BLOCK = 100
# Seconds that each followed reply adds to the follower's pause, up to LONGEST_PAUSE: fetching for many at once is
# cheaper.
PAUSE_PER_REPLY = 0.00025
LONGEST_PAUSE = 0.05
# A page has room for this many claims besides its entries.
CLAIMS = 100
# At most this many readers and claims ask at once; the others queue. The writer and the follower have connections of
# their own, so that no rush of readers delays them.
ASKING = 8
# What the client raises when its connection is broken. Writing to one that has just been reset does not end in its own
# error: https://github.com/python/cpython/issues/136234.
BROKEN = (Disconnected, AttributeError, TypeError)
FAILURES = (RedisError, *BROKEN)

SCRIPT = Path(__file__).with_name("stream.lua").read_text()
SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class RedisLog(ReplyLog):
    poll_pause = 0.0
    can_be_lost = True

    def __init__(self, url: str, threads: ThreadPoolExecutor) -> None:
        super().__init__(threads)
        # An end is stored in the database too, which may be away while Redis takes deltas.
        self._ends = GroupCommit(self, threads)
        self._url = url
        self._clients: list[Redis] = []
        self._asking = asyncio.Semaphore(ASKING)
        # When a command last went without an answer.
        self._silent = 0.0

    # Made where they are first used: their connections belong to the event loop that runs there.

    @cached_property
    def _writer(self) -> Redis:
        # One for the commit of deltas, one for that of ends.
        return self._client(connections=2)

    @cached_property
    def _follower(self) -> Redis:
        return self._client(connections=1)

    @cached_property
    def _redis(self) -> Redis:
        return self._client(ASKING)

    def _client(self, connections: int) -> Redis:
        # A connection may have broken while it was idle, so a command that fails is tried once more. Doing one twice
        # does no harm.
        client = Redis.from_url(
            self._url,
            max_connections=connections,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 1, supported_errors=BROKEN),  # type: ignore[arg-type]
            decode_responses=True,
        )
        self._clients.append(client)
        return client

    @asynccontextmanager
    async def _ask(self) -> AsyncIterator[Redis]:
        """Queue for a connection, however long it takes; raises LogUnreachable when Redis does not answer."""
        asked = time.monotonic()
        async with self._asking:
            # Commands that queued behind one without an answer would wait in vain too.
            if self._silent > asked:
                raise LogUnreachable
            try:
                with _reached():
                    yield self._redis
            except LogUnreachable as error:
                if isinstance(error.__cause__, TimedOut):
                    self._silent = time.monotonic()
                raise

    async def check(self) -> None:
        async with self._ask() as redis:
            await redis.set("parley:check", "", ex=LONGEST)

    async def close(self) -> None:
        await super().close()
        for client in self._clients:
            await client.aclose()

    async def read(self, reply_id: UUID, after: int) -> list[Entry]:
        async with self._ask() as redis:
            found: Any = await redis.xrange(_key(reply_id), min=f"{after}-0", count=PAGE + CLAIMS)
        entries = list(_entries(found))
        if not after:
            return entries[:PAGE]
        # The entry at the cursor proves that the log still holds what follows it.
        if not entries or entries[0][0] != after or isinstance(entries[0][1], End):
            raise CursorLost
        return entries[1 : PAGE + 1]

    async def fence(self, reply_id: UUID, attempt: int) -> Snapshot:
        if await self._change(reply_id, "claim", attempt) == "fenced":
            raise Fenced
        return await self.snapshot(reply_id)

    async def hide_end(self, reply_id: UUID) -> None:
        await self._change(reply_id, "hide_end", "")

    async def _change(self, reply_id: UUID, verb: str, attempt: int | str) -> object:
        async with self._ask() as redis:
            return await redis.register_script(SCRIPT)([_key(reply_id)], [verb, attempt, LONGEST])

    async def purge(self) -> None:
        """Streams expire by themselves."""

    async def forget(self, reply_ids: Collection[UUID]) -> None:
        if not reply_ids:
            return
        async with self._ask() as redis:
            await redis.delete(*map(_key, reply_ids))

    async def store(self, appends: list[Append]) -> dict[UUID, Failure]:
        failures = await self._store_in_redis([append for append in appends if not append.outcome])
        # Then the database: from then on a reply has ended, whether or not its stream hears of it.
        ends = [(append, append.outcome) for append in appends if append.outcome]
        ended, failed = await _finish_all(ends) if ends else (set(), {})
        failures |= failed
        failures |= await self._store_in_redis([append for append, _ in ends if append.reply_id in ended])
        return {reply_id: failure for reply_id, failure in failures.items() if reply_id not in ended}

    async def _store_in_redis(self, appends: list[Append]) -> dict[UUID, Failure]:
        answers = await self._append(appends) if appends else []
        return {
            append.reply_id: Fenced if answer == "fenced" else NotStored
            for append, answer in zip(appends, answers, strict=True)
            if answer != "stored"
        }

    async def _append(self, appends: list[Append]) -> list[object]:
        """What Redis answered to each; an exception for those that it did not take."""
        deadline = time.monotonic() + OUTAGE
        while True:
            answers = await self._try_to_append(appends)
            failed = [answer for answer in answers if isinstance(answer, Exception)]
            if not failed:
                return answers
            if time.monotonic() > deadline:
                logger.warning("%d appends could not be stored: %s", len(failed), type(failed[0]).__name__)
                return answers
            await asyncio.sleep(RETRY_PAUSE)

    async def _try_to_append(self, appends: list[Append]) -> list[object]:
        try:
            answers = await self._run_script(appends)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # Redis has been restarted, or has never seen it.
                await self._writer.script_load(SCRIPT)
                answers = await self._run_script(appends)
        except FAILURES as error:
            return [error] * len(appends)
        return answers

    async def _run_script(self, appends: list[Append]) -> list[object]:
        # Not by register_script: in a pipeline it asks each time whether Redis knows the script, a round trip more.
        async with self._writer.pipeline(transaction=False) as pipeline:
            for append in appends:
                pipeline.evalsha(SHA, 1, _key(append.reply_id), *_arguments(append))
            answers: list[object] = await pipeline.execute(raise_on_error=False)
        return answers

    async def poll(self, cursors: dict[UUID, int]) -> dict[UUID, list[Entry]]:
        if not cursors:
            await asyncio.sleep(BLOCK / 1000)
            return {}
        await asyncio.sleep(min(PAUSE_PER_REPLY * len(cursors), LONGEST_PAUSE))
        # After whatever has the cursor's seq, claims included.
        ids: dict[Any, Any] = {_key(reply_id): f"{cursor}-{2**64 - 1}" for reply_id, cursor in cursors.items()}
        with _reached():
            found: Any = await self._follower.xread(ids, count=PAGE, block=BLOCK)
        return {UUID(key.rpartition(":")[2]): list(_entries(entries)) for key, entries in found}


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise LogUnreachable from error


def _key(reply_id: UUID) -> str:
    return f"parley:reply:{reply_id}"


def _entries(found: Iterable[tuple[str, dict[str, str]]]) -> Iterable[Entry]:
    for entry_id, fields in found:
        if fields["kind"] != "claim":
            yield decode(int(entry_id.partition("-")[0]), fields["kind"], fields["data"])


def _arguments(append: Append) -> list[Any]:
    """What stream.lua needs to know of an append."""
    (first, _), (_, last) = append.entries[0], append.entries[-1]
    verb = "restart" if append.restarts else "append"
    kept = int(LOG_KEPT.total_seconds()) if isinstance(last, End) else LONGEST
    texts = [text for _, event in append.entries for text in encode(event)]
    return [verb, append.attempt, kept, first - 1, *texts]


async def _finish_all(ends: list[tuple[Append, Outcome]]) -> tuple[set[UUID], dict[UUID, Failure]]:
    try:
        return await retry_while_away(_finish)(ends)
    except AWAY:
        return set(), {append.reply_id: StoreAway for append, _ in ends}


@in_thread
def _finish(ends: list[tuple[Append, Outcome]]) -> tuple[set[UUID], dict[UUID, Failure]]:
    """Store the ends in the database; returns the replies that have ended, and why others have not."""
    finish = retry_on_deadlock(Reply.objects.finish)
    ended: set[UUID] = set()
    failures: dict[UUID, Failure] = {}
    for append, outcome in ends:
        try:
            if finish(append.reply_id, append.attempt, outcome):
                ended.add(append.reply_id)
            else:
                failures[append.reply_id] = Fenced
        except AWAY:
            raise
        except DatabaseError:
            failures[append.reply_id] = NotStored
    return ended, failures
