"""The trash: who finds what is in it, what becomes of replies in it, and how it is emptied."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.models import Q
from django.utils import timezone
from pytest_django import Settings

from chat import asking, queued, trash
from chat.database import in_thread
from chat.models import Conversation, Message, QueuedQuestion, Reply, User
from tests.endings import end
from tests.hosts import PATIENCE, StartHost, events, stored
from tests.server import Databases
from tests.upstream import Upstream, finish, hang, text

# Processes use the database from other threads.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reply(alice: User) -> Reply:
    """The complete one in Alice's conversation."""
    reply = asking.begin(alice, "Hello?", "demo")
    end(reply, "Hello!")
    return reply


@pytest.fixture
def conversation(reply: Reply) -> Conversation:
    return reply.message.conversation


def several(owner: User, count: int, days: int) -> None:
    """Conversations that have been in the trash for this many days."""
    since = timezone.now() - timedelta(days=days)
    Conversation.objects.bulk_create(
        Conversation(owner=owner, title=f"{days} days", model="demo", trashed=since) for _ in range(count)
    )


# What is in it


def test_what_is_in_the_trash_is_found_nowhere_else(alice: User, bob: User, conversation: Conversation) -> None:
    moment = trash.put(alice, [conversation.pk])
    assert not Conversation.objects.for_user(alice).exists()
    assert not Reply.objects.for_user(alice).exists()
    assert list(Conversation.objects.trash_of(alice).values_list("trashed", flat=True)) == [moment]
    assert not Conversation.objects.trash_of(bob).exists()


def test_what_is_restored_is_as_it_was(alice: User, conversation: Conversation) -> None:
    Conversation.objects.update(pinned=True)
    before = Conversation.objects.get()
    trash.put(alice, [conversation.pk])
    assert trash.restore(alice, Q(pk=conversation.pk)) == [conversation.pk]
    after = Conversation.objects.for_user(alice).get()
    assert (after.updated, after.pinned, after.leaf_id) == (before.updated, True, before.leaf_id)
    assert trash.restore(alice, Q(pk=conversation.pk)) == []


def test_only_its_owner_puts_a_conversation_there_or_restores_it(
    alice: User, bob: User, conversation: Conversation
) -> None:
    assert trash.put(bob, [conversation.pk]) is None
    trash.put(alice, [conversation.pk])
    assert trash.put(alice, [conversation.pk]) is None
    assert trash.restore(bob, Q(pk=conversation.pk)) == []


# What is asked in it


@pytest.mark.parametrize(
    "ask",
    [
        lambda reply, conversation: asking.ask(conversation, "And?", "demo"),
        lambda reply, conversation: asking.retry(reply, "demo"),
        lambda reply, conversation: asking.edit(Message.objects.get(children=reply.message), "Hi?", "demo"),
        lambda reply, conversation: queued.add(conversation, "And?", "demo"),
        lambda reply, conversation: asking.resume(reply, "demo"),
    ],
    ids=["question", "retry", "edit", "queued question", "resume"],
)
def test_what_is_asked_after_the_deletion_finds_nothing(
    alice: User, reply: Reply, conversation: Conversation, ask: Callable[[Reply, Conversation], object]
) -> None:
    """The conversation was still there when the request came."""
    Reply.objects.update(status="stopped")
    trash.put(alice, [conversation.pk])
    with pytest.raises(Conversation.DoesNotExist):
        ask(reply, conversation)
    assert Message.objects.count() == 2
    assert not QueuedQuestion.objects.exists()


def test_a_queued_question_waits_until_its_conversation_is_restored(alice: User, conversation: Conversation) -> None:
    queued.add(conversation, "And?", "demo")
    trash.put(alice, [conversation.pk])
    assert queued.ask(QueuedQuestion.objects.due(), lambda person, model: model) is None
    trash.restore(alice, Q(pk=conversation.pk))
    assert queued.ask(QueuedQuestion.objects.due(), lambda person, model: model)


