"""What only PostgreSQL does: locks, deadlocks, connections. All tests marked `stores` run on it too."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any, LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest
from django.contrib import admin
from django.db import connection
from django.test import RequestFactory

from chat.database import SILENCE, DatabaseThreads, in_thread
from chat.events import Delta
from chat.models import Reply, User
from chat.replylog.database import DatabaseLog
from tests.hosts import StartHost
from tests.replylogs import claimed_reply, in_store
from tests.server import Databases, Server, Servers
from tests.upstream import Upstream, finish, pause, text
from tests.visitor import Event, Visitor, written

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="runs there when PostgreSQL runs")


@on_postgresql
@pytest.mark.django_db
def test_statements_do_not_hold_what_people_write() -> None:
    """PostgreSQL shows those that run, and logs those that fail or are slow."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND %s <> ''", ["What somebody writes"]
        )
        ((statement,),) = cursor.fetchall()
    assert "pg_backend_pid" in statement
    assert "What somebody writes" not in statement


# Two transactions that want the same replies


LOCK = "SELECT 1 FROM chat_reply WHERE message_id = %s FOR UPDATE"
LOCK_CONVERSATION = "SELECT 1 FROM chat_conversation WHERE id = %s FOR UPDATE"
LOCK_PERSON = "SELECT 1 FROM chat_user WHERE id = %s FOR NO KEY UPDATE"
LOCK_AT_ONCE = "SELECT 1 FROM chat_reply WHERE message_id = %s FOR UPDATE NOWAIT"
# In this database: others are used by other tests at the same time.
SOMEBODY_WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
WAITS = "SELECT waitstart FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = %s AND NOT granted"
CONNECTED = "SELECT 1 FROM pg_stat_activity WHERE datname = %s"
# In seconds: what has not happened by then does not happen.
PATIENCE = 60


def found(statement: LiteralString, *parameters: object) -> bool:
    with psycopg.connect(os.environ["DATABASE_URL"]) as session:
        return session.execute(statement, parameters).fetchone() is not None


async def somebody_waits() -> None:
    """Return when a transaction in the tests' database waits for a lock."""
    await until(lambda: found(SOMEBODY_WAITS, connection.settings_dict["NAME"]))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(holds):
            pass


@contextmanager
def another_transaction(database: str = "") -> Iterator[psycopg.Connection]:
    """One beside the log's; it is rolled back."""
    name = database or connection.settings_dict["NAME"]
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    with psycopg.connect(url) as other:
        # Where two wait for each other, the log's is ended. Nobody waits for ever.
        other.execute("SET LOCAL deadlock_timeout = '1min'")
        other.execute("SET LOCAL statement_timeout = '20s'")
        yield other
        other.rollback()


@pytest.fixture
def replies(transactional_db: None, sam: User) -> tuple[Reply, Reply]:
    """Two, in the order of their ids, which is not that of their rows."""
    low, high = sorted((claimed_reply(sam) for _ in range(2)), key=lambda reply: reply.pk)
    for reply in (high, low):
        Reply.objects.filter(pk=reply.pk).update(model="moved")
    return low, high


async def write_to_both(log: DatabaseLog, replies: tuple[Reply, Reply]) -> None:
    with ExitStack() as writing:
        writers = [writing.enter_context(log.writer(reply.pk, 1)) for reply in replies]
        await asyncio.gather(*(writer.append([Delta("Hello")]) for writer in writers))


@on_postgresql
async def test_replies_are_locked_in_the_order_of_their_ids(replies: tuple[Reply, Reply]) -> None:
    low, high = replies
    with another_transaction() as other:
        other.execute(LOCK, [low.pk])
        writing = asyncio.create_task(write_to_both(DatabaseLog(DatabaseThreads(2)), replies))
        await somebody_waits()
        other.execute(LOCK_AT_ONCE, [high.pk])
    await writing


@on_postgresql
async def test_deleting_a_person_waits_for_their_questions_before_it_locks_replies(
    replies: tuple[Reply, Reply], sam: User
) -> None:
    """Continuing a reply locks its person, then the reply."""
    people = admin.site.get_model_admin(User)
    request = RequestFactory().post("/")
    with another_transaction() as other:
        other.execute(LOCK_PERSON, [sam.pk])
        delete = in_thread(people.delete_queryset, DatabaseThreads(1))
        deleting = asyncio.create_task(delete(request, User.objects.filter(pk=sam.pk)))
        await somebody_waits()
        other.execute(LOCK_AT_ONCE, [replies[0].pk])
    await deleting
    assert not await User.objects.filter(pk=sam.pk).aexists()


