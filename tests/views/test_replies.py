"""The stream of a reply's events, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from chat.models import Conversation, Reply, ReplyEvent
from tests.server import Server, Servers
from tests.visitor import PATIENCE, Visitor, written


@pytest.fixture
async def alice(server: Server) -> AsyncIterator[Visitor]:
    async with Visitor(server, "alice") as alice:
        yield alice


async def test_last_event_id_overrides_the_query(alice: Visitor) -> None:
    reply = await alice.ask("/long 30")
    events = await alice.whole(reply)
    async with alice.stream(f"{reply['events_url']}?after=0", **{"last-event-id": str(events[-2].id)}) as response:
        body = await response.aread()
    assert f"id: {events[-1].id}\nevent: end".encode() in body
    assert b"delta" not in body


@pytest.mark.skipif(bool(settings.REDIS_URL), reason="it is about the log in the database")
async def test_after_a_purge_readers_get_a_snapshot_and_the_end(server: Server, alice: Visitor) -> None:
    reply = await alice.ask("/long 30")
    live = await alice.whole(reply)
    server.database.run(lambda: ReplyEvent.objects.all().delete())
    for after in (0, 1, live[-1].id, 2**31 - 1):
        events = await alice.whole(reply, after)
        assert [event.name for event in events] == ["snapshot", "end"]
        assert written(events) == written(live)
        assert events[-1].id == live[-1].id


async def test_a_cursor_from_the_future_gets_a_snapshot(alice: Visitor) -> None:
    reply = await alice.ask("/slow")
    async with aclosing(alice.follow(reply, after=500)) as events:
        assert (await anext(event async for event in events if event.name != "status")).name == "snapshot"
    assert await alice.stop(reply) == "stopped"


async def test_deleting_a_conversation_stops_its_reply_and_ends_its_streams(server: Server, alice: Visitor) -> None:
    reply = await alice.ask("Hello")
    stream = alice.follow(reply)
    await anext(stream)
    response = await alice.post(f"{reply['conversation']['url']}delete/")
    assert response.status_code == 200
    events = [event async for event in stream]
    assert events[-1].name == "end"
    assert events[-1].data["error"]["code"] == "deleted"
    assert not server.database.run(Conversation.objects.kept().exists)
    assert "Traceback" not in server.log()


async def test_a_retry_is_a_sibling_of_the_first_answer(server: Server, alice: Visitor) -> None:
    first = await alice.ask("/fail")
    await alice.whole(first)
    second = await alice.ask("", f"/replies/{first['id']}/retry/")
    await alice.whole(second)
    rows = server.database.run(lambda: list(Reply.objects.select_related("message")))
    assert {row.message.parent_id for row in rows} == {rows[0].message.parent_id}
    assert len(rows) == 2


async def test_streams_share_a_few_threads(server: Server, alice: Visitor) -> None:
    reply = await alice.ask("/stall")
    before = threads(server)
    streams = [alice.follow(reply) for _ in range(40)]
    for stream in streams:
        await anext(stream)
    assert threads(server) - before <= 16
    for stream in streams:
        await stream.aclose()


def threads(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))


async def test_a_person_follows_a_limited_number_of_replies(start_server: Servers) -> None:
    server = start_server(None, CHAT_PERSON_STREAMS="2")
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("/stall")
        first, second = alice.follow(reply), alice.follow(reply)
        await anext(first)
        await anext(second)
        refused = await alice.client.get(reply["events_url"], headers={"accept": "text/event-stream"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
        assert refused.headers["retry-after"] == "10"
        asked = await alice.post("/c/", "text/event-stream", text="Hello?")
        assert (asked.status_code, asked.json()["error"]["code"]) == (429, "too_many_streams")
        await first.aclose()
        # The server learns of it a moment later.
        async with asyncio.timeout(PATIENCE):
            while not await can_follow(alice, reply):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await second.aclose()
        await alice.stop(reply)


async def can_follow(alice: Visitor, reply: dict[str, Any]) -> bool:
    async with alice.stream(reply["events_url"]) as response:
        return response.status_code == 200
