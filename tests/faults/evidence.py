"""What is known of a reply when it has ended, from its row, its log, its readers and its endpoint: do they agree?"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import UUID

from chat.events import Delta, End, Entry, Reasoning, Snapshot
from chat.models import Reply
from tests.visitor import Event

# One of the two models can continue the beginning of an answer.
GOES_ON, BEGINS_ANEW = "large", "small"


@dataclass(frozen=True)
class Question:
    """A question that says how to answer it, so that the whole answer is known; no word comes twice in it."""

    name: str
    model: str
    thoughts: int
    words: int
    first_seconds: float
    pause_seconds: float
    # Whether it is asked of both models.
    compared: bool = False

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Question":
        return cls(**json.loads(text))

    @property
    def reasoning(self) -> str:
        return "".join(f"{self.name}?{number} " for number in range(self.thoughts))

    @property
    def text(self) -> str:
        return "".join(f"{self.name}:{number} " for number in range(self.words))

    @property
    def title(self) -> str:
        return f"On {self.name}"


@dataclass
class Connection:
    """A reader's connection: the cursor it sent, and what it received."""

    after: int
    events: list[Event] = field(default_factory=list)
    # Whether the reply was no longer there.
    gone: bool = False


@dataclass(frozen=True)
class Past:
    """What a reply had when it ended, and was continued after that."""

    kept: Snapshot
    log: list[Entry]


@dataclass
class Evidence:
    question: Question
    reply: Reply
    log: list[Entry]
    past: Past | None = None
    # Whether a process died between the question and the end.
    died: bool = False
    # Whether the log and the rows are stored in one transaction.
    atomic: bool = True
    readers: list[list[Connection]] = field(default_factory=list)
    stop_asked: bool = False
    # The status and the text at the moment when the stop was answered.
    stopped_at: tuple[str, str] | None = None
    # Requests of the endpoint that neither got their whole answer nor were closed.
    left_open: int = 0

    def contradictions(self) -> Iterator[str]:
        """What does not agree, each in a sentence; nothing for a reply that has kept every promise."""
        yield from self._of_the_row()
        yield from self._of_the_log()
        for reader in self.readers:
            yield from self._of_the_reader(reader)
        if self.stopped_at and self.stopped_at != (now := (self.reply.status, self.reply.message.text)):
            yield f"after its stop it changed from {self.stopped_at} to {now}"
        if self.left_open:
            yield f"the endpoint still writes it on {self.left_open} connections"

    def _of_the_row(self) -> Iterator[str]:
        reply, text = self.reply, self.reply.message.text
        if not reply.ended:
            yield "it has not ended"
        if not self.question.text.startswith(text):
            yield f"its text is not what the model wrote: {text!r}"
        if not self.question.reasoning.startswith(reply.reasoning):
            yield f"its reasoning is not what the model wrote: {reply.reasoning!r}"
        if self.past and not text.startswith(self.past.kept.text):
            yield f"it was continued after {self.past.kept.text!r}, and is now {text!r}"
        match reply.status:
            case Reply.Status.COMPLETE:
                if (text, reply.reasoning) != (self.question.text, self.question.reasoning):
                    yield f"it is complete with {text!r} and {reply.reasoning!r}"
            case Reply.Status.STOPPED:
                if not self.stop_asked:
                    yield "it is stopped, and nobody asked for that"
            case Reply.Status.INTERRUPTED:
                yield from self._of_the_interruption()
            case _:
                yield f"it is {reply.status}: {reply.error_code}"

    def _of_the_interruption(self) -> Iterator[str]:
        reply = self.reply
        kept = (self.past.kept.text, self.past.kept.reasoning) if self.past else ("", "")
        if reply.error_code == "lost" and self.died and not self.atomic and self._whole == kept:
            # Its row says that something is shown before the log has it, and the process may die in between.
            return
        if reply.error_code != "interrupted" or reply.attempt < 2 or not self.died:
            yield f"it was interrupted at attempt {reply.attempt}, not by a death: {reply.error_code}"
        if reply.model == GOES_ON and reply.message.text:
            yield "it was interrupted although its model can continue"
        if not reply.message.text and not reply.reasoning:
            yield "it was interrupted before anything was shown, and did not start again"

    def _of_the_log(self) -> Iterator[str]:
        seqs = [seq for seq, _ in self.log]
        first = self.past.kept.seq if self.past else 1
        if seqs != list(range(first, first + len(seqs))):
            yield f"its log has the numbers {seqs}"
        if self.past and self.log and self.log[0][1] != self.past.kept:
            yield f"its log continues {self.past.kept} after {self.log[0][1]}"
        if any(isinstance(event, End) for _, event in self.log[:-1]):
            yield "its log continues after an end"
        seq, last = self.log[-1] if self.log else (0, None)
        logged = self._logged(0, seq)
        if isinstance(last, End):
            if (seq, last.status, logged) != (self.reply.last_seq, self.reply.status, self._whole):
                yield f"its log ends at {seq} as {last.status} with {logged}, unlike its row"
        # Where they are not stored together, the row comes first, and the process that writes both may die in between.
        elif self.atomic or not self.died or seq >= self.reply.last_seq:
            yield f"its log has no end after {seq}"
        elif not all(row.startswith(log) for row, log in zip(self._whole, logged, strict=True)):
            yield "its log has words that its row has not"

    def _of_the_reader(self, connections: list[Connection]) -> Iterator[str]:
        cursor = 0
        for connection in connections:
            if connection.after != cursor:
                yield f"a reader at {cursor} asked for what follows {connection.after}"
            for event in connection.events:
                yield from self._of_the_event(cursor, event)
                cursor = event.seq
        events = [event for connection in connections for event in connection.events]
        ends = [event for event in events if event.name == "end"]
        if len(ends) != 1 or events[-1] is not ends[0]:
            yield f"a reader saw {len(ends)} ends among {len(events)} events"
        elif ends[0].data["status"] != self.reply.status:
            yield f"a reader was told that it is {ends[0].data['status']}"

    def _of_the_event(self, cursor: int, event: Event) -> Iterator[str]:
        """A reader at `cursor` may be sent all that follows, up to the event's own seq, and nothing else."""
        match event.name:
            case "snapshot":
                seq = event.data["seq"]
                if seq < cursor or (event.data["text"], event.data["reasoning"]) != self._up_to(seq):
                    yield f"a reader at {cursor} was shown what is not stored: {event}"
            case "end":
                if event.id != self.reply.last_seq or self._up_to(cursor) != self._whole:
                    yield f"a reader at {cursor} was told of the end {event.id}, which is {self.reply.last_seq}"
            case kind:
                text = event.data["text"]
                shown = (text, "") if kind == "delta" else ("", text)
                if event.id <= cursor or shown != self._logged(cursor, event.id):
                    yield f"a reader at {cursor} was shown what is not stored there: {event}"

    @property
    def _whole(self) -> tuple[str, str]:
        return self.reply.message.text, self.reply.reasoning

    def _up_to(self, seq: int) -> tuple[str, str]:
        return self._whole if seq == self.reply.last_seq else self._logged(0, seq)

    def _logged(self, after: int, seq: int) -> tuple[str, str]:
        """The text and the reasoning in the log after `after`, up to and including `seq`."""
        text = reasoning = ""
        for cursor, event in [*(self.past.log if self.past else []), *self.log]:
            if after < cursor <= seq:
                match event:
                    case Delta():
                        text += event.text
                    case Reasoning():
                        reasoning += event.text
                    case Snapshot():
                        text, reasoning = event.text, event.reasoning
        return text, reasoning


