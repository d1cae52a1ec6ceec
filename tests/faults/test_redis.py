"""What networks do between Parley and Redis: what was shown stays, and replies continue or end truthfully.

A Redis that dies, forgets or hangs is in tests/test_redislog.py.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from tests.faults.proxy import Proxy
from tests.redis import RedisServer
from tests.server import Databases, Server, Servers
from tests.upstream import Upstream, finish, hang, pause, sleep, text
from tests.visitor import Event, Visitor, read_until, written

pytestmark = pytest.mark.redis

# A reply of many deltas, over about a second.
COUNTED = [f"{number} " for number in range(100)]
COUNTING = [step for number in COUNTED for step in (text(number), sleep(0.01))]
SEED = 3


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="module")
def between(redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis.port) as between:
        yield between


@pytest.fixture(scope="module")
def start(databases: Databases) -> Iterator[Servers]:
    with Servers(databases) as start:
        yield start


@pytest.fixture(scope="module")
def server(start: Servers, between: Proxy, endpoint: Upstream) -> Server:
    """It reaches Redis through the proxy."""
    return start(REDIS_URL=f"redis://127.0.0.1:{between.port}/0", OPENAI_BASE_URL=endpoint.url, OPENAI_MODEL="scripted")


@pytest.fixture(scope="module")
def other(start: Servers, server: Server, redis: RedisServer, endpoint: Upstream) -> Server:
    """A second process on the same database, which reaches the same Redis without a proxy."""
    return start(server.database, REDIS_URL=redis.url, OPENAI_BASE_URL=endpoint.url, OPENAI_MODEL="scripted")


@pytest.fixture
async def elsewhere(other: Server) -> AsyncIterator[Visitor]:
    """Alice, through the other process."""
    async with Visitor(other, "alice") as elsewhere:
        yield elsewhere


async def expect_whole(server: Server, reply: dict[str, Any], *readers: list[Event]) -> None:
    """Each reader has seen all that was counted, once, and so it is stored."""
    for seen in readers:
        assert (written(seen), seen[-1].data["status"]) == ("".join(COUNTED), "complete")
    row = server.stored(reply)
    assert (row.message.text, row.status) == ("".join(COUNTED), "complete")


@pytest.mark.parametrize("impairment", [{"latency": 0.05}, {"rate": 50_000}], ids=["far away", "slow"])
async def test_a_reply_is_whole_over_a_bad_line_to_redis(
    server: Server, upstream: Upstream, proxy: Proxy, alice: Visitor, elsewhere: Visitor, impairment: dict[str, Any]
) -> None:
    proxy.impair(**impairment)
    upstream.script(*COUNTING, finish())
    reply = await alice.ask("Count.")
    await expect_whole(server, reply, *await asyncio.gather(alice.whole(reply), elsewhere.whole(reply)))


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.reset])
async def test_a_reply_is_whole_although_connections_keep_breaking(
    server: Server, upstream: Upstream, proxy: Proxy, alice: Visitor, elsewhere: Visitor, fault: Callable[[Proxy], None]
) -> None:
    steps = [step for part in range(10) for step in (pause(f"{part}"), *COUNTING[20 * part : 20 * part + 20])]
    upstream.script(*steps, finish())
    reply = await alice.ask("Count.")
    reading = asyncio.gather(*(person.return_until_the_end(reply, []) for person in (alice, elsewhere)))
    chance = random.Random(SEED)  # noqa: S311
    for part in range(10):
        upstream.release(f"{part}")
        await asyncio.sleep(chance.uniform(0, 0.2))
        fault(proxy)
    await expect_whole(server, reply, *await reading)


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.reset])
async def test_connections_that_broke_while_idle_are_replaced(
    upstream: Upstream, proxy: Proxy, alice: Visitor, fault: Callable[[Proxy], None]
) -> None:
    for _ in range(5):
        seen = await alice.whole(await alice.ask("Hello?"))
        assert (written(seen), seen[-1].data["status"]) == ("Hello world", "complete")
        fault(proxy)


async def test_entries_without_a_confirmation_are_not_stored_twice(
    server: Server, upstream: Upstream, proxy: Proxy, alice: Visitor, elsewhere: Visitor
) -> None:
    upstream.script(text("one"), pause("rest"), text(" two"), pause("end"), finish())
    reply = await alice.ask("Count.")
    async with aclosing(elsewhere.follow(reply)) as events:
        await read_until(events, "one")
        # Redis does as it is told, but its answer on an open connection is lost.
        proxy.impair(limit=0, reset=True)
        proxy.impair(only_new=True)
        upstream.release("rest")
        await read_until(events, " two")
    upstream.release("end")
    for person in (alice, elsewhere):
        seen = await person.return_until_the_end(reply, [])
        assert (written(seen), seen[-1].data["status"]) == ("one two", "complete")
    assert server.stored(reply).message.text == "one two"


async def test_a_short_silence_goes_unnoticed(
    server: Server, upstream: Upstream, proxy: Proxy, alice: Visitor, elsewhere: Visitor
) -> None:
    upstream.script(*COUNTING[:100], pause("rest"), *COUNTING[100:], finish())
    reply = await alice.ask("Count.")
    reading = asyncio.gather(alice.whole(reply), elsewhere.whole(reply))
    await alice.until(reply, COUNTED[49])
    proxy.impair(black_hole=True)
    upstream.release("rest")
    await asyncio.sleep(0.5)
    proxy.mend()
    await expect_whole(server, reply, *await reading)


@pytest.mark.parametrize("broken", [False, True], ids=["swallowed", "refused"])
async def test_readers_see_all_that_a_cut_off_process_wrote(
    server: Server, upstream: Upstream, proxy: Proxy, alice: Visitor, elsewhere: Visitor, broken: bool
) -> None:
    upstream.script(text("one"), pause("rest"), text(" two"), hang())
    reply = await alice.ask("Count.")
    seen = await alice.until(reply, "one")
    seen_elsewhere = await elsewhere.until(reply, "one")
    if broken:
        proxy.cut()
        proxy.refuse()
    else:
        proxy.impair(black_hole=True)
    upstream.release("rest")
    for person, before in ((alice, seen), (elsewhere, seen_elsewhere)):
        page = await person.client.get(reply["conversation"]["url"])
        assert (page.status_code, "one" in page.text) == (200, True)
        events = await person.return_until_the_end(reply, before)
        assert written(events) == "one two"
        assert (events[-1].data["status"], events[-1].data["error"]["code"]) == ("interrupted", "storage_failed")
    assert server.stored(reply).message.text == "one two"
    proxy.mend()
    upstream.script(*COUNTING, finish())
    reply = await alice.ask("Count again.")
    await expect_whole(server, reply, await alice.whole(reply), await elsewhere.whole(reply))


async def test_readers_of_a_cut_off_process_see_the_rest_later(
    server: Server, upstream: Upstream, proxy: Proxy, alice: Visitor, elsewhere: Visitor
) -> None:
    upstream.script(*COUNTING[:100], pause("rest"), *COUNTING[100:], finish())
    reply = await elsewhere.ask("Count.")
    seen = await alice.until(reply, COUNTED[49])
    proxy.impair(black_hole=True)
    upstream.release("rest")
    reading = asyncio.create_task(alice.return_until_the_end(reply, seen))
    await elsewhere.whole(reply)
    proxy.mend()
    await expect_whole(server, reply, await reading)
