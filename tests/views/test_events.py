"""The event stream of a page, in process: what changes elsewhere, and the replies that are being written on it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from pytest_django import Settings

from chat import asking, sessions, sse
from chat.changes import number_of
from chat.database import in_thread
from chat.models import Conversation, Reply, User
from chat.views import stream
from tests.client import AsyncClient
from tests.endings import end
from tests.hosts import PATIENCE, StartHost
from tests.upstream import Upstream, finish, hang, pause, text
from tests.visitor import Event


async def events(client: AsyncClient, conversation: Conversation | None = None, **page: Any) -> AsyncGenerator[Event]:
    """The events of a page's stream, as they come."""
    query = page | ({"conversation": str(conversation.pk)} if conversation else {})
    response: Any = await client.get("/events/", query, headers={"accept": "text/event-stream"})
    assert response.status_code == 200, response.content
    decoder = sse.Decoder()
    async with asyncio.timeout(PATIENCE), aclosing(response.streaming_content) as chunks:
        async for chunk in chunks:
            for event in decoder.feed(chunk):
                yield Event(event)


async def now(reply: Reply) -> tuple[Conversation, dict[str, int]]:
    """The reply's conversation, and what an up-to-date page of it says that it shows."""
    conversation = await Conversation.objects.select_related("owner").aget(messages=reply.pk)
    running = [pk async for pk in Reply.objects.running().values_list("message__conversation", flat=True)]
    shown = {"version": conversation.version, "list": conversation.owner.list_version, "running": number_of(running)}
    return conversation, shown


