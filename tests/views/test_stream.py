"""Event streams, in process: a test decides what the model writes and when."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.urls import resolve

from chat import sessions, sse
from chat.models import User
from chat.replylog import base
from chat.views import blocks, stream
from tests.client import AsyncClient
from tests.hosts import PATIENCE, Host, StartHost, hosts
from tests.upstream import Upstream, finish, pause, text


@pytest.fixture
async def browser(upstream: Upstream, alice: User) -> AsyncIterator[AsyncClient]:
    """Alice is signed in at a process of its own."""
    browser = AsyncClient()
    browser.handler.process = host = Host.asking(upstream)
    await browser.aforce_login(alice)
    async with hosts(host):
        yield browser


async def events(answer: Any) -> AsyncIterator[sse.ServerSentEvent]:
    decoder = sse.Decoder()
    async for block in answer.streaming_content:
        for event in decoder.feed(block):
            yield event


@pytest.mark.parametrize("how", ["signs out", "is disabled"])
async def test_a_stream_ends_with_its_session(
    browser: AsyncClient, upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    answer = await browser.post("/c/", {"text": "Hello?", "model": "small"}, headers={"accept": "text/event-stream"})
    reading = events(answer)
    while (await anext(reading)).event != "delta":
        pass
    if how == "signs out":
        await browser.alogout()
    else:
        alice.is_active = False
        await alice.asave()
    await browser.handler.process.sessions.look()
    upstream.release("rest")
    assert [event async for event in reading] == []


# In seconds: how long a reader may outlive its session or right, and the pause between two blocks of a quiet stream.
OUTLIVES, QUIET = 15, max(stream.SIGN_OF_LIFE, base.IDLE + base.POLL)


def test_no_reader_outlives_its_session_for_long() -> None:
    """The stream ends with the first block after the look that has noticed."""
    assert sessions.LOOK + QUIET < OUTLIVES


@pytest.mark.parametrize("delta", range(1, int(QUIET) + 1))
async def test_no_delta_puts_the_end_of_a_right_off(monkeypatch: pytest.MonkeyPatch, delta: int) -> None:
    """It is taken away right after a delta, and maybe after a check, on a clock that the test turns."""
    clock, allowed = 0.0, True
    monkeypatch.setattr(stream, "monotonic", lambda: clock)

    async def blocks() -> AsyncGenerator[bytes]:
        nonlocal clock, allowed
        for moment in (QUIET, QUIET + delta):
            clock = moment
            yield b"block"
        allowed = False
        for moment in (2 * QUIET, 3 * QUIET):
            clock = moment
            yield b"sign of life"

    async def may_read() -> bool:
        return allowed

    seen = [block async for block in stream._while_allowed(blocks(), may_read)]
    assert seen[:2] == [b"block", b"block"]
    assert clock - (QUIET + delta) < OUTLIVES


async def test_a_stream_goes_on_with_its_session(
    browser: AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LOOK", 0)
    upstream.script(text("Hello"), finish())
    answer = await browser.post("/c/", {"text": "Hello?", "model": "small"}, headers={"accept": "text/event-stream"})
    names = [event.event async for event in events(answer)]
    assert [name for name in names if name != "status"] == ["reply", "delta", "end"]


@pytest.fixture
def database_away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Streams cannot ask the database for a status until this is undone."""

    async def fail(_: UUID) -> None:
        raise OperationalError

    monkeypatch.setattr(blocks, "_stored_status", fail)
    return monkeypatch


async def test_a_quiet_stream_outlives_an_outage_of_the_database(
    start_host: StartHost, upstream: Upstream, alice: User, database_away: pytest.MonkeyPatch
) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    host = await start_host()
    reply, _ = await host.ask(alice)
    client = await host.browser(alice)
    answer: Any = await client.get(f"/replies/{reply.pk}/events/")
    parts = answer.streaming_content
    while b"so far" not in await anext(parts):
        pass
    host.log.nudge([reply.pk])
    assert await anext(parts) == sse.comment()
    upstream.release("rest")
    assert b"event: end" in b"".join([part async for part in parts])


async def test_an_end_that_overtakes_the_status_sends_no_snapshot(
    start_host: StartHost, upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script(text("so far"), pause("end"), finish())
    host = await start_host()
    reply, run = await host.ask(alice)
    seen = await host.until(reply, "so far")
    stored_status = blocks._stored_status

    async def status_after_the_end(reply_id: UUID) -> str | None:
        upstream.release("end")
        await run.task
        return await stored_status(reply_id)

    monkeypatch.setattr(blocks, "_stored_status", status_after_the_end)
    client = await host.browser(alice)
    reading = events(await client.get(f"/replies/{reply.pk}/events/", {"after": seen}))
    assert [event.event async for event in reading] == ["end"]


async def test_the_stream_of_a_queued_reply_outlives_an_outage_of_the_database(
    start_host: StartHost, upstream: Upstream, alice: User, database_away: pytest.MonkeyPatch
) -> None:
    database_away.setattr(blocks, "QUEUE_LOOK", 0)
    upstream.script(text("Hello"), finish())
    here, there = await start_host(running=0), await start_host()
    reply, run = await here.ask(alice)
    client = await there.browser(alice)
    reading = events(await client.get(f"/replies/{reply.pk}/events/"))
    assert [(await anext(reading)).data for _ in range(2)] == ['{"status":"queued"}'] * 2
    database_away.undo()
    await here.grant_slot(run)
    assert [event.event async for event in reading][-2:] == ["delta", "end"]


async def test_a_page_that_is_not_read_takes_little_from_its_sources() -> None:
    taken = 0

    async def source() -> AsyncGenerator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"block"

    async with aclosing(stream._merged(source(), source())) as merged:
        assert await anext(merged) == b"block"
        for _ in range(1000):
            await asyncio.sleep(0)
        # One has been read, one is ready, and each source holds one.
        assert taken <= 4


async def test_a_page_ends_with_the_failure_of_a_source() -> None:
    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b"block"
            await asyncio.sleep(0)

    async def failing() -> AsyncGenerator[bytes]:
        yield b"last"
        raise OperationalError

    merged = stream._merged(endless(), failing())
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OperationalError):
            _ = [block async for block in merged]


@pytest.mark.parametrize("path", ["/events/", f"/replies/{UUID(int=1)}/events/"])
def test_a_stream_keeps_little_of_how_its_address_was_found(path: str) -> None:
    """Django keeps the patterns that it has tried for as long as the request lasts."""
    assert len(resolve(path).tried or ()) <= 2
