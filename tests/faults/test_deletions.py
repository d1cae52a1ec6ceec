"""Rows that vanish while replies are written: readers in all processes are told soon, and other replies continue."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from chat.models import Conversation
from tests.redis import RedisServer
from tests.server import Databases, Server, Servers
from tests.upstream import Upstream, finish, pause, text
from tests.visitor import Visitor, written

# Fault tests bring their own store, but this one concerns each.
pytestmark = pytest.mark.stores


@pytest.fixture(scope="module", params=["database", pytest.param("redis", marks=pytest.mark.redis)])
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "database":
        yield ""
        return
    with RedisServer() as redis:
        yield redis.url


@pytest.fixture(scope="module")
def servers(databases: Databases, redis_url: str, endpoint: Upstream) -> Iterator[list[Server]]:
    """Two processes on the same stores."""
    with Servers(databases) as start:
        database = databases.make()
        environment = {"REDIS_URL": redis_url, "OPENAI_BASE_URL": endpoint.url, "OPENAI_MODEL": "scripted"}
        yield [start(database, **environment) for _ in range(2)]


@pytest.fixture
async def alice(servers: list[Server]) -> AsyncIterator[list[Visitor]]:
    """Alice, through each process."""
    async with AsyncExitStack() as open_:
        yield [await open_.enter_async_context(Visitor(server, "alice")) for server in servers]


async def test_readers_in_all_processes_are_told_of_a_deletion(
    servers: list[Server], upstream: Upstream, alice: list[Visitor]
) -> None:
    """The conversation is deleted without stopping its reply first, as by somebody at the database."""
    upstream.default = [text("one"), pause("rest"), text(" two"), finish()]
    deleted, other = [await alice[0].ask("Count.") for _ in range(2)]
    reading = [await person.read_past(reply, "one") for person in alice for reply in (deleted, other)]
    conversation = Conversation.objects.filter(pk=deleted["conversation"]["id"])
    servers[0].database.run(conversation.delete)
    for events in await asyncio.gather(*reading[::2]):
        assert (written(events), events[-1].data["error"]["code"]) == ("one", "deleted")
    upstream.release("rest")
    for events in await asyncio.gather(*reading[1::2]):
        assert (written(events), events[-1].data["status"]) == ("one two", "complete")