async def of_replies(page: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """The events of the replies; how the list changes when they end is told in between."""
    async with aclosing(page):
        async for event in page:
            if event.name != "change":
                yield event


async def test_a_change_in_one_process_is_told_in_another(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    here, there = await start_host(), await start_host()
    reply, run = await here.ask(alice)
    await run.task
    conversation, shown = await now(reply)
    async with aclosing(events(await there.browser(alice), conversation, **shown)) as page:
        told = asyncio.ensure_future(anext(page))
        client = await here.browser(alice)
        await client.post(f"/c/{conversation.pk}/branch/", {"message": str(reply.pk)})
        event = await told
    assert (event.name, event.data) == ("change", {**shown, "version": shown["version"] + 1})


async def test_a_page_that_was_away_hears_at_once_of_other_versions(start_host: StartHost, alice: User) -> None:
    host = await start_host()
    reply, run = await host.ask(alice)
    await run.task
    conversation, shown = await now(reply)
    await in_thread(conversation.show)(reply.message)
    async with aclosing(events(await host.browser(alice), conversation, **shown)) as page:
        assert (await anext(page)).data["version"] == shown["version"] + 1


async def test_a_page_without_a_conversation_follows_the_list(start_host: StartHost, alice: User) -> None:
    host = await start_host()
    async with aclosing(events(await host.browser(alice), list=0)) as page:
        told = asyncio.ensure_future(anext(page))
        await host.ask(alice)
        data = (await told).data
        assert (data["version"], data["list"]) == (None, 1)


@pytest.mark.parametrize("whose", ["a deleted", "a stranger's"])
async def test_a_conversation_that_is_not_there_has_no_version(
    start_host: StartHost, alice: User, bob: User, whose: str
) -> None:
    host = await start_host()
    reply, run = await host.ask(alice)
    await run.task
    conversation, shown = await now(reply)
    if whose == "a deleted":
        await Conversation.objects.filter(pk=conversation.pk).adelete()
    client = await host.browser(alice if whose == "a deleted" else bob)
    async with aclosing(events(client, conversation, **shown)) as page:
        assert (await anext(page)).data["version"] is None


async def test_one_stream_carries_all_replies_from_their_cursors(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("one"), pause("first"), text(" two"), finish())
    upstream.script(text("eins"), pause("second"), text(" zwei"), finish())
    host = await start_host()
    first, _ = await host.ask(alice)
    cursor = await host.until(first, "one")
    second, _ = await host.ask(alice)
    await host.until(second, "eins")
    conversation, shown = await now(first)
    cursors = [f"{first.pk}:{cursor}", f"{second.pk}:0"]
    told = events(await host.browser(alice), conversation, **shown, reply=cursors)
    async with aclosing(of_replies(told)) as page:
        assert (await anext(page)).data == {"text": "eins", "reply": str(second.pk)}
        upstream.release("first")
        rest = [await anext(page), await anext(page)]
        assert [(event.name, event.data["reply"]) for event in rest] == [
            ("delta", str(first.pk)),
            ("end", str(first.pk)),
        ]
        assert (rest[0].data["text"], rest[0].id) == (" two", cursor + 1)
        upstream.release("second")
        rest = [await anext(page), await anext(page)]
        assert [(event.name, event.data["reply"]) for event in rest] == [
            ("delta", str(second.pk)),
            ("end", str(second.pk)),
        ]


async def test_a_strangers_reply_stays_silent(
    start_host: StartHost, upstream: Upstream, alice: User, bob: User
) -> None:
    upstream.script(text("secret"), hang())
    host = await start_host()
    reply, _ = await host.ask(alice)
    await host.until(reply, "secret")
    async with aclosing(events(await host.browser(bob), list=0, reply=f"{reply.pk}:0")) as page:
        told = asyncio.ensure_future(anext(page))
        await in_thread(asking.begin)(bob, "Hello", "small")
        assert (await told).name == "change"


async def test_a_page_hears_of_the_end_of_a_reply_that_is_over(start_host: StartHost, alice: User) -> None:
    host = await start_host()
    reply = await in_thread(asking.begin)(alice, "Hello", "small")
    await in_thread(end)(reply, "Bye", last_seq=3)
    conversation, shown = await now(reply)
    async with aclosing(events(await host.browser(alice), conversation, **shown, reply=f"{reply.pk}:1")) as page:
        assert [(await anext(page)).name for _ in range(2)] == ["snapshot", "end"]


async def test_a_quiet_stream_ends_with_its_session(
    start_host: StartHost, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LOOK", 0)
    monkeypatch.setattr(stream, "SIGN_OF_LIFE", 0.01)
    host = await start_host()
    client = await host.browser(alice)
    async with aclosing(events(client, list=0)) as page:
        assert (await anext(page)).name == "alive"
        await client.alogout()
        assert {event.name for event in await everything(page)} <= {"alive"}


async def test_a_process_lets_pages_go_before_it_ends(start_host: StartHost, alice: User) -> None:
    host = await start_host()
    async with aclosing(events(await host.browser(alice), list=1)) as page:
        assert (await anext(page)).data["list"] == 0
        rest = asyncio.ensure_future(everything(page))
        await host.drain()
        assert await rest == []


async def everything(page: AsyncGenerator[Event]) -> list[Event]:
    return [event async for event in page]


@pytest.mark.parametrize(
    "query",
    [
        "conversation=none",
        "list=-1",
        "list=99999999999",
        "reply=one:2",
        "reply=01a2185c-fb6f-7f72-b3a5-7b689e0ad887",
        "&".join(f"reply=01a2185c-fb6f-7f72-b3a5-7b689e0ad8{number}:0" for number in range(10, 40)),
    ],
)
async def test_a_query_that_no_page_sends_is_refused(start_host: StartHost, alice: User, query: str) -> None:
    client = await (await start_host()).browser(alice)
    response = await client.get(f"/events/?{query}", headers={"accept": "text/event-stream"})
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "The page couldn't be followed. Reload it."


async def test_streams_opened_at_the_same_moment_count_too(
    start_host: StartHost, alice: User, settings: Settings
) -> None:
    settings.CHAT_PERSON_STREAMS = 1
    client = await (await start_host()).browser(alice)
    async with aclosing(events(client, list=1)) as first:
        late: Any = await client.get("/events/", {"list": 1}, headers={"accept": "text/event-stream"})
        await anext(first)
        assert b"event" not in b"".join([block async for block in late.streaming_content])


async def test_a_persons_pages_count_as_streams(start_host: StartHost, alice: User, settings: Settings) -> None:
    settings.CHAT_PERSON_STREAMS = 1
    client = await (await start_host()).browser(alice)
    async with aclosing(events(client, list=1)) as page:
        await anext(page)
        response = await client.get("/events/", headers={"accept": "text/event-stream"})
        assert response.status_code == 429
