"""Temporary conversations: who finds them, when they end, what they leave, and how one is kept."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from chat import asking, queued, temporary, trash
from chat.database import in_thread
from chat.models import (
    Conversation,
    Draft,
    Job,
    LedgerEntry,
    Message,
    QueuedQuestion,
    Reply,
    ReplyEvent,
    Searchable,
    User,
)
from chat.search import END, for_staff, newest, parse
from tests.endings import end
from tests.hosts import PATIENCE, StartHost, events, stored
from tests.server import Server, SharedServers
from tests.upstream import Upstream, finish, hang, text
from tests.visitor import Visitor, written

# Processes use the database from other threads.
pytestmark = pytest.mark.django_db(transaction=True)

ROWS = (Conversation, Message, Reply, ReplyEvent, Searchable, QueuedQuestion, Draft, Job)


@pytest.fixture
def reply(alice: User) -> Reply:
    """The complete one in Alice's temporary conversation."""
    reply = asking.begin(alice, "How much salt?", "demo", temporary=True)
    end(reply, "Two spoons.")
    return reply


@pytest.fixture
def conversation(reply: Reply) -> Conversation:
    return Conversation.objects.get()


def found(person: User, words: str) -> int:
    return len(newest(Searchable.objects.for_user(person), parse(words), person.pk, 10, before=END).rows)


def staff_found(words: str) -> int:
    return len({row.conversation_id for row in for_staff(Conversation.objects.all(), words).rows})


def erase() -> None:
    for pk, _ in temporary.to_erase():
        temporary.erase(pk)


# Who finds it


def test_it_is_in_no_list_and_no_search(alice: User, conversation: Conversation, settings: Settings) -> None:
    settings.CHAT_TITLES = True
    assert not Conversation.objects.for_user(alice).listed().exists()
    assert found(alice, "salt") == found(alice, "temporary") == staff_found("spoons") == 0
    assert conversation.title == "Temporary chat"
    second = asking.ask(conversation, "And thyme?", "demo")
    end(second, "Some.")
    assert not Job.objects.exists(), "no model makes a title"


def test_the_trash_takes_none(alice: User, conversation: Conversation) -> None:
    assert trash.put(alice, [conversation.pk]) is None
    temporary.end(temporary.open_of(alice))
    assert not Conversation.objects.trash_of(alice).exists()


