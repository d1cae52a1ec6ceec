"""Processes that share a database: which one makes a reply, and what becomes of the replies of dead ones."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import pytest
from django.db import InterfaceError, OperationalError
from django.db.backends.utils import CursorWrapper
from django.urls import reverse
from django.utils import timezone

from chat import asking, database
from chat.database import in_thread
from chat.events import End, Error
from chat.generation import State
from chat.models import Reply, ServerProcess, User
from chat.models.replies import ReplyQuerySet
from chat.replylog import LogUnreachable
from chat.tasks import spawn
from config.server.middleware import Handler
from config.server.threads import SharedThreads
from tests.client import AsyncClient
from tests.hosts import LONG, PATIENCE, Host, StartHost, expire, hosts, status, stored
from tests.upstream import Upstream, error, finish, hang, pause, reasoning, sleep, text

pytestmark = pytest.mark.django_db(transaction=True)

INTERRUPTED = End("interrupted", error=Error("interrupted"))
# What readers get of a reply that the endpoint answers without a script.
ANSWERED = ("Hello world", End("complete", "stop", {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}))


async def test_an_idle_process_asks_the_database_little(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    # It does not start, so that it does nothing by itself.
    host = Host.asking(upstream)
    await host.lease.renew()
    statements: list[str] = []
    execute = CursorWrapper.execute

    def note(cursor: CursorWrapper, sql: str, *args: Any) -> Any:
        statements.append(sql)
        return execute(cursor, sql, *args)

    monkeypatch.setattr(CursorWrapper, "execute", note)
    for work in (host.reconcile, host.ask_queued_questions, host.claim_jobs, host.erase_temporary):
        await work()
    assert len(statements) == 4, statements
    await host.close()


# Take-over


async def test_text_shown_by_a_dead_process_is_kept(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(reasoning("hm"), text("so far"), hang())
    here, there = await start_host(), await start_host()
    reply, _ = await here.ask(alice)
    await there.until(reply, "so far")
    await here.die()
    await there.reconcile()
    assert await there.read(reply) == ("so far", INTERRUPTED)
    row = await stored(reply)
    assert (row.status, row.message.text, row.reasoning) == ("interrupted", "so far", "hm")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("continuation", ["continue_final_message", "prefix", "assistant"])
async def test_another_process_continues_a_reply_where_the_model_can(
    start_host: StartHost, upstream: Upstream, alice: User, continuation: str
) -> None:
    """Readers see one reply: the next entry follows the last one of the dead process."""
    upstream.script(reasoning("hm"), text("one "), text("two"), hang())
    upstream.script(text(" three"), finish())
    here, there = await start_host(continuation=continuation), await start_host(continuation=continuation)
    reply, _ = await here.ask(alice)
    cursor = await there.until(reply, "two")
    await here.die()
    await there.reconcile()
    assert await there.read(reply, after=cursor) == (" three", End("complete", "stop"))
    begun = upstream.requests[-1].body["messages"][-1]
    assert (begun["role"], begun["content"]) == ("assistant", "one two")
    row = await stored(reply)
    assert (row.message.text, row.reasoning) == ("one two three", "hm")
    assert (row.attempt, row.last_seq) == (2, cursor + 2)


async def test_text_is_kept_when_the_model_refuses_to_continue(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("so far"), hang())
    upstream.script(*error(400, {"error": {"message": "the last message must be a user's"}}))
    here, there = await start_host(continuation="assistant"), await start_host(continuation="assistant")
    reply, _ = await here.ask(alice)
    await there.until(reply, "so far")
    await here.die()
    await there.reconcile()
    assert await there.read(reply) == ("so far", End("interrupted", error=Error("rejected")))
    assert (await stored(reply)).message.text == "so far"


async def test_a_reply_without_shown_text_starts_again(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(hang())
    upstream.script(text("Hello"), finish())
    here, there = await start_host(), await start_host()
    reply, _ = await here.ask(alice)
    await asyncio.to_thread(upstream.next_request)
    await here.die()
    await there.reconcile()
    assert await there.read(reply) == ("Hello", End("complete", "stop"))
    assert (await stored(reply)).attempt == 2


async def test_a_living_process_keeps_its_replies(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    here, there = await start_host(), await start_host()
    reply, _ = await here.ask(alice)
    await there.until(reply, "so far")
    await there.reconcile()
    upstream.release("rest")
    assert await there.read(reply) == ("so far and on", End("complete", "stop"))
    row = await stored(reply)
    assert (row.attempt, row.process) == (1, here.name)


async def test_a_process_that_wakes_keeps_unclaimed_replies(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    here, there = await start_host(), await start_host()
    reply, _ = await here.ask(alice)
    await here.until(reply, "so far")
    await expire(here)
    await in_thread(ServerProcess.objects.renew)(here.name, LONG)
    for host in (here, there):
        await host.reconcile()
    upstream.release("rest")
    assert await there.read(reply) == ("so far and on", End("complete", "stop"))


async def test_after_an_outage_no_process_takes_over_from_living_ones(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    """The database was away for longer than a lease. The first one to renew finds the other's lease run out."""
    upstream.script(text("so far"), pause("rest"), finish())
    here, there = await start_host(), await start_host()
    reply, _ = await here.ask(alice)
    await here.until(reply, "so far")
    await expire(here)
    await there.renew_after(2 * LONG)
    await there.reconcile()
    assert not there.has(reply.pk)
    upstream.release("rest")
    assert (await there.read(reply))[1].status == "complete"
    assert (await stored(reply)).attempt == 1


