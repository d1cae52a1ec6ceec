"""What every log promises, on real stores: stored before shown, followed in order and once, fenced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import timedelta
from itertools import chain, repeat
from uuid import UUID

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat import asking
from chat.database import DatabaseThreads, in_thread
from chat.events import AnyDelta, Delta, End, Entry, Error, Reasoning, Snapshot
from chat.models import Conversation, Reply, ReplyEvent, User
from chat.models.replies import ReplyQuerySet
from chat.replylog import CursorLost, Fenced, ReplyLog, StoreAway, base, commit, database
from chat.replylog.coding import decode
from chat.replylog.commit import Append, Failure
from chat.replylog.database import DatabaseLog
from tests.hosts import PATIENCE
from tests.replylogs import DONE, Stores, claimed_reply, everything, in_store, text

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def elsewhere(stores: Stores) -> AsyncIterator[ReplyLog]:
    """The log as another process has it."""
    async with stores.log() as log:
        yield log


@pytest.fixture
def rows() -> DatabaseLog:
    return DatabaseLog(DatabaseThreads(2))


@pytest.fixture
def reply(alice: User) -> Reply:
    return claimed_reply(alice)


# Writing


async def test_a_delta_is_stored_when_append_returns(log: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("Hello"), Delta(" world")])
        await writer.append([Reasoning("hm")])
    assert await in_store(log, reply) == [(1, Delta("Hello world")), (2, Reasoning("hm"))]


async def test_no_reader_sees_a_delta_before_it_is_stored(
    log: ReplyLog, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, may_store = asyncio.Event(), asyncio.Event()
    store = log.store

    async def slow(appends: list[Append]) -> dict[UUID, Failure]:
        storing.set()
        await may_store.wait()
        return await store(appends)

    monkeypatch.setattr(log, "store", slow)
    reader = log.follow(reply.pk, 0)
    assert await anext(reader) == []
    next_entries = asyncio.ensure_future(anext(reader))
    with log.writer(reply.pk, 1) as writer:
        appending = asyncio.create_task(writer.append([Delta("Hello")]))
        await storing.wait()
        assert not next_entries.done()
        may_store.set()
        await appending
        assert await next_entries == [(1, Delta("Hello"))]


async def test_replies_that_write_at_once_share_commits(
    log: ReplyLog, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = [await in_thread(claimed_reply)(alice) for _ in range(5)]
    batches: list[int] = []
    store = log.store

    async def counting(appends: list[Append]) -> dict[UUID, Failure]:
        batches.append(len(appends))
        return await store(appends)

    monkeypatch.setattr(log, "store", counting)

    async def write(reply: Reply) -> None:
        with log.writer(reply.pk, 1) as writer:
            for number in range(3):
                await writer.append([Delta(f"{number} ")])

    await asyncio.gather(*map(write, replies))
    assert batches == [5, 5, 5]
    for reply in replies:
        assert text(await in_store(log, reply)) == "0 1 2 "


async def test_the_end_stores_message_row_and_entry_together(log: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Reasoning("hm")])
        await writer.append([Delta("Hello")])
        await writer.append([Delta(" world")])
        await writer.end(DONE)
    reply = await Reply.objects.select_related("message").aget(pk=reply.pk)
    assert (reply.status, reply.reasoning, reply.last_seq, reply.message.text) == ("complete", "hm", 4, "Hello world")
    assert (await everything(log, reply.pk))[-1] == (4, DONE)


async def test_an_end_is_tried_again_in_its_place(log: ReplyLog, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.database.AWAY_SECONDS", 0)

    def fail(*_: object) -> bool:
        raise OperationalError

    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
        with monkeypatch.context() as away:
            away.setattr(ReplyQuerySet, "finish", fail)
            for _ in range(2):
                with pytest.raises(StoreAway):
                    await writer.end(DONE)
        await writer.end(DONE)
    assert await everything(log, reply.pk) == [(1, Delta("one")), (2, DONE)]


async def test_an_end_with_an_error_is_read_as_written(log: ReplyLog, reply: Reply) -> None:
    end = End("failed", error=Error("busy", {"retry_after": 60}))
    with log.writer(reply.pk, 1) as writer:
        await writer.end(end)
    assert await everything(log, reply.pk) == [(1, end)]


def test_an_end_stored_by_another_version_is_read() -> None:
    stored = '{"status": "failed", "finish_reason": "", "usage": null, "error": {"code": "busy", "message": "Wait."}}'
    assert decode(7, "end", stored) == (7, End("failed", error=Error("busy")))


async def test_deltas_of_a_cancelled_append_come_before_the_end(log: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        appending = asyncio.create_task(writer.append([Delta("Hello")]))
        await asyncio.sleep(0)
        appending.cancel()
        await writer.end(End("stopped"))
    await reply.message.arefresh_from_db()
    assert reply.message.text == "Hello"
    assert [seq for seq, _ in await in_store(log, reply)] == [1, 2]


async def test_taking_over_continues_after_the_stored_entries(log: ReplyLog, elsewhere: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Reasoning("hm"), Delta("Hello")])
    assert await in_thread(Reply.objects.claim)(reply.pk, 1, "elsewhere")
    reply.attempt = 2
    with elsewhere.writer(reply.pk, 2, await elsewhere.fence(reply.pk, 2)) as writer:
        await writer.append([Delta(" world")])
        await writer.end(DONE)
    row = await Reply.objects.select_related("message").aget(pk=reply.pk)
    assert (row.reasoning, row.message.text, row.last_seq) == ("hm", "Hello world", 4)
    assert [seq for seq, _ in await in_store(log, reply)] == [1, 2, 3, 4]


# Fencing


async def test_a_fenced_writer_writes_nothing(log: ReplyLog, elsewhere: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("mine")])
        assert await in_thread(Reply.objects.claim)(reply.pk, 1, "elsewhere")
        assert await elsewhere.fence(reply.pk, 2) == Snapshot("mine", "", 1)
        with pytest.raises(Fenced):
            await writer.append([Delta(" too late")])
        with pytest.raises(Fenced):
            await writer.end(DONE)
    assert await in_store(log, reply) == [(1, Delta("mine"))]
    await reply.arefresh_from_db()
    assert reply.status == Reply.Status.STREAMING


async def test_a_fenced_writer_does_not_keep_others_from_writing(
    log: ReplyLog, elsewhere: ReplyLog, alice: User
) -> None:
    fenced, healthy = [await in_thread(claimed_reply)(alice) for _ in range(2)]
    await in_thread(Reply.objects.claim)(fenced.pk, 1, "elsewhere")
    await elsewhere.fence(fenced.pk, 2)
    with log.writer(fenced.pk, 1) as one, log.writer(healthy.pk, 1) as other:
        results = await asyncio.gather(
            one.append([Delta("too late")]), other.append([Delta("fine")]), return_exceptions=True
        )
    assert isinstance(results[0], Fenced)
    assert await in_store(log, fenced) == []
    assert await in_store(log, healthy) == [(1, Delta("fine"))]


async def test_nothing_is_written_after_the_end(log: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.end(End("stopped"))
        with pytest.raises(Fenced):
            await writer.append([Delta("growing")])
    assert await in_store(log, reply) == [(1, End("stopped"))]


async def test_storing_again_does_no_harm(log: ReplyLog, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a commit whose answer got lost."""
    store = log.store

    async def twice(appends: list[Append]) -> dict[UUID, Failure]:
        await store(appends)
        return await store(appends)

    monkeypatch.setattr(log, "store", twice)
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one"), Reasoning("hm")])
        await writer.append([Delta(" two")])
        await writer.end(DONE)
    assert [seq for seq, _ in await in_store(log, reply)] == [1, 2, 3, 4]
    await reply.message.arefresh_from_db()
    assert reply.message.text == "one two"


