"""Replies that staff watch while they are written, in process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat import sse
from chat.database import in_thread
from chat.models import AuditRecord, Conversation, Message, Reply, User
from chat.views import stream
from tests.client import AsyncClient
from tests.hosts import PATIENCE, StartHost
from tests.test_admin import talk
from tests.upstream import Upstream, finish, pause, text
from tests.visitor import Event

pytestmark = pytest.mark.django_db(transaction=True)

WATCHED = AuditRecord.Action.WATCHED


def url(reply: Reply, name: str = "events") -> str:
    conversation = reply.message.conversation_id
    args = [conversation] if name == "events" else [conversation, reply.pk]
    return reverse(f"admin:chat_conversation_{name}", args=args)


async def events(browser: AsyncClient, reply: Reply, **query: Any) -> AsyncGenerator[Event]:
    """What the stream says of the reply, as it comes."""
    asked = {"reply": f"{reply.pk}:0", "version": "0", **query}
    response: Any = await browser.get(url(reply), asked, headers={"accept": "text/event-stream"})
    assert response.status_code == 200
    decoder = sse.Decoder()
    async with asyncio.timeout(PATIENCE), aclosing(response.streaming_content) as chunks:
        async for chunk in chunks:
            for event in decoder.feed(chunk):
                yield Event(event)


async def versions(browser: AsyncClient, conversation: Conversation) -> AsyncGenerator[int | None]:
    """Those of the conversation, as a stream that names no reply tells them."""
    response: Any = await browser.get(reverse("admin:chat_conversation_events", args=[conversation.pk]))
    assert response.status_code == 200
    decoder = sse.Decoder()
    async with asyncio.timeout(PATIENCE), aclosing(response.streaming_content) as chunks:
        async for chunk in chunks:
            for event in map(Event, decoder.feed(chunk)):
                assert event.name in ("change", "alive"), "it is about no reply"
                if event.name == "change":
                    yield event.data["version"]


async def watched(conversation: Conversation) -> int:
    """How often; the records of earlier tests stay."""
    return await AuditRecord.objects.filter(action=WATCHED, conversation=conversation.pk).acount()


async def reviewer(bob: User, *permissions: str) -> User:
    """Bob as staff, with these permissions."""
    bob.is_staff = True
    await bob.asave()
    await bob.user_permissions.aset([pk async for pk in Permission.objects.filter(codename__in=permissions)])
    return bob


async def test_staff_watch_a_reply_until_its_end(
    start_host: StartHost, upstream: Upstream, alice: User, sam: User
) -> None:
    here, there = await start_host(), await start_host()
    upstream.script(text("One "), pause("more"), text("two."), finish())
    reply, run = await here.ask(alice)
    await here.until(reply, "One ")
    browser, words = await there.browser(sam), ""
    async with aclosing(events(browser, reply)) as page:
        async for event in page:
            if event.name == "change":
                assert event.data["version"] == (await Conversation.objects.aget()).version
            if event.name in ("delta", "snapshot"):
                words += event.data["text"]
                upstream.release("more")
            if event.name == "end":
                break
    assert words == "One two."
    await run.task
    record = await AuditRecord.objects.filter(action=WATCHED).alast()
    assert record
    assert (record.by_name, record.conversation) == ("sam", reply.message.conversation_id)
    html = (await browser.get(url(reply, "message"))).content.decode()
    assert "One two." in html
    assert "status--complete" in html


async def test_watching_ends_with_the_right_to_read(
    start_host: StartHost, upstream: Upstream, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RIGHTS_LOOK", 0.0)
    monkeypatch.setattr(stream, "SIGN_OF_LIFE", 0.02)
    host = await start_host()
    upstream.script(text("One "), pause("more"), text("two."), finish())
    reply, run = await host.ask(alice)
    await host.until(reply, "One ")
    await reviewer(bob, "view_conversation", "read_conversation")
    async with aclosing(events(await host.browser(bob), reply)) as page:
        async for event in page:
            if event.name in ("delta", "snapshot"):
                await bob.user_permissions.aclear()
    upstream.release("more")
    await run.task


async def test_a_transcript_hears_of_changes_and_is_not_recorded_as_watching(
    start_host: StartHost, alice: User, sam: User
) -> None:
    conversation = await in_thread(talk)(alice, "Answer.")
    browser = await (await start_host()).browser(sam)
    async with aclosing(versions(browser, conversation)) as told:
        assert await anext(told) == conversation.version
        await in_thread(conversation.set_options)(title="Soup")
        assert await anext(told) == conversation.version + 1
        await Conversation.objects.filter(pk=conversation.pk).aupdate(trashed=timezone.now())
        assert await anext(told) is None
    assert await watched(conversation) == 0


async def test_hearing_of_changes_ends_with_the_right_to_read(
    start_host: StartHost, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RIGHTS_LOOK", 0.0)
    monkeypatch.setattr(stream, "SIGN_OF_LIFE", 0.02)
    conversation = await in_thread(talk)(alice, "Answer.")
    await reviewer(bob, "view_conversation", "read_conversation")
    async with aclosing(versions(await (await start_host()).browser(bob), conversation)) as told:
        async for _version in told:
            await bob.user_permissions.aclear()


@pytest.mark.any_store
@pytest.mark.parametrize(("query", "name"), [("", "events"), ("?reply={}:0", "events"), ("", "message")])
@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        (["view_conversation"], 403),
        (["read_conversation"], 403),
        (["view_conversation", "read_conversation"], 200),
    ],
    ids=["only sees", "only reads", "both"],
)
async def test_watching_takes_both_permissions(
    start_host: StartHost, alice: User, bob: User, query: str, name: str, permissions: list[str], status: int
) -> None:
    conversation = await in_thread(talk)(alice, "Answer.")
    reply = await Reply.objects.select_related("message").aget(message__conversation=conversation)
    browser = await (await start_host()).browser(await reviewer(bob, *permissions))
    response: Any = await browser.get(url(reply, name) + query.format(reply.pk))
    assert response.status_code == status
    # A stream that names no reply has no text.
    has_text = bool(query) or name == "message"
    assert await watched(conversation) == (status == 200 and has_text)
    if response.streaming:
        async with aclosing(response.streaming_content):
            pass


@pytest.mark.parametrize("name", ["events", "message"])
async def test_people_without_staff_rights_watch_nothing(
    start_host: StartHost, alice: User, bob: User, name: str
) -> None:
    conversation = await in_thread(talk)(alice, "Answer.")
    reply = await Reply.objects.select_related("message").aget()
    response = await (await (await start_host()).browser(alice)).get(url(reply, name))
    assert response.status_code == 302
    assert await watched(conversation) == 0


async def test_a_reason_that_is_missing_lets_nobody_watch(
    start_host: StartHost, alice: User, sam: User, settings: Settings
) -> None:
    settings.CHAT_READ_REASON = True
    await in_thread(talk)(alice, "Answer.")
    reply = await Reply.objects.select_related("message").aget()
    assert (await (await (await start_host()).browser(sam)).get(url(reply))).status_code == 403


@pytest.mark.parametrize("query", ["reply=x", "list=x", "reply=" + "&reply=".join(f"{i:032x}:0" for i in range(51))])
async def test_a_query_that_no_page_sends_is_refused(start_host: StartHost, alice: User, sam: User, query: str) -> None:
    await in_thread(talk)(alice, "Answer.")
    reply = await Reply.objects.select_related("message").aget()
    assert (await (await (await start_host()).browser(sam)).get(f"{url(reply)}?{query}")).status_code == 400


async def test_what_is_elsewhere_is_not_found(start_host: StartHost, alice: User, bob: User, sam: User) -> None:
    here, there = await in_thread(talk)(alice, "Here."), await in_thread(talk)(bob, "There.")
    elsewhere = await Message.objects.aget(text="There.")
    browser = await (await start_host()).browser(sam)
    address = reverse("admin:chat_conversation_message", args=[here.pk, elsewhere.pk])
    assert (await browser.get(address)).status_code == 404
    nowhere = reverse("admin:chat_conversation_message", args=[elsewhere.pk, there.pk])
    assert (await browser.get(nowhere)).status_code == 404