@on_postgresql
async def test_a_commit_that_has_lost_a_deadlock_comes_again(replies: tuple[Reply, Reply]) -> None:
    low, high = replies
    log = DatabaseLog(DatabaseThreads(2))
    with another_transaction() as other:
        other.execute(LOCK, [high.pk])
        writing = asyncio.create_task(write_to_both(log, replies))
        await somebody_waits()
        await asyncio.to_thread(other.execute, LOCK, [low.pk])
    await writing
    assert await in_store(log, low) == await in_store(log, high) == [(1, Delta("Hello"))]


@on_postgresql
async def test_a_question_that_has_lost_a_deadlock_comes_again(
    transactional_db: None, start_host: StartHost, alice: User
) -> None:
    host = await start_host()
    first, _ = await host.ask(alice)
    await host.read(first)
    client = await host.browser(alice)
    url = first.message.conversation.get_absolute_url()
    with another_transaction() as other:
        other.execute(LOCK_CONVERSATION, [first.message.conversation_id])
        asking = asyncio.create_task(client.post(f"{url}messages/", {"text": "And?"}))
        await somebody_waits()
        await asyncio.to_thread(other.execute, LOCK_PERSON, [alice.pk])
    assert (await asking).status_code == 303


@on_postgresql
def test_nobody_waits_for_a_lock_until_the_server_seems_silent(db: None) -> None:
    """A process that sleeps in a transaction loses its locks before others give up."""
    if "pool" not in connection.settings_dict["OPTIONS"]:
        pytest.skip("Without a pool it is the operator who sets both.")
    asleep, waiting = (milliseconds(name) for name in ("idle_in_transaction_session_timeout", "lock_timeout"))
    assert 0 < asleep < waiting < SILENCE * 1000


def milliseconds(setting: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = %s", [setting])
        return int(cursor.fetchone()[0])


@on_postgresql
async def test_a_commit_that_has_waited_too_long_for_a_lock_comes_again(
    start_server: Servers, upstream: Upstream, databases: Databases
) -> None:
    database = databases.make()
    server = start_server(
        database,
        DATABASE_URL=f"{database.url}?options=-c%20lock_timeout%3D200ms",
        OPENAI_BASE_URL=upstream.url,
        OPENAI_MODEL="small",
    )
    upstream.script(text("one"), pause("rest"), text(" two"), finish())
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("Count.")
        await alice.until(reply, "one")
        with another_transaction(database.name) as other:
            other.execute(LOCK, [reply["id"]])
            upstream.release("rest")
            await until(lambda: bool(waits(database.name)))
            first = waits(database.name)
            await until(lambda: bool(waits(database.name) - first))
        seen = await alice.whole(reply)
    assert (written(seen), seen[-1].data["status"]) == ("one two", "complete")


def waits(database: str) -> set[Any]:
    """When the waits for locks began that are going on in a database."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as session:
        return {began for (began,) in session.execute(WAITS, [database]) if began}


# What waits


type Stream = AsyncGenerator[Event]


@asynccontextmanager
async def many_that_wait(server: Server, upstream: Upstream) -> AsyncIterator[tuple[Visitor, list[Stream]]]:
    """Twenty replies that wait for the model, each with two readers that have seen its beginning."""
    upstream.default = [text("Hello"), pause("rest"), text(" world"), finish()]
    async with Visitor(server, "alice") as alice, AsyncExitStack() as reading:
        replies = [await alice.ask("Hello?") for _ in range(20)]
        for reply in replies:
            await alice.until(reply, "Hello")
        streams = [await reading.enter_async_context(aclosing(alice.follow(reply))) for reply in replies * 2]
        for stream in streams:
            assert (await anext(stream)).data == {"text": "Hello"}
        yield alice, streams


def server_for_many(start_server: Servers, upstream: Upstream, pool: int) -> Server:
    return start_server(
        OPENAI_BASE_URL=upstream.url,
        OPENAI_MODEL="small",
        DATABASE_POOL=str(pool),
        CHAT_PERSON_RUNNING="50",
        CHAT_PERSON_QUESTIONS="50",
        # Each beat asks the database, and a slow machine would be about it all the time.
        CHAT_LEASE_SECONDS="60",
    )


@on_postgresql
async def test_what_waits_holds_no_connection(start_server: Servers, upstream: Upstream) -> None:
    server = server_for_many(start_server, upstream, pool=0)
    async with many_that_wait(server, upstream):
        # Beats need the database; in between nobody does.
        await until(lambda: not found(CONNECTED, server.database.name))


@on_postgresql
async def test_a_pool_of_two_serves_all_that_wait(start_server: Servers, upstream: Upstream) -> None:
    server = server_for_many(start_server, upstream, pool=2)
    async with many_that_wait(server, upstream) as (alice, streams):
        assert (await alice.client.get("/")).status_code == 200
        upstream.release("rest")
        ends = [[event async for event in stream][-1].data["status"] for stream in streams]
    assert ends == ["complete"] * len(streams)
