"""What raises the versions of conversations and lists, and how open pages hear of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.db.models import Q
from django.urls import reverse

from chat import asking, changes, trash
from chat.changes import Changes, Versions, number_of
from chat.database import DatabaseThreads, in_thread
from chat.models import Conversation, Reply, User
from tests.client import Client
from tests.endings import end
from tests.hosts import PATIENCE

# Pages look from other threads.
pytestmark = pytest.mark.django_db(transaction=True)


LOOK = changes.LOOK


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK", 0)


@pytest.fixture
def broken_off(alice: User) -> Reply:
    reply = asking.begin(alice, "Hello", "demo")
    end(reply, "so far", "interrupted")
    return reply


@pytest.fixture
def conversation(broken_off: Reply) -> Conversation:
    return broken_off.message.conversation


# How soon


def test_pages_hear_within_two_seconds_even_if_a_look_takes_one() -> None:
    assert LOOK <= 1


# What raises versions


def versions_of(conversation: Conversation) -> tuple[int, int]:
    now = Conversation.objects.select_related("owner").get(pk=conversation.pk)
    return now.version, now.owner.list_version


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: asking.ask(reply.message.conversation, "And?", "demo"),
        lambda reply: asking.retry(reply, "demo"),
        lambda reply: asking.resume(reply, "demo"),
    ],
    ids=["a question", "a retry", "a continuation"],
)
def test_asking_raises_both_versions(
    broken_off: Reply, conversation: Conversation, change: Callable[[Reply], Any]
) -> None:
    version, listed = versions_of(conversation)
    change(broken_off)
    assert versions_of(conversation) == (version + 1, listed + 1)


def test_a_new_conversation_raises_the_version_of_the_list(broken_off: Reply, alice: User) -> None:
    alice.refresh_from_db()
    before = alice.list_version
    asking.begin(alice, "Hello", "demo")
    alice.refresh_from_db()
    assert alice.list_version == before + 1


def test_a_switch_of_branch_raises_the_version_of_the_conversation(
    broken_off: Reply, conversation: Conversation
) -> None:
    asking.retry(broken_off, "demo")
    version, listed = versions_of(conversation)
    conversation.show(broken_off.message)
    assert versions_of(conversation) == (version + 1, listed)


def test_a_change_is_counted_on_top_of_all_others(conversation: Conversation, broken_off: Reply) -> None:
    version, _ = versions_of(conversation)
    Conversation.objects.get(pk=conversation.pk).show(broken_off.message)
    # This object has the version of before.
    conversation.show(broken_off.message)
    assert versions_of(conversation)[0] == version + 2


@pytest.mark.parametrize("where", ["the chat", "the administration"])
def test_deleting_a_conversation_raises_the_version_of_the_list(
    client: Client, conversation: Conversation, alice: User, bob: User, sam: User, where: str
) -> None:
    alice.refresh_from_db()
    before = alice.list_version
    if where == "the chat":
        client.force_login(alice)
        client.post(reverse("delete_conversation", args=[conversation.pk]))
    else:
        client.force_login(sam)
        client.post(reverse("admin:chat_conversation_delete", args=[conversation.pk]), {"post": "yes"})
    assert not Conversation.objects.for_user(alice).exists()
    alice.refresh_from_db()
    bob.refresh_from_db()
    assert (alice.list_version, bob.list_version) == (before + 1, 0)


def test_running_replies_have_a_number_that_a_query_can_hold() -> None:
    one, other = (UUID(int=number) for number in (1, 2))
    numbers = [number_of(running) for running in ([], [one], [other], [one, other])]
    assert len(set(numbers)) == 4
    assert numbers[0] == 0
    assert all(0 <= number < 2**31 for number in numbers)
    assert number_of([other, one]) == numbers[3]


# What pages hear


@asynccontextmanager
async def following(person: User, conversation: UUID | None = None) -> AsyncIterator[AsyncGenerator[Versions]]:
    async with asyncio.timeout(PATIENCE), aclosing(Changes(DatabaseThreads(2)).follow(person.pk, conversation)) as news:
        yield news


async def test_a_page_hears_the_versions_once_and_then_each_change(
    alice: User, broken_off: Reply, conversation: Conversation
) -> None:
    version, listed = await in_thread(versions_of)(conversation)
    async with following(alice, conversation.pk) as news:
        assert await anext(news) == Versions(version, listed)
        await in_thread(conversation.show)(broken_off.message)
        assert await anext(news) == Versions(version + 1, listed)
        another = await in_thread(asking.begin)(alice, "Another", "demo")
        running = number_of([another.message.conversation_id])
        # Each number is looked up by itself, so one can come before the other.
        while await anext(news) != Versions(version + 1, listed + 1, running):
            pass
        await in_thread(end)(another)
        assert await anext(news) == Versions(version + 1, listed + 1)


async def test_a_deleted_conversation_has_no_version(alice: User, conversation: Conversation) -> None:
    async with following(alice, conversation.pk) as news:
        assert (await anext(news)).conversation is not None
        await conversation.adelete()
        assert (await anext(news)).conversation is None


async def test_a_conversation_in_the_trash_looks_like_a_deleted_one(alice: User, conversation: Conversation) -> None:
    async with following(alice, conversation.pk) as news:
        version = (await anext(news)).conversation
        assert version is not None
        await in_thread(trash.put)(alice, [conversation.pk])
        # The list may have changed first.
        while (await anext(news)).conversation is not None:
            pass
        await in_thread(trash.restore)(alice, Q(pk=conversation.pk))
        while (restored := (await anext(news)).conversation) is None:
            pass
        assert restored == version + 2


async def test_a_strangers_conversation_looks_like_a_deleted_one(conversation: Conversation, bob: User) -> None:
    async with following(bob, conversation.pk) as news:
        assert await anext(news) == Versions(None, 0)


async def test_each_page_hears_of_its_own_conversation(
    alice: User, bob: User, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pages than fit into one query."""
    monkeypatch.setattr(changes, "LOOKED_UP_AT_ONCE", 1)
    other = (await in_thread(asking.begin)(bob, "Hello", "demo")).message.conversation
    open_pages = Changes(DatabaseThreads(2))
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(open_pages.follow(alice.pk, conversation.pk)) as hers,
        aclosing(open_pages.follow(bob.pk, other.pk)) as his,
    ):
        assert await anext(hers) == Versions(*await in_thread(versions_of)(conversation))
        assert await anext(his) == Versions(*await in_thread(versions_of)(other), number_of([other.pk]))


async def test_an_absent_database_looks_like_no_change(
    alice: User, broken_off: Reply, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, answers = changes._find, asyncio.Event()
    failures = 0

    async def sometimes_away(*sought: Any) -> Any:
        nonlocal failures
        if not answers.is_set():
            failures += 1
            raise OperationalError
        return await find(*sought)

    monkeypatch.setattr(changes, "_find", sometimes_away)
    version, listed = await in_thread(versions_of)(conversation)
    async with following(alice, conversation.pk) as news:
        first = asyncio.ensure_future(anext(news))
        while failures < 3:  # noqa: ASYNC110 (only that tells)
            await asyncio.sleep(0)
        answers.set()
        assert await first == Versions(version, listed)


async def test_nobody_looks_when_no_page_is_open(alice: User) -> None:
    open_pages = Changes(DatabaseThreads(2))
    for _ in range(2):
        async with asyncio.timeout(PATIENCE), aclosing(open_pages.follow(alice.pk)) as news:
            assert await anext(news) == Versions(None, 0)
            looking = open_pages._looking
            assert looking
        await asyncio.wait([looking])
        assert open_pages._looking is None