# Following


async def test_readers_see_the_same_whenever_they_come(log: ReplyLog, reply: Reply) -> None:
    early = asyncio.create_task(everything(log, reply.pk))
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one ")])
        middle = asyncio.create_task(everything(log, reply.pk))
        await writer.append([Delta("two ")])
        await writer.append([Delta("three")])
        await writer.end(DONE)
    late = await everything(log, reply.pk)
    assert text(late) == "one two three"
    assert await early == await middle == late


async def test_a_reader_continues_after_its_cursor(log: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        for number in range(4):
            await writer.append([Delta(str(number))])
        await writer.end(DONE)
    assert [seq for seq, _ in await everything(log, reply.pk, after=2)] == [3, 4, 5]


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_no_reader_is_told_the_end_after_a_gap(rows: DatabaseLog, reply: Reply, after: int) -> None:
    """A commit that failed has left a gap right before the end."""
    await write_with_a_gap(rows, reply)
    with pytest.raises(CursorLost):
        await everything(rows, reply.pk, after)


async def test_a_follower_is_not_told_the_end_after_a_gap(rows: DatabaseLog, reply: Reply) -> None:
    """It reads what another process writes, before and after the gap, at once or in two steps."""
    async with aclosing(rows.follow(reply.pk, 0)) as reader:
        assert await anext(reader) == []
        await write_with_a_gap(DatabaseLog(DatabaseThreads(2)), reply)

        async def read() -> None:
            async for entries in reader:
                assert DONE not in [event for _, event in entries]

        with pytest.raises(CursorLost):
            await read()


async def write_with_a_gap(log: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
        await writer.append([Delta(" two")])
        writer.seq += 1
        await writer.end(DONE)


@pytest.mark.parametrize("after", [1, 5, 2**31 - 1])
async def test_a_cursor_that_is_not_in_the_log_is_lost(log: ReplyLog, reply: Reply, after: int) -> None:
    with pytest.raises(CursorLost):
        await everything(log, reply.pk, after)


async def test_a_cursor_at_the_end_is_lost(log: ReplyLog, reply: Reply) -> None:
    with log.writer(reply.pk, 1) as writer:
        await writer.end(DONE)
    with pytest.raises(CursorLost):
        await everything(log, reply.pk, after=1)


async def test_a_slow_reader_reads_from_the_store(log: ReplyLog, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.replylog.inbox.UNREAD", 2)
    reader = log.follow(reply.pk, 0)
    assert await anext(reader) == []
    with log.writer(reply.pk, 1) as writer:
        for number in range(6):
            await writer.append([Delta(str(number)), Reasoning("r")])
        await writer.end(DONE)
    seen = [entry async for entries in reader for entry in entries]
    assert [seq for seq, _ in seen] == list(range(1, 14))


async def test_readers_see_what_another_process_writes(log: ReplyLog, elsewhere: ReplyLog, reply: Reply) -> None:
    here = asyncio.create_task(everything(log, reply.pk))
    with elsewhere.writer(reply.pk, 1) as writer:
        for number in range(3):
            await writer.append([Delta(str(number))])
        await writer.end(DONE)
    assert text(await here) == "012"


async def test_entries_published_twice_are_read_once(log: ReplyLog, reply: Reply) -> None:
    one, two = (1, Delta("one")), (2, Delta("two"))
    async with aclosing(log.follow(reply.pk, 0)) as reader:
        assert await anext(reader) == []
        log.publish(reply.pk, [one])
        log.publish(reply.pk, [one, two])
        assert await anext(reader) == [one, two]


async def test_an_idle_reader_gets_an_empty_list(log: ReplyLog, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.replylog.base.IDLE", 0.02)
    async with aclosing(log.follow(reply.pk, 0)) as reader:
        assert await anext(reader) == []
        assert await anext(reader) == []


async def test_a_long_log_is_read_in_pages(log: ReplyLog, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{type(log).__module__}.PAGE", 3)
    monkeypatch.setattr("chat.replylog.base.PAGE", 3)
    with log.writer(reply.pk, 1) as writer:
        for number in range(8):
            await writer.append([Delta(str(number))])
        snapshot = await log.snapshot(reply.pk)
        assert (snapshot.text, snapshot.reasoning, snapshot.seq) == ("01234567", "", 8)
        await writer.end(DONE)
    assert text(await everything(log, reply.pk)) == "01234567"


async def test_readers_elsewhere_hear_of_a_deletion_soon(
    log: ReplyLog, elsewhere: ReplyLog, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LOOK", 0.05)
    monkeypatch.setattr(base, "IDLE", 2 * PATIENCE)
    with elsewhere.writer(reply.pk, 1) as writer:
        await writer.append([Delta("one")])
    async with aclosing(log.follow(reply.pk, 0)) as reader, asyncio.timeout(PATIENCE):
        assert await anext(reader) == [(1, Delta("one"))]
        await Conversation.objects.all().adelete()
        # The rows are gone; Redis has not heard of it, and its reader looks at the row.
        with suppress(CursorLost):
            assert await anext(reader) == []


async def test_the_log_forgets_readers_that_leave(log: ReplyLog, reply: Reply) -> None:
    reader = log.follow(reply.pk, 0)
    await anext(reader)
    assert log._inboxes
    await reader.aclose()
    assert not log._inboxes


PATIENT = 1_000_000
DELTAS = st.one_of(st.builds(Delta, st.text(min_size=1)), st.builds(Reasoning, st.text(min_size=1)))


@given(
    appends=st.lists(st.lists(DELTAS.filter(lambda delta: "\0" not in delta.text), min_size=1, max_size=3), max_size=8),
    patience=st.lists(st.integers(0, 4), max_size=12),
)
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_reconnecting_readers_see_the_text_once(
    stores: Stores, sam: User, monkeypatch: pytest.MonkeyPatch, appends: list[list[AnyDelta]], patience: list[int]
) -> None:
    """The reader leaves after `patience` lists of entries each time, and comes back with the last seq it has seen.

    Sam asks, because he may ask as often as he likes.
    """
    monkeypatch.setattr(commit, "FRAME", 0.0)

    async def write(log: ReplyLog, reply: Reply) -> None:
        with log.writer(reply.pk, 1) as writer:
            for deltas in appends:
                await writer.append(deltas)
            await writer.end(DONE)

    async def read(log: ReplyLog, reply: Reply) -> list[Entry]:
        seen: list[Entry] = []
        visits = chain(patience, repeat(PATIENT))
        while not seen or not isinstance(seen[-1][1], End):
            reader = log.follow(reply.pk, seen[-1][0] if seen else 0)
            left = next(visits)
            async for entries in reader:
                seen += entries
                left -= 1
                if left < 0:
                    break
            await reader.aclose()
        return seen

    async def both() -> list[Entry]:
        reply = await in_thread(claimed_reply)(sam)
        async with stores.log() as log:
            _, seen = await asyncio.gather(write(log, reply), read(log, reply))
        return seen

    seen = asyncio.run(both())
    deltas = [delta for some in appends for delta in some]
    assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1))
    for kind in (Delta, Reasoning):
        expected = "".join(delta.text for delta in deltas if isinstance(delta, kind))
        assert "".join(event.text for _, event in seen if isinstance(event, kind)) == expected


# Rows in the database


async def test_a_reader_waits_for_a_database_that_is_away_for_a_moment(
    rows: DatabaseLog, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rows.writer(reply.pk, 1) as writer:
        await writer.append([Delta("Hello")])
        await writer.end(DONE)
    read, failures = database._read, [OperationalError, InterfaceError]

    def fail_first(reply_id: UUID, after: int) -> list[Entry]:
        if failures:
            raise failures.pop()
        return read(reply_id, after)

    monkeypatch.setattr(database, "_read", fail_first)
    assert text(await everything(rows, reply.pk)) == "Hello"


async def test_the_purge_forgets_replies_that_ended_long_ago(rows: DatabaseLog, alice: User) -> None:
    old, fresh, running = [await in_thread(claimed_reply)(alice) for _ in range(3)]
    for reply in (old, fresh, running):
        with rows.writer(reply.pk, 1) as writer:
            await writer.append([Delta("Hello")])
            if reply is not running:
                await writer.end(DONE)
    await Reply.objects.filter(pk=old.pk).aupdate(ended=timezone.now() - base.LOG_KEPT - timedelta(seconds=1))
    await rows.purge()
    kept = {reply_id async for reply_id in ReplyEvent.objects.values_list("reply_id", flat=True).distinct()}
    assert kept == {fresh.pk, running.pk}
    with pytest.raises(CursorLost):
        await everything(rows, old.pk)


async def test_a_reply_that_is_resumed_has_no_end_at_any_moment(rows: DatabaseLog, reply: Reply) -> None:
    with rows.writer(reply.pk, 1) as writer:
        await writer.append([Delta("Hello")])
        await writer.end(End("stopped"))
    assert await in_thread(asking.resume)(reply, "demo")
    assert await in_store(rows, reply) == [(1, Delta("Hello"))]


async def test_the_purge_forgets_resumed_replies(rows: DatabaseLog, reply: Reply) -> None:
    with rows.writer(reply.pk, 1) as writer:
        await writer.append([Delta("Hello")])
        await writer.end(End("stopped"))
    assert await in_thread(asking.resume)(reply, "demo")
    assert await in_thread(Reply.objects.claim)(reply.pk, 1, "here")
    reply.attempt = 2
    with rows.writer(reply.pk, 2) as writer:
        await writer.restart(Snapshot("Hello", "", 2))
        await writer.end(DONE)
    await Reply.objects.aupdate(ended=timezone.now() - base.LOG_KEPT - timedelta(seconds=1))
    await rows.purge()
    assert not await ReplyEvent.objects.aexists()


async def test_an_idle_reader_notices_that_the_reply_is_gone(
    rows: DatabaseLog, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DatabaseLog, "poll_pause", 0.01)
    monkeypatch.setattr("chat.replylog.base.IDLE", 0.02)
    reader = rows.follow(reply.pk, 0)
    assert await anext(reader) == []
    assert await anext(reader) == []
    await Conversation.objects.all().adelete()
    with pytest.raises(CursorLost):
        async for _ in reader:
            pass
