"""Any order of claims, appends, stops, take-overs and ends by several processes, compared with a simple model.

The orders are the same in each run. `STATES=1000` tries that many others, which is worth it after a change of a log or
of the claims: `STATES=1000 python -m pytest tests/test_replylog_states.py`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from uuid import UUID

import pytest
from django.db.models.functions import Now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chat import asking
from chat.database import in_thread
from chat.events import AnyDelta, Delta, End, Entry, Reasoning, Snapshot
from chat.models import Conversation, Reply, ReplyEvent, ServerProcess, User
from chat.replylog import EMPTY, CursorLost, Fenced, ReplyLog, Writer, base, commit, database, redis
from chat.replylog.database import DatabaseLog
from tests.replylogs import Stores

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = timedelta(hours=1)
PROCESSES = ("one", "two", "three")
PROCESS = st.sampled_from(PROCESSES)
REPLY = st.integers(0, 1)

# In seconds: what has not happened by then does not happen.
PATIENCE = 60

TRIED = settings(
    max_examples=int(os.environ.get("STATES", "40")),
    stateful_step_count=40,
    report_multiple_bugs=False,
    derandomize="STATES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


# The model


@dataclass(eq=False)
class Expected:
    """What must be true of one reply."""

    pk: UUID
    status: str = "queued"
    attempt: int = 0
    process: str = ""
    # Attempts before this one write nothing.
    fence: int = 0
    # What a reader that has seen all up to a seq has on screen, by that seq.
    screens: list[Snapshot] = field(default_factory=lambda: [EMPTY])
    ends: dict[int, End] = field(default_factory=dict)
    # The seqs that the log holds, and how often it has lost some.
    held: range = range(0)
    losses: int = 0
    # The screen that the row has kept.
    kept: Snapshot = EMPTY

    @property
    def runs(self) -> bool:
        return self.status in Reply.RUNNING

    @property
    def can_resume(self) -> bool:
        return self.status in ("stopped", "interrupted", "failed") and bool(self.kept.text)

    @property
    def stored(self) -> Snapshot:
        return self.screens[self.held[-1]] if self.held else EMPTY

    def holds(self, cursor: int) -> bool:
        """Whether the log must know what follows the cursor."""
        if cursor == 0:
            return self.runs or bool(self.held)
        return cursor in self.held and (self.runs or cursor != self.held[-1])

    def claim(self, process: str) -> int:
        self.status, self.process = "streaming", process
        self.attempt += 1
        return self.attempt

    def grow(self, *events: AnyDelta | End) -> None:
        for event in events:
            seq = len(self.screens)
            self.screens.append(shown(self.screens[-1], (seq, event)))
            self.held = range(self.held.start if self.held else seq, seq + 1)

    def end(self, end: End) -> None:
        self.ends[len(self.screens)] = end
        self.grow(end)
        self.status, self.kept = end.status, self.screens[-1]

    def lose(self, held: range) -> None:
        self.held = held
        self.losses += 1


def shown(screen: Snapshot, entry: Entry) -> Snapshot:
    """The screen after one more entry."""
    seq, event = entry
    match event:
        case Delta(text):
            return Snapshot(screen.text + text, screen.reasoning, seq)
        case Reasoning(text):
            return Snapshot(screen.text, screen.reasoning + text, seq)
        case Snapshot():
            return event
        case End():
            return Snapshot(screen.text, screen.reasoning, seq)


# Processes and readers


@dataclass(eq=False)
class Claimed:
    """A reply in the hands of a process that has not looked yet at what there is of it."""

    reply: Expected
    attempt: int
    log: ReplyLog


class Hand:
    """A process that writes a reply, or thinks so."""

    def __init__(self, claimed: Claimed, so_far: Snapshot) -> None:
        self.reply, self.attempt = claimed.reply, claimed.attempt
        self._writing = ExitStack()
        self.writer: Writer = self._writing.enter_context(claimed.log.writer(self.reply.pk, self.attempt, so_far))

    @property
    def may_write(self) -> bool:
        return self.reply.runs and self.attempt >= self.reply.fence

    @property
    def may_end(self) -> bool:
        return self.reply.runs and self.attempt == self.reply.attempt

    def leave(self) -> None:
        """What a process does that has ended the reply, or has found out that it lost it."""
        self._writing.close()


class Reader:
    """Follows a reply from a cursor, in its own task."""

    def __init__(self, reply: Expected, log: ReplyLog, cursor: int) -> None:
        self._reply = reply
        self._cursor = cursor
        self._must_find = reply.holds(cursor)
        self._losses = reply.losses
        self._seen: list[Entry] = []
        self._lost = False
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._read(log))
        self._task.add_done_callback(lambda _: self._news.set())

    async def _read(self, log: ReplyLog) -> None:
        try:
            async for entries in log.follow(self._reply.pk, self._cursor):
                self._seen += entries
                self._news.set()
        except CursorLost:
            self._lost = True

    async def begun(self) -> None:
        await self._news.wait()

    async def caught_up(self) -> None:
        """Return when all that there is has come; what has come must be right."""
        async with asyncio.timeout(PATIENCE):
            while not self._task.done() and (not self._reply.runs or self._last < self._reply.stored.seq):
                self._news.clear()
                await self._news.wait()
        if self._lost:
            assert not self._must_find or self._losses != self._reply.losses
        else:
            assert self._cursor < len(self._reply.screens)
        self._check()

    @property
    def _last(self) -> int:
        return self._seen[-1][0] if self._seen else self._cursor

    def _check(self) -> None:
        """Each entry makes of the screen before it what it should; no seq is left out or comes twice."""
        screen = self._reply.screens[self._cursor] if self._seen else EMPTY
        for entry in self._seen:
            seq, event = entry
            assert seq == screen.seq + 1 or isinstance(event, Snapshot)
            assert not isinstance(event, End) or event == self._reply.ends[seq]
            screen = shown(screen, entry)
            assert screen == self._reply.screens[seq]


async def stored(writing: Awaitable[None]) -> bool:
    try:
        await writing
    except Fenced:
        return False
    return True


# Whatever can happen, in any order


class Replies(RuleBasedStateMachine):
    claims: Bundle[Claimed] = Bundle("claims")
    hands: Bundle[Hand] = Bundle("hands")
    readers: Bundle[Reader] = Bundle("readers")

    def __init__(self, stores: Stores, owner: User) -> None:
        super().__init__()
        self._owner = owner
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self._logs = {name: self._run(self._open.enter_async_context(stores.log())) for name in PROCESSES}
        # One log looks at the row with each write, so that a claim alone fences earlier attempts off.
        self._fenced_by_row = all(isinstance(log, DatabaseLog) for log in self._logs.values())
        self._numbers = count()
        self._all: list[Expected] = []
        self._hands: list[Hand] = []

    def teardown(self) -> None:
        self._run(self._open.aclose())
        self._query(Conversation.objects.all().delete)
        self._runner.close()

    def _run[T](self, action: Awaitable[T]) -> T:
        async def run() -> T:
            return await action

        return self._runner.run(run())

    def _query[T](self, query: Callable[[], T]) -> T:
        return self._run(in_thread(query)())

    # Claims

    @initialize(target=hands)
    def begin_two_replies(self) -> MultipleResults[Hand]:
        for process in PROCESSES:
            self._query(partial(ServerProcess.objects.renew, process, LEASE))
        self._all = [self._asked(), self._asked()]
        hands = [self._taken(reply, "one") for reply in self._all]
        for hand in hands:
            self.append(hand, (Delta,))
        return multiple(*hands)

    def _asked(self) -> Expected:
        return Expected(self._query(lambda: asking.begin(self._owner, "Hello", "demo").pk))

    @rule(target=claims, reply=REPLY, process=PROCESS, missed=st.sampled_from([0, 0, 0, 1]))
    def claim(self, reply: int, process: str, missed: int) -> Claimed | MultipleResults[Claimed]:
        """By a process that has missed the last claim since it read the row."""
        expected = self._all[reply]
        seen = expected.attempt - missed
        claimed = self._query(lambda: Reply.objects.claim(expected.pk, seen, process))
        assert claimed == (expected.runs and not missed)
        return self._claimed(expected, process) if claimed else multiple()

    @rule(target=hands, reply=REPLY, process=PROCESS)
    def take_over_after_the_lease(self, reply: int, process: str) -> Hand | MultipleResults[Hand]:
        expected = self._all[reply]
        running = Reply.objects.running().filter(pk=expected.pk)
        self._query(lambda: running.update(process="dead", queued=Now() - 2 * LEASE))
        found = self._query(lambda: list(Reply.objects.claimable(LEASE).values_list("pk", "attempt")))
        assert found == ([(expected.pk, expected.attempt)] if expected.runs else [])
        return self._taken(expected, process) if expected.runs else multiple()

    def _taken(self, reply: Expected, process: str) -> Hand:
        assert self._query(lambda: Reply.objects.claim(reply.pk, reply.attempt, process))
        hand = self.begin(self._claimed(reply, process))
        assert isinstance(hand, Hand)
        return hand

    def _claimed(self, reply: Expected, process: str) -> Claimed:
        attempt = reply.claim(process)
        if self._fenced_by_row:
            reply.fence = attempt
        return Claimed(reply, attempt, self._logs[process])

    # Writing

    @rule(target=hands, claimed=consumes(claims))
    def begin(self, claimed: Claimed) -> Hand | MultipleResults[Hand]:
        return self._begun(claimed, self._run(self._so_far(claimed))) or multiple()

    async def _so_far(self, claimed: Claimed) -> Snapshot | None:
        """What there is of a claimed reply, as `generation.py` asks for it; None for a fenced attempt."""
        if claimed.attempt == 1:
            return EMPTY
        try:
            return await claimed.log.fence(claimed.reply.pk, claimed.attempt)
        except CursorLost:
            return EMPTY
        except Fenced:
            return None

    def _begun(self, claimed: Claimed, so_far: Snapshot | None) -> Hand | None:
        reply = claimed.reply
        if so_far is None:
            assert claimed.attempt < reply.fence
            return None
        if claimed.attempt > 1:
            assert so_far == (reply.stored if reply.runs else EMPTY)
            if not self._fenced_by_row:
                assert claimed.attempt >= reply.fence
                reply.fence = claimed.attempt
        resumed = bool(reply.kept.text) and so_far.seq <= reply.kept.seq
        hand = Hand(claimed, so_far)
        self._hands.append(hand)
        if resumed:
            assert self._run(stored(hand.writer.restart(reply.kept))) == hand.may_write
            if hand.may_write:
                reply.lose(range(reply.kept.seq, reply.kept.seq + 1))
        return hand

    @rule(hand=hands, kinds=st.sampled_from([(Delta,), (Reasoning,), (Reasoning, Delta), (Delta, Reasoning)]))
    def append(self, hand: Hand, kinds: tuple[type[Delta | Reasoning], ...]) -> None:
        deltas: list[AnyDelta] = [kind(self._word()) for kind in kinds]
        assert self._run(stored(hand.writer.append(deltas))) == hand.may_write
        if hand.may_write:
            hand.reply.grow(*deltas)

    @rule(target=hands, hand=hands, process=PROCESS)
    def take_over_during_an_append(self, hand: Hand, process: str) -> Hand | MultipleResults[Hand]:
        """The process that takes over knows what was stored before. Nothing else is stored."""
        reply, seen, may_write = hand.reply, hand.reply.attempt, hand.may_write
        delta = Delta(self._word())
        taken = Claimed(reply, seen + 1, self._logs[process])

        async def take_over() -> Snapshot | None:
            assert await in_thread(Reply.objects.claim)(reply.pk, seen, process) == reply.runs
            return await self._so_far(taken) if reply.runs else None

        async def both() -> tuple[bool, Snapshot | None]:
            return await asyncio.gather(stored(hand.writer.append([delta])), take_over())

        was_stored, so_far = self._run(both())
        if was_stored:
            assert may_write
            reply.grow(delta)
        return (reply.runs and self._begun(self._claimed(reply, process), so_far)) or multiple()

    @rule(hand=consumes(hands), status=st.sampled_from(["complete", "stopped", "interrupted", "failed"]))
    def end(self, hand: Hand, status: str) -> None:
        end = End(status)
        assert self._run(stored(hand.writer.end(end))) == hand.may_end
        if hand.may_end:
            hand.reply.end(end)
        hand.leave()

    @rule(reply=REPLY, process=PROCESS)
    def stop(self, reply: int, process: str) -> None:
        """The process that is asked to claims the reply and ends it."""
        if self._all[reply].runs:
            self.end(self._taken(self._all[reply], process), "stopped")

    @rule(target=hands, reply=REPLY, process=PROCESS, at_once=st.booleans())
    def resume(self, reply: int, process: str, at_once: bool) -> Hand | MultipleResults[Hand]:
        """Stop it if it still runs, then resume it: a process claims it at once, or dies right there."""
        self.stop(reply, process)
        expected = self._all[reply]
        resumed = self._query(lambda: asking.resume(Reply.objects.get(pk=expected.pk), "demo"))
        assert (resumed is not None) == expected.can_resume
        if not expected.can_resume:
            return multiple()
        self._run(self._logs[process].hide_end(expected.pk))
        expected.status = "queued"
        if self._fenced_by_row:
            expected.held = expected.held[:-1]
        else:
            expected.lose(range(0))
        return self._taken(expected, process) if at_once else multiple()

    @precondition(lambda self: any(reply.held and not reply.runs for reply in self._all))
    @rule()
    def purge(self) -> None:
        ended = Reply.objects.exclude(status__in=Reply.RUNNING)
        self._run(self._logs["one"].purge())
        if self._fenced_by_row:
            assert not self._query(lambda: ReplyEvent.objects.filter(reply__in=ended).exists())
            for reply in self._all:
                if not reply.runs:
                    reply.lose(range(0))

    def _word(self) -> str:
        return f"{next(self._numbers)} "

    # Reading

    @rule(target=readers, reply=REPLY, process=PROCESS, cursor=st.integers(0, 100))
    def follow(self, reply: int, process: str, cursor: int) -> Reader:
        """From any cursor that exists, or one past the last."""
        expected = self._all[reply]

        async def following() -> Reader:
            reader = Reader(expected, self._logs[process], cursor % (len(expected.screens) + 1))
            await reader.begun()
            return reader

        return self._run(following())

    @rule(reader=readers)
    def read(self, reader: Reader) -> None:
        # Until then its process does not look elsewhere for what others write.
        for hand in self._hands:
            if not hand.may_end:
                hand.leave()
        self._run(reader.caught_up())

    @rule(reply=REPLY, process=PROCESS)
    def take_a_snapshot(self, reply: int, process: str) -> None:
        expected = self._all[reply]
        try:
            assert self._run(self._logs[process].snapshot(expected.pk)) == expected.stored
            assert expected.runs
        except CursorLost:
            assert not expected.runs

    @invariant()
    def rows_match_the_model(self) -> None:
        fields = ("status", "attempt", "process", "message__text", "reasoning", "last_seq")
        rows = self._query(lambda: {row[0]: row[1:] for row in Reply.objects.values_list("pk", *fields)})
        assert rows == {
            reply.pk: (reply.status, reply.attempt, reply.process, kept.text, kept.reasoning, kept.seq)
            for reply in self._all
            for kept in [reply.kept]
        }


@pytest.fixture
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for company, and no lease runs out by itself."""
    monkeypatch.setattr(commit, "FRAME", 0.0)
    monkeypatch.setattr(commit, "FRAME_PER_APPEND", 0.0)
    monkeypatch.setattr(base, "LOOK", 0.02)
    monkeypatch.setattr(base, "IDLE", 0.02)
    monkeypatch.setattr(database, "LOG_KEPT", timedelta(0))
    monkeypatch.setattr(DatabaseLog, "poll_pause", 0.005)
    monkeypatch.setattr(redis, "BLOCK", 5)
    monkeypatch.setattr(redis, "TIMEOUT", PATIENCE)


@pytest.mark.waits
@pytest.mark.usefixtures("_in_a_hurry")
def test_any_order_of_events_keeps_every_promise(stores: Stores, alice: User) -> None:
    class Tried(Replies):
        def __init__(self) -> None:
            super().__init__(stores, alice)

    run_state_machine_as_test(Tried, settings=TRIED)
