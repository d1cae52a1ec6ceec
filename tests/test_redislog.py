"""What is particular to the log in Redis: who may write a stream, and what happens when Redis goes or forgets."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import DataError, OperationalError, connection, transaction
from pytest_django import Settings

from chat import database, generation
from chat.database import in_thread
from chat.events import Delta, End, Snapshot
from chat.models import Conversation, Reply, User
from chat.models.replies import ReplyQuerySet
from chat.plan import LOST
from chat.replylog import Fenced, LogUnreachable, NotStored, base
from chat.replylog import redis as redislog
from chat.replylog.base import LOG_KEPT
from chat.replylog.redis import RedisLog
from tests.hosts import StartHost
from tests.hosts import stored as stored_row
from tests.redis import RedisServer
from tests.replylogs import DONE, Stores, claimed_reply, everything
from tests.server import Databases, Server, Servers
from tests.upstream import Upstream, cut, finish, hang, pause, reasoning, text
from tests.visitor import PATIENCE, Visitor, written

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """An empty one; whatever a test does to it, the next one finds it as new."""
    redis_server.restart()
    return redis_server


@pytest.fixture
async def log(redis: RedisServer) -> AsyncIterator[RedisLog]:
    async with Stores(redis.url).log() as log:
        assert isinstance(log, RedisLog)
        yield log


@pytest.fixture
def reply(alice: User) -> Reply:
    return claimed_reply(alice)


async def ids(log: RedisLog, reply: Reply) -> list[str]:
    found: Any = await log._redis.xrange(f"parley:reply:{reply.pk}")
    return [entry_id for entry_id, _ in found]


async def seconds_kept(log: RedisLog, reply: Reply) -> int:
    return int(await log._redis.ttl(f"parley:reply:{reply.pk}"))


# Streams


async def test_readers_do_not_see_claims(log: RedisLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
    with log.writer(reply.pk, 2, await log.fence(reply.pk, 2)) as writer:
        await writer.append([Delta(" two")])
    assert await ids(log, reply) == ["1-1", "1-2", "2-2"]
    assert await log.read(reply.pk, 0) == [(1, Delta("one")), (2, Delta(" two"))]
    assert await log.read(reply.pk, 1) == [(2, Delta(" two"))]


async def test_followers_elsewhere_do_not_see_claims(log: RedisLog, reply: Reply) -> None:
    following = asyncio.create_task(everything(log, reply.pk))
    async with Stores(log._url).log() as elsewhere:
        with elsewhere.writer(reply.pk, 1) as writer:
            await writer.append([Delta("one")])
        assert await in_thread(Reply.objects.claim)(reply.pk, 1, "elsewhere")
        reply.attempt = 2
        with elsewhere.writer(reply.pk, 2, await elsewhere.fence(reply.pk, 2)) as writer:
            await writer.append([Delta(" two")])
            await writer.end(DONE)
    assert await following == [(1, Delta("one")), (2, Delta(" two")), (3, DONE)]


async def test_a_late_claim_is_fenced(log: RedisLog, reply: Reply) -> None:
    await log.fence(reply.pk, 3)
    with pytest.raises(Fenced):
        await log.fence(reply.pk, 2)
    assert await log.fence(reply.pk, 3) == Snapshot("", "", 0)
    assert await ids(log, reply) == ["0-3"]


async def test_a_log_without_its_end_stays_fenced(log: RedisLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as late:
        assert await in_thread(Reply.objects.claim)(reply.pk, 1, "elsewhere")
        reply.attempt = 2
        with log.writer(reply.pk, 2, await log.fence(reply.pk, 2)) as writer:
            await writer.append([Delta("one")])
            await writer.end(End("stopped"))
        await log.hide_end(reply.pk)
        with pytest.raises(Fenced):
            await late.append([Delta("too late")])
    assert await log.read(reply.pk, 0) == []
    assert await ids(log, reply) == ["0-2"]
    assert 0 < await seconds_kept(log, reply) <= redislog.LONGEST


async def test_streams_expire(log: RedisLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
        assert LOG_KEPT.total_seconds() < await seconds_kept(log, reply) <= redislog.LONGEST
        await writer.end(DONE)
    assert 0 < await seconds_kept(log, reply) <= LOG_KEPT.total_seconds()


async def test_streams_with_only_a_claim_expire(log: RedisLog, reply: Reply) -> None:
    await log.fence(reply.pk, 2)
    assert 0 < await seconds_kept(log, reply) <= redislog.LONGEST


async def test_the_stream_of_a_reply_deleted_while_it_ran_expires(log: RedisLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
        await Conversation.objects.all().adelete()
        with pytest.raises(Fenced):
            await writer.end(DONE)
    assert 0 < await seconds_kept(log, reply) <= redislog.LONGEST


async def test_nothing_is_written_after_a_gap(log: RedisLog, redis: RedisServer, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
        redis.restart()
        with pytest.raises(NotStored):
            await writer.append([Delta(" two")])
    assert await ids(log, reply) == []


async def test_a_lost_stream_does_not_harm_other_replies(log: RedisLog, alice: User) -> None:
    lost, healthy = [await in_thread(claimed_reply)(alice) for _ in range(2)]
    with log.writer(lost.pk, 1) as one, log.writer(healthy.pk, 1) as other:
        await one.append([Delta("one")])
        await log._redis.delete(f"parley:reply:{lost.pk}")
        results = await asyncio.gather(
            one.append([Delta("two")]), other.append([Delta("fine")]), return_exceptions=True
        )
    assert isinstance(results[0], NotStored)
    assert results[1] is None


async def test_an_end_that_cannot_be_stored_harms_no_other(
    log: RedisLog, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, healthy = [await in_thread(claimed_reply)(alice) for _ in range(2)]
    finish = ReplyQuerySet.finish

    def refuse(replies: ReplyQuerySet, pk: UUID, *outcome: Any) -> bool:
        if pk == broken.pk:
            raise DataError
        return finish(replies, pk, *outcome)

    monkeypatch.setattr(ReplyQuerySet, "finish", refuse)
    with log.writer(broken.pk, 1) as one, log.writer(healthy.pk, 1) as other:
        results = await asyncio.gather(one.end(DONE), other.end(DONE), return_exceptions=True)
    assert isinstance(results[0], NotStored)
    assert results[1] is None
    assert await log.read(healthy.pk, 0) == [(1, DONE)]
    assert await log.read(broken.pk, 0) == []


async def test_the_end_is_stored_while_redis_is_down(
    log: RedisLog, redis: RedisServer, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redislog, "OUTAGE", 0)
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
        redis.kill()
        with pytest.raises(NotStored):
            await writer.append([Delta(" two")])
        with pytest.raises(LogUnreachable):
            await log.read(reply.pk, 0)
        await writer.end(End("interrupted"))
    row = await Reply.objects.select_related("message").aget(pk=reply.pk)
    assert (row.status, row.message.text) == ("interrupted", "one two")


async def test_a_quick_restart_of_redis_goes_unnoticed(
    log: RedisLog, redis: RedisServer, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redislog, "OUTAGE", PATIENCE)
    with log.writer(reply.pk, 1) as writer:
        redis.kill()
        appending = asyncio.create_task(writer.append([Delta("one")]))
        await asyncio.sleep(0)
        await asyncio.to_thread(redis.start)
        await appending
    assert await log.read(reply.pk, 0) == [(1, Delta("one"))]


@contextmanager
def locked(reply: Reply) -> Iterator[None]:
    """Keep others from changing the reply's row: on SQLite from writing at all."""
    has_lock, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Reply.objects.filter(pk=reply.pk).update(model="locked")
                has_lock.set()
                may_end.wait()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        holding = thread.submit(hold)
        try:
            assert has_lock.wait(PATIENCE)
            yield
        finally:
            may_end.set()
            holding.result()


