"""What networks do between Parley and PostgreSQL: what was shown stays, and replies continue or end truthfully."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from urllib.parse import urlsplit

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from tests.faults.proxy import Proxy
from tests.postgresql import postgresql
from tests.redis import RedisServer
from tests.server import Database, Databases, Server, Servers
from tests.upstream import Upstream, finish, pause, sleep, text
from tests.visitor import PATIENCE, Visitor, read_until, written

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(scope="module")
def between(url: str) -> Iterator[Proxy]:
    port = urlsplit(url).port
    assert port
    with Proxy(port) as between:
        yield between


@pytest.fixture(scope="module")
def databases(
    tmp_path_factory: pytest.TempPathFactory, url: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[Databases]:
    with Databases(tmp_path_factory.mktemp("databases"), django_db_blocker, url) as databases:
        yield databases


@pytest.fixture(scope="module", params=["10", "0"], ids=["with its pool", "without a pool"])
def server(
    request: pytest.FixtureRequest, databases: Databases, between: Proxy, endpoint: Upstream
) -> Iterator[Server]:
    """It reaches PostgreSQL through the proxy."""
    database = databases.make()
    with Servers(databases) as start:
        yield start(
            database,
            DATABASE_URL=through(between, database),
            DATABASE_POOL=request.param,
            OPENAI_BASE_URL=endpoint.url,
            OPENAI_MODEL="scripted",
        )


def through(between: Proxy, database: Database) -> str:
    return urlsplit(database.url)._replace(netloc=f"parley@127.0.0.1:{between.port}").geturl()


async def test_replies_continue_after_their_connections_were_swallowed(
    server: Server, upstream: Upstream, proxy: Proxy, alice: Visitor
) -> None:
    """PostgreSQL's host has vanished without a word; another one answers at its address."""
    upstream.default = [text("one"), pause("rest"), text(" two"), finish()]
    replies = [await alice.ask("Count.") for _ in range(3)]
    reading = [await alice.read_past(reply, "one") for reply in replies]
    proxy.swallow()
    upstream.release("rest")
    async with asyncio.timeout(PATIENCE):
        for reply, events in zip(replies, await asyncio.gather(*reading), strict=True):
            assert (written(events), events[-1].data["status"]) == ("one two", "complete")
            assert server.stored(reply).message.text == "one two"
        # The next renewal of its leases tells.
        while (await alice.client.get("/readyz/")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_replies_are_whole_although_connections_end_during_commits(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    counted = [f"{number} " for number in range(200)]
    upstream.default = [step for number in counted for step in (text(number), sleep(0.01))] + [finish()]
    replies = [await alice.ask("Count.") for _ in range(3)]
    reading = [await alice.read_past(reply, counted[0]) for reply in replies]
    for _ in range(5):
        await asyncio.to_thread(end_connections, server)
        await asyncio.sleep(0.2)
    for reply, events in zip(replies, await asyncio.gather(*reading), strict=True):
        assert (written(events), events[-1].data["status"]) == ("".join(counted), "complete")
        assert server.stored(reply).message.text == "".join(counted)


@pytest.mark.redis
async def test_an_end_that_waits_for_postgresql_holds_up_no_other_reply(
    databases: Databases, proxy: Proxy, upstream: Upstream
) -> None:
    """With Redis, which takes the deltas meanwhile."""
    upstream.script(text("one"), pause("end"), finish())
    upstream.script(text("two"), pause("rest"), text(" three"), sleep(0.5), text(" four"), finish())
    with RedisServer() as redis, Servers(databases) as start:
        database = databases.make()
        server = start(
            database,
            DATABASE_URL=through(proxy, database),
            REDIS_URL=redis.url,
            OPENAI_BASE_URL=upstream.url,
            OPENAI_MODEL="scripted",
        )
        async with Visitor(server, "alice") as alice:
            ending = await alice.ask("Count.")
            await alice.until(ending, "one")
            other = await alice.ask("Count.")
            async with asyncio.timeout(PATIENCE), aclosing(alice.follow(other)) as events:
                await read_until(events, "two")
                proxy.refuse()
                proxy.cut()
                upstream.release("end")
                upstream.release("rest")
                await read_until(events, " three four")
                proxy.mend()
            for reply, expected in ((ending, "one"), (other, "two three four")):
                seen = await alice.return_until_the_end(reply, [])
                assert (written(seen), seen[-1].data["status"]) == (expected, "complete")


def end_connections(server: Server) -> None:
    with psycopg.connect(server.database.url) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [server.database.name],
        )