async def test_a_reply_ends_when_its_conversation_is_deleted(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    """Deleted through one process, written by another. Restored, it can be continued."""
    upstream.script(text("so far"), hang())
    upstream.script(text(" and on"), finish())
    here, there = await start_host(), await start_host()
    reply, run = await here.ask(alice)
    await here.until(reply, "so far")
    async with aclosing(events(await there.browser(alice), reply)) as stream:
        assert (await anext(stream)).data == {"text": "so far"}
        await in_thread(trash.put)(alice, [reply.message.conversation_id])
        await here.reconcile()
        async with asyncio.timeout(PATIENCE):
            *_, end = [event async for event in stream]
    assert (end.data["status"], end.data["error"]["code"]) == ("interrupted", "deleted")
    await asyncio.to_thread(upstream.next_request().wait_closed)
    await run.task
    await in_thread(trash.restore)(alice, Q(pk=reply.message.conversation_id))
    await (await here.resume(await stored(reply))).task
    assert (await stored(reply)).message.text == "so far and on"


async def test_a_queued_reply_in_the_trash_is_never_asked_for(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("so far"), hang())
    host = await start_host(running=1)
    first, _ = await host.ask(alice)
    await host.until(first, "so far")
    second, run = await host.ask(alice)
    await in_thread(trash.put)(alice, [second.message.conversation_id])
    await host.reconcile()
    await run.task
    assert (await stored(second)).status == "interrupted"
    assert len(upstream.requests) == 1


# How it is emptied


def test_what_has_been_there_long_enough_is_erased(alice: User, conversation: Conversation) -> None:
    several(alice, 2, days=31)
    several(alice, 1, days=29)
    output = StringIO()
    call_command("purge_trash", dry_run=True, stdout=output)
    assert Conversation.objects.count() == 4
    call_command("purge_trash", stdout=output)
    assert output.getvalue().splitlines() == [
        "2 conversations would be deleted for good.",
        "2 conversations are deleted for good.",
    ]
    assert {kept.title for kept in Conversation.objects.all()} == {"Hello?", "29 days"}


def test_the_setting_says_how_long(alice: User, settings: Settings) -> None:
    settings.CHAT_TRASH_DAYS = 1
    several(alice, 1, days=2)
    assert trash.expired().exists()
    settings.CHAT_TRASH_DAYS = 3
    assert not trash.expired().exists()


def test_a_conversation_goes_with_all_that_belongs_to_it(alice: User, conversation: Conversation) -> None:
    queued.add(conversation, "And?", "demo")
    trash.put(alice, [conversation.pk])
    assert trash.erase_some(Conversation.objects.trash_of(alice)) == 1
    assert trash.erase_some(Conversation.objects.trash_of(alice)) == 0
    for rows in (Conversation, Message, Reply, QueuedQuestion):
        assert not rows.objects.exists()


async def test_a_process_erases_by_itself(start_host: StartHost, alice: User) -> None:
    await in_thread(several)(alice, 2 * trash.ERASED_AT_ONCE + 1, days=31)
    # It has purged once by the time it runs.
    await start_host()
    assert not await Conversation.objects.aexists()


def purge(url: str, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "purge_trash", "--verbosity", "2"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": url},
        stdout=output,
    )


def test_a_purge_that_is_killed_is_finished_by_others(databases: Databases) -> None:
    database = databases.make()
    database.run(lambda: several(User.objects.create_user("alice"), 4_000, days=31))
    reading, writing = os.pipe()
    # Nobody reads what it says, so that it stops in the middle.
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    killed = purge(database.url, writing)
    os.close(writing)
    assert os.read(reading, 1)
    killed.kill()
    killed.wait()
    os.close(reading)
    left = database.run(Conversation.objects.count)
    assert 0 < left < 4_000
    for other in [purge(database.url, subprocess.DEVNULL) for _ in range(2)]:
        assert other.wait(PATIENCE) == 0
    assert database.run(Conversation.objects.count) == 0
