"""Parley on PostgreSQL: whatever stores or finds something passes the same tests there, with a pool or without."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from chat.events import Delta
from chat.models import Reply
from chat.replylog.database import DatabaseLog
from tests.postgresql import postgresql
from tests.test_replylog import claimed_reply, in_store

SUITES = [
    "tests/test_generation.py",
    "tests/test_models.py",
    "tests/test_nginx.py",
    "tests/test_postgresql.py",
    "tests/test_replylog.py",
    "tests/test_search.py",
]

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="tests/test_postgresql.py runs it there")


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor == "postgresql", reason="all tests run on PostgreSQL already")
def test_all_that_is_stored_passes_its_tests_on_postgresql() -> None:
    with postgresql() as url:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITES],
            cwd=settings.BASE_DIR,
            env={**os.environ, "DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stdout


# Two transactions that want the same replies


LOCK = "SELECT 1 FROM chat_reply WHERE message_id = %s FOR UPDATE"
LOCK_AT_ONCE = "SELECT 1 FROM chat_reply WHERE message_id = %s FOR UPDATE NOWAIT"
SOMEBODY_WAITS = "SELECT 1 FROM pg_locks WHERE NOT granted"


@contextmanager
def another_transaction() -> Iterator[psycopg.Connection]:
    """One beside the log's; it is rolled back."""
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    with psycopg.connect(url) as other:
        # Where two wait for each other, the log's is ended. Nobody waits for ever.
        other.execute("SET LOCAL deadlock_timeout = '1min'")
        other.execute("SET LOCAL statement_timeout = '20s'")
        yield other
        other.rollback()


async def until_somebody_waits(other: psycopg.Connection) -> None:
    def look() -> None:
        while not other.execute(SOMEBODY_WAITS).fetchone():
            time.sleep(0.01)

    await asyncio.to_thread(look)


@pytest.fixture
def replies(transactional_db: None, sam: User) -> tuple[Reply, Reply]:
    """Two, in the order of their ids and not in that of their rows."""
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
        writing = asyncio.create_task(write_to_both(DatabaseLog(), replies))
        await until_somebody_waits(other)
        other.execute(LOCK_AT_ONCE, [high.pk])
    await writing


@on_postgresql
async def test_a_commit_that_has_lost_a_deadlock_comes_again(replies: tuple[Reply, Reply]) -> None:
    low, high = replies
    log = DatabaseLog()
    with another_transaction() as other:
        other.execute(LOCK, [high.pk])
        writing = asyncio.create_task(write_to_both(log, replies))
        await until_somebody_waits(other)
        await asyncio.to_thread(other.execute, LOCK, [low.pk])
    await writing
    assert await in_store(log, low) == await in_store(log, high) == [(1, Delta("Hello"))]