def test_a_search_by_staff_finds_as_much_beside_it(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.search.finding.FOR_STAFF", 2)
    asking.begin(alice, "Salt?", "demo")
    for _ in range(3):
        asking.begin(alice, "Salt?", "demo", temporary=True)
    assert staff_found("salt") == 1


# What it leaves


def test_the_row_of_the_ledger_is_all_that_stays(alice: User, bob: User, conversation: Conversation) -> None:
    queued.add(conversation, "And thyme?", "demo")
    Draft.objects.keep(alice.pk, conversation.pk, "half a")
    assert temporary.end(temporary.open_of(bob)) == 0
    assert temporary.end(temporary.open_of(alice)) == 1
    assert not Conversation.objects.for_user(alice).exists()
    erase()
    for rows in ROWS:
        assert not rows.objects.exists(), rows
    entry = LedgerEntry.objects.get()
    assert (entry.person, entry.model, entry.temporary) == (alice, "demo", True)


def test_others_leave_more(alice: User, reply: Reply) -> None:
    other = asking.begin(alice, "How much thyme?", "demo")
    temporary.end(Conversation.objects.all())
    temporary.end_forgotten()
    erase()
    assert list(Conversation.objects.for_user(alice)) == [other.message.conversation]
    assert LedgerEntry.objects.filter(temporary=False).count() == 1


# When it ends


def test_it_ends_some_time_after_the_last_question(conversation: Conversation, settings: Settings) -> None:
    settings.CHAT_TEMPORARY_HOURS = 2
    Conversation.objects.update(created=F("created") - timedelta(hours=3))
    assert temporary.end_forgotten() == 0
    Conversation.objects.update(updated=timezone.now() - timedelta(hours=3))
    assert temporary.end_forgotten() == 1
    assert temporary.end_forgotten() == 0


async def test_a_process_ends_and_erases_by_itself(start_host: StartHost, conversation: Conversation) -> None:
    await Conversation.objects.aupdate(updated=timezone.now() - timedelta(days=2))
    # It has done all its recurring work once by the time it runs.
    host = await start_host()
    await host.erase_temporary()
    assert not await Conversation.objects.aexists()


async def test_a_running_reply_ends_first(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    """It is read through one process and written by another, which dies before anything is erased."""
    upstream.script(text("so far"), hang())
    here, there = await start_host(), await start_host()
    reply, run = await here.ask(alice, temporary=True)
    await here.until(reply, "so far")
    async with aclosing(events(await there.browser(alice), reply)) as stream:
        assert (await anext(stream)).data == {"text": "so far"}
        assert await in_thread(temporary.end)(temporary.open_of(alice)) == 1
        await there.erase_temporary()
        assert await Conversation.objects.aexists(), "its reply is still being written"
        await here.reconcile()
        async with asyncio.timeout(PATIENCE):
            *_, last = [event async for event in stream]
    assert (last.data["status"], last.data["error"]["code"]) == ("interrupted", "deleted")
    await asyncio.to_thread(upstream.next_request().wait_closed)
    await run.task
    await here.die()
    await there.erase_temporary()
    assert not await Conversation.objects.aexists()


@pytest.fixture
def server(share_server: SharedServers, upstream: Upstream) -> Server:
    return share_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small")


async def test_it_survives_a_kill_and_so_does_its_end(server: Server, upstream: Upstream) -> None:
    upstream.script(text("so far"), hang())
    async with Visitor(server, "alice") as alice:
        asked = (await alice.post("/c/", text="Hello?", temporary="true")).json()
        assert written(await alice.until(asked["reply"], "so far")) == "so far"
        await asyncio.to_thread(server.restart)
        url = asked["conversation"]["url"]
        page = (await alice.client.get(url)).text
        assert "so far" in page
        assert "Temporary chat." in page
        assert (await alice.post(f"{url}end/")).status_code == 200
        await asyncio.to_thread(server.restart)
        assert (await alice.client.get(url)).status_code == 404
        async with asyncio.timeout(PATIENCE):
            while await asyncio.to_thread(server.database.run, Conversation.objects.count):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    assert server.database.run(lambda: [rows.objects.count() for rows in ROWS]) == [0] * len(ROWS)
    assert server.database.run(lambda: list(LedgerEntry.objects.values_list("temporary", flat=True))) == [True]


# Kept after all


def test_one_that_is_kept_is_like_any_other(alice: User, bob: User, reply: Reply, settings: Settings) -> None:
    settings.CHAT_TITLES = True
    conversation = reply.message.conversation
    asking.ask(conversation, "And thyme?", "demo")
    before = Conversation.objects.get()
    assert not temporary.keep(bob, conversation.pk)
    assert temporary.keep(alice, conversation.pk)
    assert not temporary.keep(alice, conversation.pk)
    kept = Conversation.objects.for_user(alice).listed().get()
    assert (kept.title, kept.titled_by, kept.version) == ("How much salt?", "words", before.version + 1)
    assert (found(alice, "salt"), found(alice, "spoons"), found(alice, "temporary")) == (2, 1, 0)
    assert Job.objects.get().subject == str(kept.pk)
    Conversation.objects.update(updated=timezone.now() - timedelta(days=99))
    assert temporary.end_forgotten() == 0


def test_what_has_ended_cannot_be_kept(alice: User, conversation: Conversation) -> None:
    temporary.end(temporary.open_of(alice))
    assert not temporary.keep(alice, conversation.pk)
    with pytest.raises(Conversation.DoesNotExist):
        asking.ask(conversation, "And thyme?", "demo")


async def test_what_is_kept_while_a_reply_is_written_stays(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("so far"), finish())
    host = await start_host()
    reply, run = await host.ask(alice, temporary=True)
    await in_thread(temporary.keep)(alice, reply.message.conversation_id)
    await run.task
    assert (await stored(reply)).message.text == "so far"
    assert await in_thread(found)(alice, "far") == 1