@dataclass
class DeletedEvidence:
    """What is known of a reply that was deleted: only its readers and its endpoint can tell."""

    question: Question
    still_there: bool = False
    readers: list[list[Connection]] = field(default_factory=list)
    left_open: int = 0

    def contradictions(self) -> Iterator[str]:
        if self.still_there:
            yield "it is still there"
        if self.left_open:
            yield f"the endpoint still writes it on {self.left_open} connections"
        for reader in self.readers:
            yield from self._of_the_reader(reader)

    def _of_the_reader(self, connections: list[Connection]) -> Iterator[str]:
        events = [event for connection in connections for event in connection.events]
        ends = [event for event in events if event.name == "end"]
        if len(ends) > 1 or (ends and events[-1] is not ends[0]):
            yield f"a reader saw {len(ends)} ends among {len(events)} events"
        if not ends and not connections[-1].gone:
            yield "a reader was not told"
        seqs = [event.seq for event in events if event.name not in ("snapshot", "end")]
        if seqs != sorted(set(seqs)):
            yield f"a reader was shown the numbers {seqs}"
        text, thoughts = shown(events, "delta", "text"), shown(events, "reasoning", "reasoning")
        if not self.question.text.startswith(text) or not self.question.reasoning.startswith(thoughts):
            yield f"a reader was shown what the model did not write: {thoughts!r} {text!r}"
        if ends and ends[0].data["status"] == Reply.Status.COMPLETE and text != self.question.text:
            yield f"a reader was told that {text!r} is complete"


@dataclass(frozen=True)
class StoredQuestion:
    """A question as it is stored: what it says, the answer that it follows, and when that was complete."""

    name: str
    after: UUID | None
    asked: datetime
    # None if that answer is not complete.
    after_complete: datetime | None = None


