"""The metrics of a real server, as Prometheus reads them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server import Server, SharedServers
from tests.upstream import Upstream, answer, error, finish, hang, pause, text
from tests.visitor import PATIENCE, Visitor, read_until


@pytest.fixture
def server(share_server: SharedServers, upstream: Upstream) -> Server:
    return share_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_METRICS="1")


@pytest.fixture
async def alice(server: Server) -> AsyncIterator[Visitor]:
    async with Visitor(server, "alice") as alice:
        yield alice


async def exposition(alice: Visitor) -> str:
    response = await alice.client.get("/metrics/")
    assert response.headers["content-type"].startswith("text/plain")
    return response.text


async def figures(alice: Visitor) -> dict[str, float]:
    """Our own metrics by name, followed by the status where they have one."""
    families = text_string_to_metric_families(await exposition(alice))
    return {
        f"{sample.name.removeprefix('parley_')} {sample.labels.get('status', '')}".strip(): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("parley_") and "le" not in sample.labels
    }


async def afterwards(alice: Visitor) -> dict[str, float]:
    """The metrics once no reply runs: readers see an end a moment before its writer does."""
    async with asyncio.timeout(PATIENCE):
        while (known := await figures(alice))["replies_running"]:  # noqa: ASYNC110 (only they tell)
            await asyncio.sleep(0.02)
    return known


async def since(before: dict[str, float], alice: Visitor) -> dict[str, float]:
    """What the metrics have grown by, once no reply runs: other tests have used the server before."""
    return {name: value - before.get(name, 0) for name, value in (await afterwards(alice)).items()}


@pytest.mark.any_store
async def test_metrics_are_off_by_default(share_server: SharedServers) -> None:
    async with Visitor(share_server(), "alice") as alice:
        assert (await alice.client.get("/metrics/")).status_code == 404


@pytest.mark.any_store
async def test_running_replies_and_readers_are_counted(upstream: Upstream, alice: Visitor) -> None:
    upstream.script(text("Hello"), pause("rest"), text(" world"), finish())
    reply = await alice.ask("Hello?")
    async with aclosing(alice.follow(reply)) as events:
        await read_until(events, "Hello")
        meanwhile = await figures(alice)
        upstream.release("rest")
        assert [event.name async for event in events][-2:] == ["delta", "end"]
    assert (meanwhile["replies_running"], meanwhile["readers"]) == (1, 1)
    assert (await afterwards(alice))["readers"] == 0


async def test_commits_and_first_deltas_are_counted_and_timed(upstream: Upstream, alice: Visitor) -> None:
    before, began = await afterwards(alice), time.monotonic()
    upstream.script(text("Hello"), pause("rest"), text(" world"), finish())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "Hello")
    upstream.release("rest")
    await alice.whole(reply)
    stored = await since(before, alice)
    assert (stored["events_stored_total"], stored["commit_seconds_count"]) == (3, 3)
    assert stored["first_piece_seconds_count"] == 1
    seconds = time.monotonic() - began
    assert 0 < stored["commit_seconds_sum"] < seconds
    assert 0 < stored["first_piece_seconds_sum"] < seconds


async def test_ended_replies_are_counted_by_status(upstream: Upstream, alice: Visitor) -> None:
    before = await afterwards(alice)
    for script in (answer("Fine."), answer("Fine."), error(401, {})):
        upstream.script(*script)
        await alice.whole(await alice.ask("How are you?"))
    upstream.script(text("so far"), hang())
    await alice.stop(await alice.ask("How are you?"))
    ended = await since(before, alice)
    assert {name: count for name, count in ended.items() if name.startswith("replies_ended_total") and count} == {
        "replies_ended_total complete": 2,
        "replies_ended_total failed": 1,
        "replies_ended_total stopped": 1,
    }


@pytest.mark.any_store
async def test_replies_that_were_taken_over_are_counted(server: Server, upstream: Upstream, alice: Visitor) -> None:
    upstream.script(text("so far"), hang())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "so far")
    server.restart()
    await alice.whole(reply)
    taken_over = await afterwards(alice)
    assert (taken_over["replies_taken_over_total"], taken_over["replies_ended_total interrupted"]) == (1, 1)


@pytest.mark.any_store
async def test_metrics_hold_no_text_and_no_ids(upstream: Upstream, alice: Visitor) -> None:
    upstream.script(*answer("The answer is xylophone."))
    reply = await alice.ask("What is a xylophone?")
    await alice.whole(reply)
    shown = await exposition(alice)
    for secret in ("xylophone", reply["id"], reply["conversation"]["id"], "alice", "small"):
        assert secret not in shown
