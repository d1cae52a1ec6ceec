"""Processes that share a database: who makes which reply, and what becomes of those of the dead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from chat import asking
from chat.database import in_thread
from chat.events import Delta, End, Entry
from chat.generation import Run
from chat.models import Reply, ServerProcess, User
from chat.replylog import LogUnreachable
from tests.client import AsyncClient
from tests.hosts import LONG, PATIENCE, Host, expire, hosts, status
from tests.upstream import Upstream, finish, hang, pause, sleep, text

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def start(upstream: Upstream) -> AsyncIterator[Any]:
    """Starts a host: `await start(running=1)`."""
    async with AsyncExitStack() as running:

        async def start(**options: Any) -> Host:
            host = Host.asking(upstream, **options)
            await running.enter_async_context(hosts(host))
            return host

        yield start


async def ask(host: Host, person: User, question: str = "Hello?") -> tuple[Reply, Run]:
    reply = await in_thread(asking.begin)(person, question, "small")
    return reply, host.make(reply.pk, reply.attempt)


async def until(host: Host, reply: Reply, words: str) -> None:
    """Return when these words are in the log."""
    async with asyncio.timeout(PATIENCE):
        written = ""
        async for entries in host.log.follow(reply.pk, 0):
            written += "".join(event.text for _, event in entries if isinstance(event, Delta))
            if words in written:
                return


async def read(host: Host, reply: Reply) -> tuple[str, End]:
    """The whole text and the end of a reply, as a reader at this host gets them."""
    found: list[Entry] = []
    async with asyncio.timeout(PATIENCE):
        async for entries in host.log.follow(reply.pk, 0):
            found += entries
    end = found[-1][1]
    assert isinstance(end, End)
    return "".join(event.text for _, event in found if isinstance(event, Delta)), end


# Take-over


async def test_what_a_dead_process_had_shown_is_kept(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), hang())
    here, there = await start(), await start()
    reply, _ = await ask(here, alice)
    await until(there, reply, "so far")
    await here.die()
    await there.look_after()
    written, end = await read(there, reply)
    assert (written, end.status) == ("so far", "interrupted")
    assert end.error
    assert end.error.code == "interrupted"


async def test_a_model_that_can_continues_what_a_dead_process_began(
    start: Any, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("so far"), hang())
    upstream.script(text(" and on"), finish())
    here, there = await start(way="assistant"), await start(way="assistant")
    reply, _ = await ask(here, alice)
    await until(there, reply, "so far")
    await here.die()
    await there.look_after()
    assert await read(there, reply) == ("so far and on", End("complete", "stop"))
    assert upstream.requests[-1].body["messages"][-1] == {"role": "assistant", "content": "so far"}


async def test_a_reply_of_which_nothing_was_shown_begins_again(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(hang())
    upstream.script(text("Hello"), finish())
    here, there = await start(), await start()
    reply, _ = await ask(here, alice)
    await asyncio.to_thread(upstream.next_request)
    await here.die()
    await there.look_after()
    assert await read(there, reply) == ("Hello", End("complete", "stop"))


async def test_a_living_process_keeps_its_replies(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), pause("rest"), finish())
    here, there = await start(), await start()
    reply, _ = await ask(here, alice)
    await until(here, reply, "so far")
    await there.look_after()
    upstream.release("rest")
    assert (await read(there, reply))[1].status == "complete"
    await reply.arefresh_from_db()
    assert (reply.attempt, reply.process) == (1, here.name)


async def test_a_process_that_wakes_keeps_what_nobody_has_claimed(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    here, there = await start(), await start()
    reply, _ = await ask(here, alice)
    await until(here, reply, "so far")
    await expire(here)
    await in_thread(ServerProcess.objects.renew)(here.name, LONG)
    for host in (here, there):
        await host.look_after()
    upstream.release("rest")
    assert await read(there, reply) == ("so far and on", End("complete", "stop"))


async def test_a_process_that_wakes_drops_what_others_have_claimed(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), hang())
    here, there = await start(), await start()
    reply, run = await ask(here, alice)
    await until(here, reply, "so far")
    await expire(here)
    await there.look_after()
    assert (await read(there, reply))[1].status == "interrupted"
    await here.look_after()
    await run.task
    request = upstream.next_request()
    await asyncio.to_thread(request.wait_closed)
    assert not here.has(reply.pk)


async def test_what_has_begun_elsewhere_is_claimed_also_when_all_slots_are_taken(
    start: Any, upstream: Upstream, alice: User
) -> None:
    upstream.default = [text("so far"), hang()]
    here, busy = await start(), await start(running=1)
    first, _ = await ask(busy, alice)
    lost, _ = await ask(here, alice)
    for reply in (first, lost):
        await until(busy, reply, "so far")
    await here.die()
    await busy.look_after()
    assert (await read(busy, lost))[1].status == "interrupted"
    assert await status(first) == "streaming"


async def test_a_run_that_failed_is_made_again_by_its_process(
    start: Any, upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script(text("so far"), hang())
    here, there = await start(), await start()
    reply, _ = await ask(here, alice)
    await until(here, reply, "so far")
    await here.die()

    async def fail(*_: Any) -> None:
        raise LogUnreachable

    with monkeypatch.context() as patched:
        patched.setattr(there.log, "fence", fail)
        await there.look_after()
        async with asyncio.timeout(PATIENCE):
            while there.has(reply.pk):  # noqa: ASYNC110 (its task ends by itself)
                await asyncio.sleep(0.01)
    assert await status(reply) == "streaming"
    await there.look_after()
    assert (await read(there, reply))[1].status == "interrupted"
    await reply.arefresh_from_db()
    assert (reply.attempt, reply.process) == (3, there.name)


# Stop


async def test_any_process_stops_a_reply(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), hang())
    here, there = await start(), await start()
    reply, run = await ask(here, alice)
    await until(there, reply, "so far")
    await there.stop(reply.pk)
    assert (await read(there, reply))[1].status == "stopped"
    await here.look_after()
    await run.task
    request = upstream.next_request()
    await asyncio.to_thread(request.wait_closed)
    await reply.arefresh_from_db()
    assert (reply.status, reply.attempt) == ("stopped", 2)


async def test_a_queued_reply_can_be_stopped(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), hang())
    host = await start(running=1)
    first, _ = await ask(host, alice)
    await until(host, first, "so far")
    second, _ = await ask(host, alice)
    await host.stop(second.pk)
    assert (await status(first), await status(second)) == ("streaming", "stopped")
    assert len(upstream.requests) == 1


# The queue


async def test_replies_beyond_the_slots_wait_for_one(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("first"), pause("end"), finish())
    host = await start(running=1, queued=1)
    first, _ = await ask(host, alice)
    await until(host, first, "first")
    second, run = await ask(host, alice)
    assert host.full
    assert not await host.claims(second.pk, 0)
    assert not run.claimed.is_set()
    upstream.release("end")
    assert (await read(host, second))[1].status == "complete"
    assert await host.claims(second.pk, 0) or not host.has(second.pk)


async def test_a_process_with_room_claims_what_is_queued_elsewhere(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("first"), hang())
    busy, free = await start(running=1), await start()
    first, _ = await ask(busy, alice)
    await until(busy, first, "first")
    second, _ = await ask(busy, alice)
    await free.look_after()
    assert await status(second) == "queued", "its own process comes first"
    await Reply.objects.filter(pk=second.pk).aupdate(queued=timezone.now() - 2 * LONG)
    await free.look_after()
    assert (await read(free, second))[1].status == "complete"
    await busy.look_after()
    async with asyncio.timeout(PATIENCE):
        while busy.has(second.pk):  # noqa: ASYNC110 (its task ends by itself)
            await asyncio.sleep(0.01)


async def test_a_process_claims_no_more_queued_replies_than_it_has_room_for(
    start: Any, upstream: Upstream, alice: User
) -> None:
    upstream.default = [text("Hello"), pause("rest"), finish()]
    replies = [await in_thread(asking.begin)(alice, "Hello?", "small") for _ in range(3)]
    await Reply.objects.aupdate(queued=timezone.now() - 2 * LONG)
    host = await start(running=1)
    await host.look_after()
    await asyncio.to_thread(upstream.next_request)
    assert sorted([await status(reply) for reply in replies]) == ["queued", "queued", "streaming"]
    upstream.release("rest")


# The end of a process


async def test_a_draining_process_lets_replies_end(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    host = await start(drain=timedelta(seconds=PATIENCE))
    reply, _ = await ask(host, alice)
    await until(host, reply, "so far")
    draining = asyncio.create_task(host.drain())
    upstream.release("rest")
    await draining
    await reply.arefresh_from_db()
    assert reply.status == "complete"
    assert not await ServerProcess.objects.aexists()


async def test_what_does_not_end_in_time_is_claimed_elsewhere_at_once(
    start: Any, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("so far"), hang())
    here, there = await start(), await start()
    reply, _ = await ask(here, alice)
    await until(here, reply, "so far")
    await here.drain()
    assert await status(reply) == "streaming"
    await there.look_after()
    assert (await read(there, reply))[1].status == "interrupted"


async def test_a_draining_process_hands_over_what_is_queued_first(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("first"), pause("end"), finish())
    here, there = await start(running=1, drain=timedelta(seconds=PATIENCE)), await start()
    first, _ = await ask(here, alice)
    await until(here, first, "first")
    second, run = await ask(here, alice)
    draining = asyncio.create_task(here.drain())
    await run.task
    async with asyncio.timeout(PATIENCE):
        while not there.has(second.pk):
            await there.look_after()
    assert (await read(there, second))[1].status == "complete"
    upstream.release("end")
    await draining
    assert await status(first) == "complete"


async def test_a_question_during_the_drain_is_claimed_elsewhere_at_once(start: Any, alice: User) -> None:
    here, there = await start(), await start()
    assert not await here.is_alone()
    await here.drain()
    assert await there.is_alone()
    reply, run = await ask(here, alice)
    await run.task
    async with asyncio.timeout(PATIENCE):
        while not there.has(reply.pk):
            await there.look_after()
    assert (await read(there, reply))[0] == "Hello world"


# Deletion


@pytest.mark.parametrize("page", ["chat_user_delete", "chat_conversation_delete"])
async def test_staff_delete_what_is_being_written(
    start: Any, upstream: Upstream, alice: User, sam: User, page: str
) -> None:
    upstream.default = [text("word "), *([sleep(0.002), text("word ")] * 2000)]
    host = await start()
    asked = [await ask(host, alice) for _ in range(6)]
    for reply, _ in asked:
        await until(host, reply, "word word")
    staff = AsyncClient()
    await staff.aforce_login(sam)
    of_user = page == "chat_user_delete"
    for pk in [alice.pk] if of_user else [reply.message.conversation_id for reply, _ in asked]:
        answer = await staff.post(reverse(f"admin:{page}", args=[pk]), {"post": "yes"})
        assert answer.status_code == 302
    assert not await Reply.objects.aexists()
    await asyncio.wait([run.task for _, run in asked])


# Limits of a reply


async def test_a_reply_that_grows_too_large_is_cut_off(start: Any, upstream: Upstream, alice: User) -> None:
    upstream.script(text("01234"), text("5678é"), hang())
    host = await start(reply_bytes=10)
    reply, _ = await ask(host, alice)
    written, end = await read(host, reply)
    assert (written, end.status) == ("012345678", "interrupted")
    assert end.error
    assert end.error.code == "too_large"
    request = upstream.next_request()
    await asyncio.to_thread(request.wait_closed)
