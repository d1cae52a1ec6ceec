"""A reply between a real reader, a real server and a scripted endpoint: what only HTTP, signals and processes show.

`tests/test_generation.py` and `tests/test_process.py` have the rest, without servers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from tests.server import Server, Servers, SharedServers
from tests.upstream import Upstream, done, finish, hang, pause, reasoning, text, usage
from tests.visitor import Visitor, written


@pytest.fixture
def server(share_server: SharedServers, upstream: Upstream) -> Server:
    return share_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_DRAIN_SECONDS="50")


@pytest.fixture
async def alice(server: Server) -> AsyncIterator[Visitor]:
    async with Visitor(server, "alice") as alice:
        yield alice


async def test_a_reply_is_relayed_and_stored(server: Server, upstream: Upstream, alice: Visitor) -> None:
    figures = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    upstream.script(reasoning("hm"), text("Hello"), text(" world"), finish(), usage(figures), done())
    reply = await alice.ask("Hello?")
    events = await alice.whole(reply)
    assert written(events) == "Hello world"
    assert events[-1].data == {"status": "complete", "finish_reason": "stop", "usage": figures, "error": None}
    row = server.stored(reply)
    assert (row.status, row.message.text, row.reasoning) == ("complete", "Hello world", "hm")
    assert row.last_seq == events[-1].id


async def test_text_is_shown_before_the_model_has_finished(upstream: Upstream, alice: Visitor) -> None:
    upstream.script(text("first"), pause("rest"), text(" second"), finish())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "first")
    async with aclosing(alice.follow(reply)) as events:
        assert (await anext(events)).data == {"text": "first"}
        upstream.release("rest")
        assert (await anext(events)).data == {"text": " second"}
        assert (await anext(events)).data["status"] == "complete"


async def test_a_reply_is_stopped_through_another_process(
    start_server: Servers, server: Server, upstream: Upstream, alice: Visitor
) -> None:
    other = start_server(server.database, OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small")
    upstream.script(text("so far"), pause("more"), text(" growing"), hang())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "so far")
    async with Visitor(other, "alice") as elsewhere:
        assert await elsewhere.stop(reply) == "stopped"
        upstream.release("more")
        request = await asyncio.to_thread(upstream.next_request)
        await asyncio.to_thread(request.wait_closed)
        assert written(await elsewhere.whole(reply)) == written(await alice.whole(reply)) == "so far"
    assert server.stored(reply).message.text == "so far"


async def test_text_shown_before_a_kill_is_kept(server: Server, upstream: Upstream, alice: Visitor) -> None:
    upstream.script(reasoning("hm"), text("so far"), hang())
    reply = await alice.ask("Hello?")
    seen = await alice.until(reply, "so far")
    server.restart()
    events = await alice.whole(reply, after=seen[-1].id)
    assert [event.name for event in events] == ["end"]
    assert (events[0].data["status"], events[0].id) == ("interrupted", seen[-1].id + 1)
    row = server.stored(reply)
    assert (row.status, row.message.text, row.reasoning) == ("interrupted", "so far", "hm")
    assert len(upstream.requests) == 1


async def test_sigterm_finishes_replies_and_queues_questions(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "so far")
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    await alice.until_draining()
    question = await alice.ask("Another one?")
    upstream.release("rest")
    assert await ending == 0
    row = server.stored(reply)
    assert (row.status, row.message.text) == ("complete", "so far and on")
    assert server.stored(question).status == "queued"
    server.start()
    assert written(await alice.whole(question)) == "Hello world"


async def test_sigterm_does_not_wait_for_half_sent_requests(server: Server, alice: Visitor) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /c/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nhalf of it")
    await writer.drain()
    assert (await alice.client.get("/healthz/")).status_code == 200
    assert await asyncio.to_thread(server.terminate) == 0
    writer.close()


async def test_readers_see_a_reply_end_during_the_drain(start_server: Servers, upstream: Upstream) -> None:
    server = start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_DRAIN_SECONDS="50")
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("Hello?")
        async with aclosing(alice.follow(reply)) as events:
            seen = [await anext(events)]
            ending = asyncio.create_task(asyncio.to_thread(server.terminate))
            await alice.until_draining()
            upstream.release("rest")
            seen += [event async for event in events]
        assert await ending == 0
    assert written(seen) == "so far and on"
    assert seen[-1].data["status"] == "complete"