async def test_a_process_claims_nothing_before_it_has_a_lease(
    upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script(text("so far"), finish())
    host, may_renew = Host.asking(upstream), asyncio.Event()
    renew = host.lease.renew

    async def renew_later() -> None:
        await may_renew.wait()
        await renew()

    monkeypatch.setattr(host.lease, "renew", renew_later)
    reply, run = await host.ask(alice)
    await host.has_granted_slot(run)
    assert run.state is State.QUEUED
    may_renew.set()
    async with hosts(host):
        await run.task
        assert (await stored(reply)).process == host.name


@pytest.mark.parametrize("away", [OperationalError, InterfaceError])
async def test_a_claim_outlasts_a_short_outage_of_the_database(
    start_host: StartHost, alice: User, monkeypatch: pytest.MonkeyPatch, away: type[Exception]
) -> None:
    claim, outages = ReplyQuerySet.claim, [away(), away()]

    def claim_later(replies: ReplyQuerySet, *asked: Any) -> bool:
        if outages:
            raise outages.pop()
        return claim(replies, *asked)

    monkeypatch.setattr(ReplyQuerySet, "claim", claim_later)
    host = await start_host()
    reply, _ = await host.ask(alice)
    assert await host.read(reply) == ANSWERED
    assert (await stored(reply)).attempt == 1


class Outage:
    """The database takes no ends until this is over, and commits do not wait for it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._tries = 0
        patch.setattr(ReplyQuerySet, "finish", self._fail)
        patch.setattr(database, "AWAY_SECONDS", 0)

    def _fail(self, *_: object) -> bool:
        self._tries += 1
        raise OperationalError

    async def has_failed(self, times: int) -> None:
        """Return when an end could not be stored this often."""
        async with asyncio.timeout(PATIENCE):
            while self._tries < times:  # noqa: ASYNC110 (other threads try)
                await asyncio.sleep(0.01)

    def end(self) -> None:
        self._patch.undo()


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    with monkeypatch.context() as patch:
        yield Outage(patch)


async def test_an_end_outlasts_any_outage_of_the_database(start_host: StartHost, alice: User, outage: Outage) -> None:
    host = await start_host()
    reply, run = await host.ask(alice)
    await outage.has_failed(3)
    await host.reconcile()
    outage.end()
    await run.task
    assert await host.read(reply) == ANSWERED
    row = await stored(reply)
    assert (row.status, row.attempt) == ("complete", 1)


async def test_a_process_that_ends_leaves_an_end_to_others(start_host: StartHost, alice: User, outage: Outage) -> None:
    here, there = await start_host(), await start_host()
    reply, run = await here.ask(alice)
    await outage.has_failed(3)
    await here.drain()
    assert run.task.done()
    outage.end()
    await there.reconcile()
    assert await there.read(reply) == ("Hello world", INTERRUPTED)


async def test_a_reply_claimed_while_rows_are_compared_is_kept(
    start_host: StartHost, upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is claimed between the two queries, so that neither may miss it."""
    upstream.default = [text("so far"), pause("rest"), finish()]
    here = await start_host(running=1)
    first, _ = await here.ask(alice)
    await here.until(first, "so far")
    second, run = await here.ask(alice)
    values_list, queries, loop = ReplyQuerySet.values_list, count(1), asyncio.get_running_loop()

    async def give_slot() -> None:
        await here.stop(first.pk)
        await here.until(second, "so far")

    def second_query(replies: ReplyQuerySet, *fields: str, **options: bool) -> Any:
        if next(queries) == 2:
            monkeypatch.setattr(ReplyQuerySet, "values_list", values_list)
            asyncio.run_coroutine_threadsafe(in_background(here, give_slot()), loop).result(PATIENCE)
        return values_list(replies, *fields, **options)

    monkeypatch.setattr(ReplyQuerySet, "values_list", second_query)
    await in_background(here, here.reconcile())
    assert not run.task.done()
    upstream.release("rest")
    assert (await here.read(second))[1].status == "complete"


async def in_background[T](host: Host, work: Coroutine[Any, Any, T]) -> T:
    """With the threads of the host's background tasks, so that two can ask the database at the same time."""
    return await spawn(work, "test", host.threads)


async def test_a_process_that_wakes_drops_what_others_have_claimed(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("so far"), hang())
    here, there = await start_host(), await start_host()
    reply, _ = await here.ask(alice)
    await here.until(reply, "so far")
    await expire(here)
    await there.reconcile()
    assert await there.read(reply) == ("so far", INTERRUPTED)
    await here.reconcile()
    await here.forgets(reply)
    await asyncio.to_thread(upstream.next_request().wait_closed)


async def test_a_full_process_also_takes_over_begun_replies(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.default = [text("so far"), hang()]
    here, full = await start_host(), await start_host(running=1)
    first, _ = await full.ask(alice)
    lost, _ = await here.ask(alice)
    for reply in (first, lost):
        await full.until(reply, "so far")
    await here.die()
    await full.reconcile()
    assert await full.read(lost) == ("so far", INTERRUPTED)
    assert await status(first) == "streaming"


async def test_a_failed_run_is_made_again_by_its_process(
    start_host: StartHost, upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script(text("so far"), hang())
    here, there = await start_host(), await start_host()
    reply, _ = await here.ask(alice)
    await here.until(reply, "so far")
    await here.die()

    async def fail(*_: Any) -> None:
        raise LogUnreachable

    with monkeypatch.context() as patched:
        patched.setattr(there.log, "fence", fail)
        await there.reconcile()
        await there.forgets(reply)
    assert await status(reply) == "streaming"
    await there.reconcile()
    assert await there.read(reply) == ("so far", INTERRUPTED)
    row = await stored(reply)
    assert (row.attempt, row.process) == (3, there.name)


# What belongs to one process


async def test_a_process_waits_for_no_thread_of_another(start_host: StartHost) -> None:
    here, there = await start_host(), await start_host()
    may_end = threading.Event()
    busy = [in_background(here, in_thread(may_end.wait)(PATIENCE)) for _ in range(2)]
    working = asyncio.gather(*busy)
    await in_background(there, there.reconcile())
    assert not working.done()
    may_end.set()
    assert all(await working)


async def test_a_closed_process_has_no_threads(upstream: Upstream) -> None:
    others = set(threading.enumerate())
    host = Host.asking(upstream)
    pages = SharedThreads(host.serving(Handler()))  # type: ignore[arg-type]
    host.closes(pages.close)
    async with hosts(host):
        await in_background(host, host.reconcile())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://127.0.0.1") as browser:
            assert (await browser.get("/accounts/login/")).status_code == 200
    # Those of the event loop and the daemon that watches PostgreSQL belong to no process.
    own = [thread for thread in set(threading.enumerate()) - others if not thread.daemon]
    left = [thread for thread in own if not thread.name.startswith("asyncio")]
    await asyncio.gather(*(asyncio.to_thread(thread.join, PATIENCE) for thread in left))
    assert not [thread.name for thread in left if thread.is_alive()]


# The lease


async def test_a_process_renews_its_lease(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), hang())
    host = await start_host(lease=timedelta(seconds=0.6))
    reply, _ = await host.ask(alice)
    await host.until(reply, "so far")
    row = ServerProcess.objects.filter(name=host.name)
    first = await row.aget()
    async with asyncio.timeout(PATIENCE):
        while (later := await row.aget()).lease == first.lease:  # noqa: ASYNC110 (only the row tells)
            await asyncio.sleep(0.01)
    assert later.lease > first.lease
    assert later.started == first.started
    assert (await stored(reply)).attempt == 1


# Stop


async def test_any_process_stops_a_reply(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), hang())
    here, there = await start_host(), await start_host()
    reply, run = await here.ask(alice)
    await there.until(reply, "so far")
    await there.stop(reply.pk)
    assert await there.read(reply) == ("so far", End("stopped"))
    await here.reconcile()
    await run.task
    await asyncio.to_thread(upstream.next_request().wait_closed)
    row = await stored(reply)
    assert (row.status, row.attempt) == ("stopped", 2)


async def test_a_queued_reply_can_be_stopped(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), hang())
    host = await start_host(running=1)
    first, _ = await host.ask(alice)
    await host.until(first, "so far")
    second, _ = await host.ask(alice)
    await host.stop(second.pk)
    assert (await status(first), await status(second)) == ("streaming", "stopped")
    assert len(upstream.requests) == 1


