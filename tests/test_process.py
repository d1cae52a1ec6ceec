"""How many replies a process makes at a time, and what becomes of those that have to wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chat import asking
from chat.database import in_thread
from chat.models import Reply, User
from chat.process import Process
from tests.server import Server, Servers
from tests.upstream import Upstream, finish, hang, pause, sleep, text
from tests.visitor import Visitor, written


@pytest.fixture
def narrow(start_server: Servers, upstream: Upstream) -> Server:
    """A server that makes one reply at a time and lets one more wait."""
    return start_server(
        OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_PROCESS_RUNNING="1", CHAT_PROCESS_QUEUED="1"
    )


@pytest.fixture
async def alice(narrow: Server) -> AsyncIterator[Visitor]:
    async with Visitor(narrow, "alice") as alice:
        yield alice


async def running(alice: Visitor, upstream: Upstream) -> dict[str, Any]:
    """A reply that is being written until the test releases its end."""
    upstream.script(text("first"), pause("end"), finish())
    reply = await alice.ask("First?")
    await alice.until(reply, "first")
    return reply


def status(server: Server, reply: dict[str, Any]) -> str:
    return server.database.run(lambda: Reply.objects.get(pk=reply["id"]).status)


async def test_a_reply_that_has_to_wait_says_so_and_begins_by_itself(alice: Visitor, upstream: Upstream) -> None:
    first = await running(alice, upstream)
    second = await alice.ask("Second?")
    async with aclosing(alice.follow(second)) as events:
        waits = await anext(events)
        assert (waits.name, waits.data) == ("status", {"status": "queued"})
        assert 'data-phase="queued"' in (await alice.client.get(second["url"])).text
        upstream.release("end")
        rest = [event async for event in events]
    assert (rest[0].name, rest[0].data) == ("status", {"status": "streaming"})
    assert written(rest) == "Hello world"
    assert (await alice.whole(first))[-1].data["status"] == "complete"


async def test_of_many_questions_at_the_same_moment_no_more_wait_than_may(alice: Visitor, upstream: Upstream) -> None:
    first = await running(alice, upstream)
    answers = await asyncio.gather(*(alice.post("/c/", text=f"{number}?") for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201, *[503] * 9]
    upstream.release("end")
    await alice.whole(first)


async def test_what_waits_elsewhere_is_claimed_only_where_there_is_room(
    start_server: Servers, upstream: Upstream
) -> None:
    upstream.default = [text("Hello"), pause("rest"), text(" world"), finish()]
    narrow = start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_PROCESS_RUNNING="1")
    async with Visitor(narrow, "alice") as alice:
        narrow.kill()
        narrow.database.run(leave_three_in_line)
        narrow.start()
        await asyncio.to_thread(upstream.next_request)
        replies = narrow.database.run(lambda: list(Reply.objects.order_by("status").values_list("status", flat=True)))
        assert replies == ["queued", "queued", "streaming"]
        upstream.release("rest")
        for pk in narrow.database.run(lambda: list(Reply.objects.values_list("pk", flat=True))):
            assert written(await alice.whole({"events_url": f"/replies/{pk}/events/"})) == "Hello world"


def leave_three_in_line() -> None:
    for _ in range(3):
        asking.begin(User.objects.get(username="alice"), "Hello?", "small")
    Reply.objects.update(queued=timezone.now() - timedelta(days=1))


async def test_when_too_many_wait_the_next_is_refused_for_a_moment(alice: Visitor, upstream: Upstream) -> None:
    await running(alice, upstream)
    second = await alice.ask("Second?")
    refused = await alice.post("/c/", text="Third?")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["error"]["code"] == "busy"
    upstream.release("end")
    await alice.whole(second)
    await alice.whole(await alice.ask("Third?"))


async def test_what_waits_can_be_stopped(alice: Visitor, upstream: Upstream) -> None:
    first = await running(alice, upstream)
    second = await alice.ask("Second?")
    assert await alice.stop(second) == "stopped"
    assert len(upstream.requests) == 1
    upstream.release("end")
    assert (await alice.whole(first))[-1].data["status"] == "complete"


async def test_what_waits_survives_the_process(narrow: Server, alice: Visitor, upstream: Upstream) -> None:
    await running(alice, upstream)
    second = await alice.ask("Second?")
    narrow.restart()
    assert written(await alice.whole(second)) == "Hello world"


async def test_another_process_with_room_takes_what_waits(
    start_server: Servers, narrow: Server, alice: Visitor, upstream: Upstream
) -> None:
    await running(alice, upstream)
    second = await alice.ask("Second?")
    start_server(narrow.database, OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small")
    assert written(await alice.whole(second)) == "Hello world"
    # What was taken away waits here no more, which this process notices at its next beat.
    async with asyncio.timeout(15):
        while (third := await alice.post("/c/", text="Third?")).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert await alice.stop(third.json()["reply"]) == "stopped"


async def test_a_process_that_ends_hands_over_what_waits_and_ends_what_runs(
    narrow: Server, alice: Visitor, upstream: Upstream
) -> None:
    first = await running(alice, upstream)
    second = await alice.ask("Second?")
    ending = asyncio.create_task(asyncio.to_thread(narrow.terminate))
    assert await ending == 0
    assert status(narrow, second) == "queued"
    narrow.start()
    assert written(await alice.whole(second)) == "Hello world"
    assert (await alice.whole(first))[-1].data["status"] == "interrupted"


async def test_what_has_begun_elsewhere_is_taken_over_also_when_all_are_busy(
    start_server: Servers, narrow: Server, alice: Visitor, upstream: Upstream
) -> None:
    await running(alice, upstream)
    other = start_server(narrow.database, OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small")
    upstream.script(text("so far"), hang())
    async with Visitor(other, "alice") as elsewhere:
        lost = await elsewhere.ask("Second?")
        await elsewhere.until(lost, "so far")
    other.kill()
    assert (await alice.whole(lost))[-1].data["status"] == "interrupted"


async def test_a_reply_that_becomes_too_large_is_cut_off(start_server: Servers, upstream: Upstream) -> None:
    server = start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_REPLY_BYTES="10")
    upstream.script(text("01234"), text("5678é"), hang())
    async with Visitor(server, "alice") as alice:
        events = await alice.whole(await alice.ask("Hello?"))
    request = await asyncio.to_thread(upstream.next_request)
    await asyncio.to_thread(request.wait_closed)
    assert written(events) == "012345678"
    assert events[-1].data["status"] == "interrupted"
    assert events[-1].data["error"]["code"] == "too_large"


async def test_a_turn_that_comes_while_leases_are_renewed_is_not_taken_for_somebody_elses(
    start_server: Servers, upstream: Upstream
) -> None:
    server = start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small")
    upstream.default = [text("Hello"), sleep(2.5), text(" world"), finish()]
    async with Visitor(server, "alice") as alice:
        # Spread over a beat, so that some are claimed in the moment of the renewal.
        replies = [await alice.ask(f"{number}?") for number in range(200)]
        for reply in replies:
            assert written(await alice.whole(reply)) == "Hello world"


@pytest.mark.django_db(transaction=True)
async def test_a_question_let_in_just_before_the_drain_is_left_to_others(sam: User) -> None:
    process = Process.from_settings()
    reply = await in_thread(asking.begin)(sam, "Hello?", "demo")
    process.draining = True
    await process.make(reply.pk, 0).task
    await reply.arefresh_from_db()
    assert (reply.status, reply.attempt) == ("queued", 0)
    await process.stop(reply.pk)
    await reply.arefresh_from_db()
    assert reply.status == "stopped"
    await process.close()