@dataclass
class Queued:
    """A question that a person has queued, and what the server has answered to what they did with it."""

    question: Question
    # Whether the server has said that it is queued; otherwise it may be.
    accepted: bool = False
    # In other words, if they have sent some; and whether the server has said that it will be asked in these.
    edit: Question | None = None
    edited: bool = False
    # Whether they have tried to withdraw it; and whether the server has said that it is.
    withdrawing: bool = False
    withdrawn: bool = False
    # Whether they have let it be sent, after a reply that is not complete.
    sent: bool = False

    @property
    def names(self) -> list[str]:
        return [question.name for question in (self.question, self.edit) if question]


@dataclass
class QueueEvidence:
    """Questions that were queued in one conversation, in this order, and what is stored there."""

    queued: list[Queued]
    asked: list[StoredQuestion]
    # The names of those that are still queued.
    waiting: list[str] = field(default_factory=list)

    def contradictions(self) -> Iterator[str]:
        asked = [(queued, [one for one in self.asked if one.name in queued.names]) for queued in self.queued]
        for queued, times in asked:
            yield from self._of_one(queued, times)
        order = [times[0].asked for queued, times in asked if queued.accepted and times]
        if order != sorted(order):
            yield "they were asked in another order than queued"
        if self.waiting:
            yield f"{self.waiting} still wait"

    def _of_one(self, queued: Queued, times: list[StoredQuestion]) -> Iterator[str]:
        name = queued.question.name
        if len(times) > 1:
            yield f"{name} was asked {len(times)} times"
        if queued.withdrawn and times:
            yield f"{name} was asked although it was withdrawn"
        if queued.accepted and not queued.withdrawing and not times:
            yield f"{name} was never asked"
        for one in times:
            if queued.edited and one.name == name:
                yield f"{name} was asked in the words that it had before"
            if one.after_complete is None and not queued.sent:
                yield f"{name} was asked after an answer that is not complete"
            if one.after_complete and one.asked < one.after_complete and not queued.sent:
                yield f"{name} was asked before the answer that it follows was complete"


@dataclass
class EditEvidence:
    """A question, what it was edited into, and what is stored in its conversation."""

    question: Question
    # The last of them was accepted; the answers to the others were lost.
    edits: list[Question]
    stored: list[StoredQuestion]

    def contradictions(self) -> Iterator[str]:
        times = Counter(one.name for one in self.stored)
        if times[self.question.name] != 1:
            yield f"it is stored {times[self.question.name]} times"
        *lost, accepted = (times[edit.name] for edit in self.edits)
        if accepted != 1 or max(lost, default=0) > 1:
            yield f"its edit is stored {accepted} times, those before it {lost} times"
        names = {self.question.name, *(edit.name for edit in self.edits)}
        if len({one.after for one in self.stored if one.name in names}) > 1:
            yield "its edit is no sibling"


@dataclass
class ComparisonEvidence:
    """A question that was asked of both models, perhaps more than once, and the choice between its two answers."""

    # The models that have answered, for each time that it is stored.
    models: list[list[str]]
    chosen: UUID
    # What is on screen last after the choice.
    leaf: UUID | None

    def contradictions(self) -> Iterator[str]:
        for models in self.models:
            if sorted(models) != sorted((GOES_ON, BEGINS_ANEW)):
                yield f"it was asked of {models}"
        if self.leaf != self.chosen:
            yield "the answer that was chosen is not on screen"


@dataclass
class TitleEvidence:
    """What is known of the title of a conversation in which answers are complete."""

    title: str
    # Whether a model has given it.
    by_model: bool
    # What it may be: the titles of the questions that have complete answers.
    titles: set[str]
    # How often it was asked for, as the ledger says, and of those again without a death; and as the endpoint says.
    asked: int
    asked_again: int
    requests: int
    # Whether it is still to be made, after a failure.
    is_due_later: bool = False

    def contradictions(self) -> Iterator[str]:
        if self.by_model and self.title not in self.titles:
            yield f"its title is {self.title!r}"
        if not self.by_model and not self.is_due_later:
            yield "no model has given it a title"
        if self.asked_again:
            yield f"its title was asked for {self.asked_again} times again without a death"
        if self.requests > self.asked:
            yield f"its title was asked for {self.requests} times, and the ledger has {self.asked}"


def shown(events: list[Event], kind: str, of_snapshot: str) -> str:
    """What a reader of these events has on screen of the answer or of the reasoning."""
    text = ""
    for event in events:
        if event.name == kind:
            text += event.data["text"]
        elif event.name == "snapshot":
            text = event.data[of_snapshot]
    return text
