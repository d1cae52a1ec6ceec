"""What only SQLite does: one connection writes at a time, and the others wait for it."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.urls import reverse

from chat import database
from chat.database import in_thread
from chat.events import Delta, End
from chat.models import Conversation, Reply, User
from chat.replylog import NotStored
from tests.hosts import StartHost
from tests.replylogs import claimed_reply

pytestmark = [
    pytest.mark.skipif(connection.vendor != "sqlite", reason="another database is locked in another way"),
    pytest.mark.django_db(transaction=True),
]


@contextmanager
def locked() -> Iterator[None]:
    """Nobody else can write, as during a long transaction of another program."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_deltas_and_questions_wait_for_a_lock(start_host: StartHost, alice: User) -> None:
    host = await start_host()
    reply, client = await in_thread(claimed_reply)(alice), await host.browser(alice)
    with host.log.writer(reply.pk, 1) as writer:
        with locked():
            appending = asyncio.create_task(writer.append([Delta("one")]))
            asking = asyncio.create_task(client.post(reverse("start"), {"text": "Hello?"}))
            await asyncio.sleep(0.2)
            assert not appending.done()
            assert not asking.done()
        await appending
        assert (await asking).status_code == 303
    assert await host.log.read(reply.pk, 0) == [(1, Delta("one"))]


async def test_a_lock_longer_than_the_timeout_cuts_replies_short_and_refuses_questions(
    start_host: StartHost, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await start_host()
    reply, client = await in_thread(claimed_reply)(alice), await host.browser(alice)
    client.raise_request_exception = False
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.1)
    await sync_to_async(connections.close_all)()
    # It is shorter than SQLite's timeout, so what has waited for that is not tried again.
    monkeypatch.setattr(database, "AWAY_SECONDS", 0.05)
    with host.log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
        with locked():
            with pytest.raises(NotStored):
                await writer.append([Delta(" two")])
            assert (await client.post(reverse("start"), {"text": "Hello?"})).status_code == 500
        await writer.end(End("interrupted"))
    row = await Reply.objects.select_related("message").aget(pk=reply.pk)
    assert (row.status, row.message.text) == ("interrupted", "one two")
    assert await Conversation.objects.acount() == 1


def test_the_timeout_is_longer_than_work_is_repeated() -> None:
    assert connection.settings_dict["OPTIONS"]["timeout"] > database.AWAY_SECONDS
