"""The kill loop in its short form; and that it would notice a promise that is broken."""

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings

from chat.events import Delta, End, Entry, Reasoning, Snapshot
from chat.models import Message, Reply
from chat.sse import ServerSentEvent
from tests.faults import rounds
from tests.faults.evidence import (
    BEGINS_ANEW,
    GOES_ON,
    ComparisonEvidence,
    Connection,
    DeletedEvidence,
    EditEvidence,
    Evidence,
    Past,
    Question,
    Queued,
    QueueEvidence,
    StoredQuestion,
    TitleEvidence,
)
from tests.faults.rounds import STORING, Death, KillLoop, Seen
from tests.visitor import Event

# Each fate comes at least once.
ROUNDS = 8
# The loop takes less than a minute and gives up by itself, but for a process that hangs, in seconds.
PATIENCE = 400


@pytest.mark.waits
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("sqlite", marks=pytest.mark.process),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("redis", marks=[pytest.mark.postgresql, pytest.mark.redis]),
    ],
)
def test_every_reply_survives_the_death_of_its_process(backend: str) -> None:
    loop = subprocess.run(
        [sys.executable, "-m", "tests.faults.kill_loop", f"--backend={backend}", f"--rounds={ROUNDS}"],
        cwd=settings.BASE_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert loop.returncode == 0, loop.stdout


# What it would notice

QUESTION = Question("1.0", GOES_ON, thoughts=1, words=2, first_seconds=0, pause_seconds=0)
THOUGHT, ONE, TWO = "1.0?0 ", "1.0:0 ", "1.0:1 "
ENDED = datetime(2026, 1, 1, tzinfo=UTC)
LOG: list[Entry] = [(1, Reasoning(THOUGHT)), (2, Delta(ONE)), (3, Delta(TWO)), (4, End("complete"))]


def reply(**fields: Any) -> Reply:
    """The row of the reply, as it is when all went well."""
    text = fields.pop("text", ONE + TWO)
    row = {"model": GOES_ON, "status": "complete", "attempt": 1, "last_seq": 4, "reasoning": THOUGHT, "ended": ENDED}
    return Reply(message=Message(text=text), **row | fields)


def event(name: str, id: int, **data: Any) -> Event:
    return Event(ServerSentEvent(name, json.dumps(data), str(id)))


REASONING = event("reasoning", 1, text=THOUGHT)
SNAPSHOT = event("snapshot", 0, text=ONE, reasoning=THOUGHT, seq=2)
ANSWER = event("delta", 3, text=ONE + TWO)
REST = event("delta", 3, text=TWO)
END = event("end", 4, status="complete")

WELL = Evidence(QUESTION, reply(), LOG, readers=[[Connection(0, [REASONING, ANSWER, END])]])


def read(*connections: Connection) -> Evidence:
    return replace(WELL, readers=[list(connections)])


def ended(status: str, **evidence: Any) -> Evidence:
    """A reply that ended early, after its first word."""
    row = reply(status=status, text=ONE, last_seq=3, attempt=2, model=BEGINS_ANEW, error_code="interrupted")
    return replace(WELL, reply=row, log=[*LOG[:2], (3, End(status))], readers=[], **evidence)


def lost(text: str, **evidence: Any) -> Evidence:
    """A reply whose row says that something was shown, which its log does not hold."""
    row = reply(status="interrupted", text=text, reasoning="", last_seq=1, attempt=2, error_code="lost")
    return replace(WELL, reply=row, log=[(1, End("interrupted"))], readers=[], **evidence)


@pytest.mark.parametrize(
    "evidence",
    [
        WELL,
        read(Connection(0, [REASONING]), Connection(1, []), Connection(1, [ANSWER, END])),
        read(Connection(0, [SNAPSHOT]), Connection(2, [REST, END])),
        ended("stopped", stop_asked=True, stopped_at=("stopped", ONE)),
        ended("interrupted", died=True),
        replace(WELL, log=LOG[:3], died=True, atomic=False),
        lost("", died=True, atomic=False),
    ],
    ids=[
        "complete",
        "over three connections",
        "from a snapshot",
        "stopped",
        "interrupted",
        "end only in the row",
        "died before it was shown",
    ],
)
def test_what_went_well_is_no_contradiction(evidence: Evidence) -> None:
    assert list(evidence.contradictions()) == []


@pytest.mark.parametrize(
    ("evidence", "contradiction"),
    [
        (replace(WELL, reply=reply(ended=None)), "has not ended"),
        (replace(WELL, reply=reply(text=ONE + ONE + TWO)), "not what the model wrote"),
        (replace(WELL, reply=reply(text=ONE)), "it is complete with"),
        (replace(WELL, reply=reply(status="failed", error_code="broken")), "it is failed: broken"),
        (ended("stopped"), "nobody asked for that"),
        (ended("stopped", stop_asked=True, stopped_at=("stopped", "")), "after its stop it changed"),
        (ended("interrupted"), "not by a death"),
        (
            replace(ended("interrupted", died=True), question=QUESTION, reply=reply(status="interrupted")),
            "can continue",
        ),
        (replace(WELL, reply=reply(status="interrupted", text="", reasoning="")), "did not start again"),
        (replace(WELL, log=[*LOG[:1], *LOG[2:]]), "its log has the numbers [1, 3, 4]"),
        (replace(WELL, log=[*LOG[:2], *LOG[1:]]), "its log has the numbers [1, 2, 2, 3, 4]"),
        (replace(WELL, log=[*LOG[:2], (3, LOG[3][1]), LOG[3]]), "continues after an end"),
        (replace(WELL, log=[*LOG[:2], (3, Delta(ONE)), LOG[3]]), "unlike its row"),
        (replace(WELL, log=LOG[:3]), "has no end"),
        (replace(WELL, log=LOG[:3], atomic=False), "has no end"),
        (replace(WELL, log=[*LOG[:2], (3, Delta(ONE))], died=True, atomic=False), "words that its row has not"),
        (read(Connection(0, [REASONING, ANSWER])), "a reader saw 0 ends"),
        (read(Connection(0, [REASONING, ANSWER, END]), Connection(4, [END])), "a reader saw 2 ends"),
        (read(Connection(0, [REASONING, ANSWER, END, REST])), "a reader saw 1 ends among 4 events"),
        (read(Connection(0, [REASONING, END])), "told of the end 4"),
        (read(Connection(0, [REASONING, ANSWER, event("end", 5, status="complete")])), "told of the end 5"),
        (read(Connection(0, [REASONING, ANSWER, event("end", 4, status="stopped")])), "told that it is stopped"),
        (read(Connection(0, [REASONING, REST, END])), "a reader at 1 was shown what is not stored"),
        (read(Connection(0, [REASONING, ANSWER, ANSWER, END])), "a reader at 3 was shown what is not stored"),
        (read(Connection(0, [event("delta", 3, text=ONE + TWO), END])), "a reader at 0 was shown what is not stored"),
        (read(Connection(0, [REASONING, ANSWER, SNAPSHOT, REST, END])), "a reader at 3 was shown what is not stored"),
        (read(Connection(0, [REASONING]), Connection(0, [REASONING, ANSWER, END])), "a reader at 1 asked for"),
        (replace(WELL, left_open=1), "the endpoint still writes it"),
        (lost("", died=True), "not by a death: lost"),
        (lost("", atomic=False), "not by a death: lost"),
        (lost(ONE, died=True, atomic=False), "not by a death: lost"),
        (replace(lost("", died=True, atomic=False), readers=WELL.readers), "what is not stored"),
    ],
)
def test_a_broken_promise_is_noticed(evidence: Evidence, contradiction: str) -> None:
    assert contradiction in " and ".join(evidence.contradictions())


TOLD = event("end", 1, status="interrupted")


def left(*events: Event, gone: bool = False, **evidence: Any) -> DeletedEvidence:
    """A reply that was deleted, and a reader that has seen this of it."""
    return DeletedEvidence(QUESTION, readers=[[Connection(0, list(events), gone)]], **evidence)


@pytest.mark.parametrize(
    "evidence",
    [left(REASONING, TOLD), left(SNAPSHOT, REST, END), left(REASONING, gone=True), left(gone=True)],
    ids=["told", "complete before", "gone", "came too late"],
)
def test_a_well_deleted_reply_is_no_contradiction(evidence: DeletedEvidence) -> None:
    assert list(evidence.contradictions()) == []


@pytest.mark.parametrize(
    ("evidence", "contradiction"),
    [
        (left(TOLD, still_there=True), "still there"),
        (left(TOLD, left_open=1), "the endpoint still writes it"),
        (left(REASONING), "was not told"),
        (left(TOLD, TOLD), "a reader saw 2 ends"),
        (left(TOLD, REASONING, gone=True), "a reader saw 1 ends among 2 events"),
        (left(REASONING, REASONING, gone=True), "shown the numbers [1, 1]"),
        (left(REST, gone=True), "what the model did not write"),
        (left(SNAPSHOT, event("end", 2, status="complete")), "is complete"),
    ],
)
def test_a_badly_deleted_reply_is_noticed(evidence: DeletedEvidence, contradiction: str) -> None:
    assert contradiction in " and ".join(evidence.contradictions())


# A reply that was stopped after its first word, and continued
KEPT = Snapshot(ONE, THOUGHT, 3)
SNAPSHOT_KEPT = event("snapshot", 0, text=ONE, reasoning=THOUGHT, seq=3)
REST_CONTINUED = event("delta", 4, text=TWO)
PAST = Past(KEPT, [*LOG[:2], (3, End("stopped"))])
CONTINUED = Evidence(
    QUESTION,
    reply(last_seq=5, attempt=2),
    [(3, KEPT), (4, Delta(TWO)), (5, LOG[3][1])],
    PAST,
    readers=[
        [Connection(0, [SNAPSHOT_KEPT]), Connection(3, [REST_CONTINUED])],
        # It came before the new beginning of the log.
        [Connection(0, [REASONING, event("delta", 2, text=ONE), SNAPSHOT_KEPT, REST_CONTINUED])],
    ],
)
for reader in CONTINUED.readers:
    reader[-1].events.append(event("end", 5, status="complete"))


def test_a_well_continued_reply_is_no_contradiction() -> None:
    assert list(CONTINUED.contradictions()) == []


@pytest.mark.parametrize(
    ("evidence", "contradiction"),
    [
        (replace(CONTINUED, reply=reply(text=TWO, last_seq=5)), "it was continued after"),
        (replace(CONTINUED, log=LOG), "its log has the numbers [1, 2, 3, 4]"),
        (replace(CONTINUED, log=[(3, Delta(ONE)), *CONTINUED.log[1:]]), "its log continues"),
        (replace(CONTINUED, log=[(3, KEPT), (4, Delta(ONE + TWO)), CONTINUED.log[2]]), "unlike its row"),
        (replace(CONTINUED, reply=reply(text=ONE + ONE + TWO, last_seq=5)), "not what the model wrote"),
    ],
)
def test_a_badly_continued_reply_is_noticed(evidence: Evidence, contradiction: str) -> None:
    assert contradiction in " and ".join(evidence.contradictions())


FIRST, SECOND, OTHER = (replace(QUESTION, name=name) for name in ("first", "second", "other"))
A, B = UUID(int=1), UUID(int=2)


def asked(question: Question, seconds: int, after: UUID = A, complete: bool = True) -> StoredQuestion:
    """It was asked so many seconds after its parent was complete."""
    return StoredQuestion(question.name, after, ENDED + timedelta(seconds=seconds), ENDED if complete else None)


def queued(question: Question, **facts: Any) -> Queued:
    return Queued(question, **{"accepted": True, **facts})


def queue(first: Queued, *stored: StoredQuestion, **evidence: Any) -> QueueEvidence:
    return QueueEvidence([first], list(stored), **evidence)


@pytest.mark.parametrize(
    "evidence",
    [
        QueueEvidence([queued(FIRST), queued(SECOND)], [asked(FIRST, 0), asked(SECOND, 1)]),
        queue(queued(FIRST, accepted=False)),
        queue(queued(FIRST, edit=OTHER, edited=True), asked(OTHER, 0)),
        queue(queued(FIRST, edit=OTHER), asked(FIRST, 0)),
        queue(queued(FIRST, withdrawing=True, withdrawn=True)),
        queue(queued(FIRST, withdrawing=True), asked(FIRST, 0)),
        queue(queued(FIRST, sent=True), asked(FIRST, 0, complete=False)),
    ],
    ids=["in order", "its answer lost", "edited", "edited too late", "withdrawn", "withdrawn too late", "sent"],
)
def test_a_question_asked_in_its_turn_is_no_contradiction(evidence: QueueEvidence) -> None:
    assert list(evidence.contradictions()) == []


@pytest.mark.parametrize(
    ("evidence", "contradiction"),
    [
        (queue(queued(FIRST)), "first was never asked"),
        (queue(queued(FIRST), waiting=["first"]), "['first'] still wait"),
        (queue(queued(FIRST), asked(FIRST, 0), asked(FIRST, 1)), "first was asked 2 times"),
        (queue(queued(FIRST, accepted=False), asked(FIRST, 0), asked(FIRST, 1)), "first was asked 2 times"),
        (queue(queued(FIRST, edit=OTHER), asked(FIRST, 0), asked(OTHER, 1)), "first was asked 2 times"),
        (queue(queued(FIRST, edit=OTHER, edited=True), asked(FIRST, 0)), "in the words that it had before"),
        (queue(queued(FIRST, withdrawn=True, withdrawing=True), asked(FIRST, 0)), "although it was withdrawn"),
        (queue(queued(FIRST), asked(FIRST, 0, complete=False)), "after an answer that is not complete"),
        (queue(queued(FIRST), asked(FIRST, -1)), "before the answer that it follows was complete"),
        (QueueEvidence([queued(FIRST), queued(SECOND)], [asked(FIRST, 1), asked(SECOND, 0)]), "another order"),
    ],
)
def test_a_question_asked_out_of_turn_is_noticed(evidence: QueueEvidence, contradiction: str) -> None:
    assert contradiction in " and ".join(evidence.contradictions())


def edited(*stored: StoredQuestion) -> list[str]:
    """What contradicts that the first question was edited into the second, at the second try."""
    return list(EditEvidence(FIRST, [OTHER, SECOND], list(stored)).contradictions())


def test_an_edit_beside_its_question_is_no_contradiction() -> None:
    assert edited(asked(FIRST, 0), asked(SECOND, 1)) == []
    assert edited(asked(FIRST, 0), asked(OTHER, 1), asked(SECOND, 2)) == []


@pytest.mark.parametrize(
    ("stored", "contradiction"),
    [
        ([asked(SECOND, 0)], "it is stored 0 times"),
        ([asked(FIRST, 0)], "its edit is stored 0 times"),
        ([asked(FIRST, 0), asked(SECOND, 1), asked(SECOND, 1)], "its edit is stored 2 times"),
        ([asked(FIRST, 0), asked(OTHER, 0), asked(OTHER, 1), asked(SECOND, 1)], "before it [2] times"),
        ([asked(FIRST, 0), asked(SECOND, 1, B)], "its edit is no sibling"),
    ],
)
def test_an_edit_that_loses_something_is_noticed(stored: list[StoredQuestion], contradiction: str) -> None:
    assert contradiction in " and ".join(edited(*stored))


BOTH = [GOES_ON, BEGINS_ANEW]


def test_two_answers_and_a_choice_are_no_contradiction() -> None:
    assert list(ComparisonEvidence([BOTH, BOTH[::-1]], A, A).contradictions()) == []


@pytest.mark.parametrize(
    ("evidence", "contradiction"),
    [
        (ComparisonEvidence([BOTH, [GOES_ON]], A, A), "it was asked of ['large']"),
        (ComparisonEvidence([[*BOTH, BEGINS_ANEW]], A, A), "it was asked of ['large', 'small', 'small']"),
        (ComparisonEvidence([[GOES_ON, GOES_ON]], A, A), "it was asked of ['large', 'large']"),
        (ComparisonEvidence([BOTH], A, B), "the answer that was chosen is not on screen"),
        (ComparisonEvidence([BOTH], A, None), "the answer that was chosen is not on screen"),
    ],
)
def test_a_comparison_that_loses_something_is_noticed(evidence: ComparisonEvidence, contradiction: str) -> None:
    assert contradiction in " and ".join(evidence.contradictions())


def title(**facts: Any) -> TitleEvidence:
    made = {"title": "On first", "by_model": True, "titles": {"On first"}, "asked": 1, "asked_again": 0, "requests": 1}
    return TitleEvidence(**{**made, **facts})


@pytest.mark.parametrize("evidence", [title(), title(asked=2), title(by_model=False, is_due_later=True)])
def test_a_title_made_once_is_no_contradiction(evidence: TitleEvidence) -> None:
    assert list(evidence.contradictions()) == []


@pytest.mark.parametrize(
    ("evidence", "contradiction"),
    [
        (title(title="On second"), "its title is 'On second'"),
        (title(by_model=False), "no model has given it a title"),
        (title(asked=2, asked_again=1), "again without a death"),
        (title(requests=2), "2 times, and the ledger has 1"),
    ],
)
def test_a_title_that_is_lost_or_made_twice_is_noticed(evidence: TitleEvidence, contradiction: str) -> None:
    assert contradiction in " and ".join(evidence.contradictions())


@pytest.mark.parametrize(("seconds_after_the_end", "befell"), [(-1, True), (0.5, True), (1.5, False)])
def test_a_death_right_after_the_end_may_have_kept_it_from_the_log(seconds_after_the_end: float, befell: bool) -> None:
    death = Death(ENDED + seconds_after_the_end * STORING)
    assert death.befell(Reply(asked=ENDED - timedelta(seconds=9), ended=ENDED)) == befell


async def test_a_reader_who_came_before_the_rest_has_come_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end that it was told of is forgotten, and with it the place of that."""
    asked: Any = SimpleNamespace(pk=UUID(int=1))
    received = iter(
        [
            [event("delta", 1, text="one"), event("end", 2, status="stopped")],
            [event("snapshot", 0, text="one", reasoning="", seq=2), event("delta", 3, text=" two"), END],
        ]
    )

    async def receive(_loop: KillLoop, _asked: object, _visitor: object, connection: Connection) -> None:
        connection.events += next(received)

    monkeypatch.setattr(KillLoop, "_receive", receive)
    monkeypatch.setattr(rounds, "BACK_OFF", (0, 0))
    loop: Any = object.__new__(KillLoop)
    seen = Seen(past=Past(Snapshot("one", "", 2), []))
    loop._seen = defaultdict(lambda: seen)
    await loop._read(asked, Random(0), [None, None])  # noqa: S311
    assert [[connection.after for connection in reader] for reader in seen.readers] == [[0, 1]]
