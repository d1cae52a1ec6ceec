"""Event streams, in process: a test decides what the model writes and when."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat import sse
from chat.models import User
from chat.views import stream
from tests.client import AsyncClient
from tests.hosts import Host, hosts
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
    assert [(await anext(reading)).event for _ in range(2)] == ["reply", "delta"]
    monkeypatch.setattr(stream, "SESSION_LOOK", 0)
    if how == "signs out":
        await browser.alogout()
    else:
        alice.is_active = False
        await alice.asave()
    upstream.release("rest")
    assert [event async for event in reading] == []


async def test_a_stream_goes_on_with_its_session(
    browser: AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SESSION_LOOK", 0)
    upstream.script(text("Hello"), finish())
    answer = await browser.post("/c/", {"text": "Hello?", "model": "small"}, headers={"accept": "text/event-stream"})
    assert [event.event async for event in events(answer)] == ["reply", "delta", "end"]