# The queue


async def test_replies_are_queued_when_all_slots_are_taken(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("first"), pause("end"), finish())
    host = await start_host(running=1, queued=1)
    first, _ = await host.ask(alice)
    await host.until(first, "first")
    second, run = await host.ask(alice)
    assert host.full
    assert not await host.claims(second.pk, 0)
    assert not run.claimed.is_set()
    upstream.release("end")
    assert await host.read(second) == ANSWERED
    assert run.claimed.is_set()


async def test_a_process_with_room_claims_queued_replies(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    """Only those that their own process has not come to for as long as a lease."""
    upstream.script(text("first"), hang())
    busy, free = await start_host(running=1), await start_host()
    first, _ = await busy.ask(alice)
    await busy.until(first, "first")
    second, _ = await busy.ask(alice)
    await free.reconcile()
    assert await status(second) == "queued"
    await make_due()
    await free.reconcile()
    assert await free.read(second) == ANSWERED
    await busy.reconcile()
    await busy.forgets(second)


async def test_a_process_claims_no_more_queued_replies_than_slots(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.default = [text("Hello"), pause("rest"), finish()]
    replies = [await in_thread(asking.begin)(alice, "Hello?", "small") for _ in range(3)]
    await make_due()
    host = await start_host(running=1)
    await host.reconcile()
    await asyncio.to_thread(upstream.next_request)
    assert sorted([await status(reply) for reply in replies]) == ["queued", "queued", "streaming"]
    upstream.release("rest")


async def make_due() -> None:
    """Let any process claim what is queued."""
    await Reply.objects.filter(status="queued").aupdate(queued=timezone.now() - 2 * LONG)


# Drain


async def test_a_draining_process_finishes_its_replies(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    host = await start_host(drain=timedelta(seconds=PATIENCE))
    reply, _ = await host.ask(alice)
    await host.until(reply, "so far")
    draining = asyncio.create_task(host.drain())
    upstream.release("rest")
    await draining
    row = await stored(reply)
    assert (row.status, row.message.text) == ("complete", "so far and on")
    assert not await ServerProcess.objects.filter(name=host.name).aexists()


async def test_a_reply_given_a_slot_during_the_drain_stays_queued(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.default = [text("so far"), hang()]
    here = await start_host(running=1)
    first, _ = await here.ask(alice)
    await here.until(first, "so far")
    second, run = await here.ask(alice)
    await here.grant_slot(run)
    run.drop()
    await run.task
    assert await status(second) == "queued"


@pytest.mark.parametrize("shown", [True, False])
async def test_unfinished_replies_are_taken_over_right_after_the_drain(
    start_host: StartHost, upstream: Upstream, alice: User, shown: bool
) -> None:
    """Long before the lease of the process would have run out."""
    upstream.script(*([text("so far")] if shown else []), hang())
    here, there = await start_host(), await start_host()
    reply, _ = await here.ask(alice)
    request = await asyncio.to_thread(upstream.next_request)
    if shown:
        await here.until(reply, "so far")
    await here.drain()
    await asyncio.to_thread(request.wait_closed)
    assert await status(reply) == "streaming"
    assert not await ServerProcess.objects.filter(name=here.name).aexists()
    await there.reconcile()
    assert await there.read(reply) == (("so far", INTERRUPTED) if shown else ANSWERED)


async def test_a_draining_process_hands_over_queued_replies_first(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("first"), pause("end"), finish())
    here, there = await start_host(running=1, drain=timedelta(seconds=PATIENCE)), await start_host()
    first, _ = await here.ask(alice)
    await here.until(first, "first")
    second, run = await here.ask(alice)
    draining = asyncio.create_task(here.drain())
    await run.task
    async with asyncio.timeout(PATIENCE):
        while not there.has(second.pk):
            await there.reconcile()
    assert await there.read(second) == ANSWERED
    upstream.release("end")
    await draining
    assert await status(first) == "complete"


async def test_questions_during_the_drain_are_claimed_elsewhere(start_host: StartHost, alice: User) -> None:
    here, there = await start_host(), await start_host()
    assert not await here.is_alone()
    await here.drain()
    assert await there.is_alone()
    reply, run = await here.ask(alice)
    await run.task
    async with asyncio.timeout(PATIENCE):
        while not there.has(reply.pk):
            await there.reconcile()
    assert await there.read(reply) == ANSWERED


# Deletion


@pytest.mark.parametrize("page", ["chat_user_delete", "chat_conversation_delete"])
async def test_staff_delete_replies_that_are_being_written(
    start_host: StartHost, upstream: Upstream, alice: User, sam: User, page: str
) -> None:
    upstream.default = [text("word "), *([sleep(0.002), text("word ")] * 2000)]
    host = await start_host()
    asked = [await host.ask(alice) for _ in range(6)]
    for reply, _ in asked:
        await host.until(reply, "word word")
    staff = AsyncClient()
    await staff.aforce_login(sam)
    of_user = page == "chat_user_delete"
    for pk in [alice.pk] if of_user else [reply.message.conversation_id for reply, _ in asked]:
        answer = await staff.post(reverse(f"admin:{page}", args=[pk]), {"post": "yes"})
        assert answer.status_code == 302
    assert not await Reply.objects.aexists()
    await asyncio.wait([run.task for _, run in asked])