async def test_an_end_that_waits_for_the_database_holds_up_no_other_reply(log: RedisLog, alice: User) -> None:
    ending, other = [await in_thread(claimed_reply)(alice) for _ in range(2)]
    with log.writer(ending.pk, 1) as one, log.writer(other.pk, 1) as two:
        await one.append([Delta("one")])
        with locked(ending):
            end = asyncio.create_task(one.end(DONE))
            async with asyncio.timeout(PATIENCE):
                while not log.storing_for:  # noqa: ASYNC110 (only that tells)
                    await asyncio.sleep(0)
            async with aclosing(log.follow(other.pk, 0)) as reader:
                reading = asyncio.ensure_future(anext(reader))
                await two.append([Delta("two")])
                assert await reading == [(1, Delta("two"))]
            assert await log.read(other.pk, 0) == [(1, Delta("two"))]
            assert not end.done()
        await end
    assert await log.read(ending.pk, 0) == [(1, Delta("one")), (2, DONE)]


async def test_a_database_that_does_not_answer_holds_up_no_reader_elsewhere(
    log: RedisLog, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LOOK", 0.0)
    answers = threading.Event()
    for _ in range(2):
        log._threads.submit(answers.wait, PATIENCE)
    try:
        async with (
            asyncio.timeout(PATIENCE / 2),
            aclosing(log.follow(reply.pk, 0)) as reader,
            Stores(log._url).log() as elsewhere,
        ):
            assert await anext(reader) == []
            with elsewhere.writer(reply.pk, 1) as writer:
                for number in range(1, 6):
                    await writer.append([Delta("one")])
                    assert await anext(reader) == [(number, Delta("one"))]
    finally:
        answers.set()


async def test_queued_readers_give_up_together_on_a_silent_redis(
    log: RedisLog, redis: RedisServer, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redislog, "TIMEOUT", 0.5)
    redis.hang()
    started = time.monotonic()
    outcomes = await asyncio.gather(*(log.read(reply.pk, 0) for _ in range(200)), return_exceptions=True)
    assert all(isinstance(outcome, LogUnreachable) for outcome in outcomes)
    assert time.monotonic() - started < 200 / redislog.ASKING * 0.5


@asynccontextmanager
async def asking(log: RedisLog) -> AsyncIterator[None]:
    """Has one of the connections for readers and claims."""
    async with log._ask() as client:
        connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        yield
        await client.connection_pool.release(connection)


async def test_a_rush_of_readers_keeps_no_connection_from_others(log: RedisLog, alice: User) -> None:
    written_here, written_elsewhere = [await in_thread(claimed_reply)(alice) for _ in range(2)]
    async with (
        Stores(log._url).log() as elsewhere,
        AsyncExitStack() as rush,
        aclosing(log.follow(written_elsewhere.pk, 0)) as following,
    ):
        with log.writer(written_here.pk, 1) as here, elsewhere.writer(written_elsewhere.pk, 1) as there:
            await there.append([Delta("one")])
            assert await anext(following) == [(1, Delta("one"))]
            for _ in range(redislog.ASKING):
                await rush.enter_async_context(asking(log))
            late = asyncio.create_task(log.read(written_here.pk, 0))
            await here.append([Delta("stored")])
            await there.append([Delta(" two")])
            assert await anext(following) == [(2, Delta(" two"))]
            assert not late.done()
            await rush.aclose()
            assert await late == [(1, Delta("stored"))]


async def test_a_resumed_reply_whose_stream_is_lost_gets_its_earlier_text_back(
    redis: RedisServer, settings: Settings, start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    """What was shown since is gone, and other words in its place would contradict it."""
    settings.REDIS_URL = redis.url
    upstream.script(text("one"), cut())
    upstream.script(text(" two"), hang())
    here, there = await start_host(), await start_host()
    reply, run = await here.ask(alice)
    await run.task
    await here.resume(reply)
    await here.until(reply, " two")
    await here.die()
    redis.restart()
    await there.reconcile()
    assert (await there.read(reply))[1] == End("interrupted", error=LOST)
    row = await stored_row(reply)
    assert (row.message.text, row.error) == ("one", LOST)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("resumed", [False, True])
async def test_nothing_is_shown_before_the_row_says_that_it_is(
    redis: RedisServer,
    settings: Settings,
    start_host: StartHost,
    upstream: Upstream,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    resumed: bool,
) -> None:
    """Only the row remains if Redis is lost together with the process."""
    settings.REDIS_URL = redis.url
    host = await start_host()
    if resumed:
        upstream.script(text("Before."), cut())
        reply, run = await host.ask(alice)
        await run.task
    upstream.script(text("shown"), finish())
    marking, may_mark, mark = asyncio.Event(), asyncio.Event(), generation._store_marks

    async def wait_and_mark(reply: Reply, marks: dict[str, Any]) -> None:
        marking.set()
        await may_mark.wait()
        await mark(reply, marks)

    monkeypatch.setattr(generation, "_store_marks", wait_and_mark)
    if resumed:
        await host.resume(reply)
    else:
        reply, _ = await host.ask(alice)
    await marking.wait()
    before = await host.log.snapshot(reply.pk)
    may_mark.set()
    assert "shown" not in before.text
    written, end = await host.read(reply)
    assert (written, end.status) == ("shown", "complete")


async def test_a_reply_that_nobody_may_have_seen_begins_again(
    redis: RedisServer,
    settings: Settings,
    start_host: StartHost,
    upstream: Upstream,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.REDIS_URL = redis.url
    upstream.script(text("one"), finish())
    upstream.script(text("two"), finish())
    monkeypatch.setattr(database, "AWAY_SECONDS", 0)
    host = await start_host()
    with monkeypatch.context() as patch:

        async def fail(*_: Any) -> None:
            raise OperationalError

        patch.setattr(generation, "_store_marks", fail)
        reply, run = await host.ask(alice)
        await run.task
    await host.reconcile()
    assert (await host.read(reply))[0] == "two"


# Processes


@pytest.fixture(scope="module")
def processes(databases: Databases, redis_server: RedisServer, endpoint: Upstream) -> Iterator[list[Server]]:
    """Two on the same database and the same Redis."""
    with Servers(databases) as start:
        options = {"REDIS_URL": redis_server.url, "OPENAI_BASE_URL": endpoint.url, "OPENAI_MODEL": "small"}
        first = start(None, **options)
        yield [first, start(first.database, **options)]
        # They let their replies end before they stop; those that hang would keep them.
        endpoint.stop()


@pytest.fixture
def server(processes: list[Server], redis: RedisServer, upstream: Upstream) -> Server:
    for process in processes:
        process.as_new()
    return processes[0]


@pytest.fixture
def other(processes: list[Server], server: Server) -> Server:
    return processes[1]


@pytest.fixture
async def visitor(server: Server) -> AsyncIterator[Visitor]:
    async with Visitor(server, "alice") as visitor:
        yield visitor


@pytest.fixture
async def elsewhere(other: Server) -> AsyncIterator[Visitor]:
    """The same person, through the other process."""
    async with Visitor(other, "alice") as elsewhere:
        yield elsewhere


async def test_a_reply_is_followed_and_stopped_through_another_process(
    server: Server, upstream: Upstream, visitor: Visitor, elsewhere: Visitor
) -> None:
    upstream.script(text("one"), pause("rest"), text(" two"), hang())
    reply = await visitor.ask("Count.")
    following = asyncio.create_task(elsewhere.whole(reply))
    await visitor.until(reply, "one")
    upstream.release("rest")
    await elsewhere.until(reply, "one two")
    assert await elsewhere.stop(reply) == "stopped"
    events = await following
    assert written(events) == written(await visitor.whole(reply)) == server.stored(reply).message.text == "one two"


async def test_a_transcript_shows_a_running_reply_so_far(other: Server, upstream: Upstream, visitor: Visitor) -> None:
    upstream.script(reasoning("hm"), text("one"), pause("rest"), text(" two"), finish())
    reply = await visitor.ask("Count.")
    await visitor.until(reply, "one")
    other.session_cookie("sam", is_staff=True, is_superuser=True)
    transcript = f"/admin/chat/conversation/{reply['conversation']['id']}/change/"
    async with Visitor(other, "sam") as sam:
        # Whichever thread serves it.
        for page in await asyncio.gather(*(sam.client.get(transcript) for _ in range(4))):
            assert ">one</p>" in page.text
            assert "hm" in page.text
    upstream.release("rest")
    await visitor.whole(reply)


async def test_readers_see_everything_once_when_another_process_takes_over(
    server: Server, upstream: Upstream, visitor: Visitor, elsewhere: Visitor
) -> None:
    upstream.script(text("one"), hang())
    reply = await visitor.ask("Count.")
    following = asyncio.create_task(elsewhere.whole(reply))
    await visitor.until(reply, "one")
    server.kill()
    events = await following
    assert [(event.id, event.name) for event in events] == [(1, "delta"), (2, "end")]
    assert events[-1].data["status"] == "interrupted"
    assert server.stored(reply).message.text == "one"


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.hang, RedisServer.restart])
async def test_no_text_is_lost_when_redis_fails(
    server: Server,
    upstream: Upstream,
    redis: RedisServer,
    visitor: Visitor,
    elsewhere: Visitor,
    fault: Callable[[RedisServer], None],
) -> None:
    upstream.script(text("one"), pause("rest"), text(" two"), hang())
    reply = await visitor.ask("Count.")
    seen = await visitor.until(reply, "one")
    seen_elsewhere = await elsewhere.until(reply, "one")
    redis.settle()
    fault(redis)
    for person in (visitor, elsewhere):
        assert (await person.client.get(reply["conversation"]["url"])).status_code == 200
    upstream.release("rest")
    for person, before in ((visitor, seen), (elsewhere, seen_elsewhere)):
        events = await person.return_until_the_end(reply, before)
        assert written(events) == "one two"
        assert (events[-1].data["status"], events[-1].data["error"]["code"]) == ("interrupted", "storage_failed")
    assert server.stored(reply).message.text == "one two"
    redis.restart()
    upstream.script(text(" three"), finish())
    again = await visitor.ask("", f"/replies/{reply['id']}/continue/")
    events = await visitor.return_until_the_end(again, events[:-1])
    assert (written(events), events[-1].data["status"]) == ("one two three", "complete")


async def test_a_reply_that_ends_while_redis_is_down_is_complete(
    server: Server, upstream: Upstream, redis: RedisServer, visitor: Visitor, elsewhere: Visitor
) -> None:
    upstream.script(text("one"), pause("end"), finish())
    reply = await visitor.ask("Count.")
    seen = await elsewhere.until(reply, "one")
    # A reader may see a piece before its writer hears that it is stored.
    redis.settle()
    redis.kill()
    upstream.release("end")
    events = await elsewhere.return_until_the_end(reply, seen)
    assert (written(events), events[-1].data["status"]) == ("one", "complete")
    assert server.stored(reply).status == "complete"


async def test_a_process_and_redis_dying_together_interrupt_the_reply(
    server: Server, upstream: Upstream, redis: RedisServer, visitor: Visitor, elsewhere: Visitor
) -> None:
    upstream.script(text("one"), hang())
    reply = await visitor.ask("Count.")
    seen = await visitor.until(reply, "one")
    server.kill()
    redis.restart()
    events = await elsewhere.return_until_the_end(reply, seen)
    assert events[-1].data["error"]["code"] == "lost"
    assert len(upstream.requests) == 1


async def test_a_resumed_reply_is_followed_after_its_old_end(
    server: Server, upstream: Upstream, visitor: Visitor, elsewhere: Visitor
) -> None:
    upstream.script(text("one"), cut())
    upstream.script(text(" two"), finish())
    reply = await visitor.ask("Count.")
    first = await elsewhere.whole(reply)
    again = await visitor.ask("", f"/replies/{reply['id']}/continue/")
    events = await elsewhere.return_until_the_end(again, first[:-1])
    assert (written(events), events[-1].data["status"]) == ("one two", "complete")


async def test_what_is_about_to_be_deleted_leaves_nothing(log: RedisLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("so far")])
        await writer.end(DONE)
    assert await ids(log, reply)
    await log.forget([])
    await log.forget([reply.pk])
    assert not await ids(log, reply)
