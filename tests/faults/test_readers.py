"""What networks do between a reader and Parley: readers that return see the text once, without a gap."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import httpx
import pytest

from chat import sse
from tests.faults.proxy import Proxy
from tests.server import Databases, Server, Servers
from tests.upstream import Upstream, finish, hang, pause, reasoning, sleep, text
from tests.visitor import PATIENCE, Event, Visitor, has_ended, written

COUNTED = [f"{number} " for number in range(200)]
# The head of a stream has at least this many bytes. Cuts in it are all alike, so only some of them are tried.
HEAD = 384


@pytest.fixture(scope="module")
def server(databases: Databases, endpoint: Upstream) -> Iterator[Server]:
    with Servers(databases) as start:
        yield start(OPENAI_BASE_URL=endpoint.url, OPENAI_MODEL="scripted")


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
async def remote(server: Server, proxy: Proxy) -> AsyncIterator[Visitor]:
    """Alice, through the proxy."""
    async with Visitor(server, "alice") as remote:
        remote.client.base_url = httpx.URL(proxy.url)
        yield remote


def told(seen: list[Event], name: str) -> str:
    return "".join(event.data["text"] for event in seen if event.name == name)


async def test_a_stream_cut_anywhere_continues_after_the_last_id(
    upstream: Upstream, proxy: Proxy, alice: Visitor, remote: Visitor
) -> None:
    steps = [reasoning("h"), reasoning("m"), text("Grüße"), text(" 👋")]
    upstream.script(*[part for seq, step in enumerate(steps) for part in (pause(f"after {seq}"), step)], finish())
    reply = await alice.ask("Hello?")
    upstream.release("after 0")
    async for event in alice.follow(reply):
        # Each is stored by itself; later readers get several as one.
        upstream.release(f"after {event.id}")
    for limit in itertools.chain(range(0, HEAD, 16), itertools.count(HEAD)):
        seen: list[Event] = []
        proxy.impair(limit=limit)
        await remote.read_on(reply, seen)
        proxy.mend()
        assert limit >= HEAD or not seen
        cut = not has_ended(seen)
        if cut:
            await remote.read_on(reply, seen)
        assert [event.id for event in seen] == [2, 4, 5]
        assert (told(seen, "delta"), told(seen, "reasoning")) == ("Grüße 👋", "hm")
        if not cut:
            break
    assert limit > HEAD + 100


@pytest.mark.parametrize("reset", [False, True], ids=["cut", "reset"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_growing_reply_is_read_once_over_breaking_connections(
    upstream: Upstream, proxy: Proxy, alice: Visitor, remote: Visitor, seed: int, reset: bool
) -> None:
    chance = random.Random(seed)  # noqa: S311
    upstream.script(*[step for number in COUNTED for step in (text(number), sleep(0.005))], finish())
    reply = await alice.ask("Count.")
    seen: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        while not has_ended(seen):
            # Some pass the head and the largest event together, or nothing would ever arrive.
            proxy.impair(limit=chance.randrange(1500), reset=reset, latency=chance.choice([0, 0.01]), only_new=True)
            await remote.read_on(reply, seen)
    ids = [event.id for event in seen]
    assert ids == sorted(set(ids))
    assert (written(seen), seen[-1].data["status"]) == ("".join(COUNTED), "complete")


async def test_a_slow_reader_sees_all_and_delays_nobody(
    upstream: Upstream, proxy: Proxy, alice: Visitor, remote: Visitor
) -> None:
    long = "x" * 100
    upstream.script(text(long), pause("rest"), *[text(long)] * 199, finish())
    reply = await alice.ask("Write much.")
    slow = await remote.read_past(reply, long)
    # At this rate it would take minutes.
    proxy.impair(rate=100)
    upstream.release("rest")
    assert written(await alice.whole(reply)) == long * 200
    assert not slow.done()
    proxy.mend()
    assert written(await slow) == long * 200


async def test_a_reader_returns_to_all_that_it_missed(
    upstream: Upstream, proxy: Proxy, alice: Visitor, remote: Visitor
) -> None:
    upstream.script(text("one"), pause("rest"), *map(text, COUNTED), finish())
    reply = await alice.ask("Count.")
    seen: list[Event] = []
    reading = asyncio.create_task(remote.read_on(reply, seen))
    while written(seen) != "one":  # noqa: ASYNC110 (only what it has seen tells)
        await asyncio.sleep(0.01)
    proxy.impair(black_hole=True)
    upstream.release("rest")
    assert has_ended(await alice.whole(reply))
    proxy.cut()
    await reading
    assert written(seen) == "one"
    proxy.mend()
    await remote.read_on(reply, seen)
    assert written(seen) == "one" + "".join(COUNTED)


async def test_held_up_events_arrive_when_the_silence_ends(
    upstream: Upstream, proxy: Proxy, alice: Visitor, remote: Visitor
) -> None:
    upstream.script(text("one"), pause("rest"), text(" two"), finish())
    reply = await alice.ask("Count.")
    reading = await remote.read_past(reply, "one")
    proxy.impair(black_hole=True)
    upstream.release("rest")
    assert has_ended(await alice.whole(reply))
    proxy.mend()
    assert written(await reading) == "one two"


async def test_a_stop_whose_answer_is_lost_has_stopped_the_reply(
    upstream: Upstream, proxy: Proxy, alice: Visitor, remote: Visitor
) -> None:
    upstream.script(text("so far"), hang())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "so far")
    proxy.impair(limit=0)
    with pytest.raises(httpx.TransportError):
        await remote.stop(reply)
    seen = await alice.whole(reply)
    assert (written(seen), seen[-1].data["status"]) == ("so far", "stopped")
    proxy.mend()
    assert await remote.stop(reply) == "stopped"


async def test_a_broken_post_stream_continues_at_the_events_url(
    upstream: Upstream, proxy: Proxy, remote: Visitor
) -> None:
    upstream.script(text("one"), pause("rest"), text(" two"), finish())
    decoder = sse.Decoder()
    came: list[sse.ServerSentEvent] = []
    accept = {"accept": "text/event-stream"}
    async with remote.client.stream("POST", "/c/", data={"text": "Count."}, headers=accept) as response:
        with suppress(httpx.TransportError):
            async for chunk in response.aiter_raw():
                came += decoder.feed(chunk)
                if came[-1:] and came[-1].event == "delta":
                    proxy.reset()
    reply = json.loads(came[0].data)["reply"]
    upstream.release("rest")
    seen = [Event(event) for event in came[1:]]
    await remote.read_on(reply, seen)
    assert written(seen) == "one two"
