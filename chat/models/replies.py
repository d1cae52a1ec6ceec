"""Replies: who writes them, how they end, and the entries of their live log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.compiled import Update, compiled, compiled_update
from chat.events import Error, Outcome
from chat.models.conversations import Conversation, Message
from chat.models.jobs import Job
from chat.models.ledger import LedgerEntry
from chat.models.processes import ServerProcess
from chat.models.searchable import Searchable
from chat.models.summaries import COUNTED

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from chat.models.users import User

# People are told that a reply is queued after this long.
QUEUE_SHOWN = timedelta(seconds=2)


class ReplyQuerySet(models.QuerySet["Reply"]):
    def for_user(self, user: User | AnonymousUser) -> ReplyQuerySet:
        return self.owned_by(user.pk)

    def owned_by(self, person: int | None) -> ReplyQuerySet:
        return self.filter(message__conversation__owner=person, message__conversation__trashed=None)

    def status_of(self, pk: UUID) -> str | None:
        return next((status for (status,) in _status_of(pk)), None)

    def conversations_of(self, person: int) -> set[UUID]:
        """The person's conversations in which a reply is being written."""
        return {conversation for (conversation,) in _conversations_of(person)}

    def running_of(self, person: int) -> int:
        """How many replies are being written for this person."""
        return sum(count for (count,) in _running_of(person))

    def running(self) -> ReplyQuerySet:
        # They have no end, by which SQLite finds them: it does not use reply_running for statuses in parameters.
        return self.filter(status__in=Reply.RUNNING, ended=None)

    def claimed_by(self, process: str) -> ReplyQuerySet:
        return self.running().filter(status=Reply.Status.STREAMING, process=process)

    def claimable(self, lease: timedelta) -> ReplyQuerySet:
        """Running replies that any process may claim.

        Their process is dead, or they have been queued for longer than a lease.
        """
        alive = ServerProcess.objects.alive().filter(name=OuterRef("process"))
        streaming = Q(status=Reply.Status.STREAMING) & ~Exists(alive)
        queued = Q(status=Reply.Status.QUEUED, queued__lt=Now() - lease)
        return self.running().filter(streaming | queued)

    def claim(self, pk: UUID, attempt: int, process: str) -> bool:
        """Make a running reply this process's, unless it has been claimed since it was at `attempt`."""
        return bool(_claim(pk, attempt, process))

    def mark(self, pk: UUID, attempt: int, marks: Mapping[str, Any]) -> None:
        """Set these fields of a running reply, unless it has been claimed since."""
        _set(*marks)(pk, attempt, *marks.values())

    def at_attempt(self, pk: UUID, attempt: int) -> Reply | None:
        """The reply with its message, unless it has been claimed since."""
        for reply in _at_attempt(pk, attempt):
            [reply.message] = _message(pk)
            return reply
        return None

    def finish(self, pk: UUID, attempt: int, outcome: Outcome) -> bool:
        """Store the end of the reply with its whole text, if `attempt` still owns it; twice does no harm."""
        end, snapshot = outcome.end, outcome.snapshot
        error = end.error or Error("")
        fields = {
            "status": end.status,
            "finish_reason": end.finish_reason,
            "usage": end.usage,
            "upstream_id": outcome.upstream_id,
            "reasoning": snapshot.reasoning,
            "last_seq": snapshot.seq,
            "ended": timezone.now(),
            "error_code": error.code,
            "error_params": error.params,
        }
        # Within another transaction, a failure of one reply fails all that are stored with it: no savepoint is needed.
        with transaction.atomic(savepoint=False):
            if not _set(*fields)(pk, attempt, *fields.values()):
                # An earlier try may have stored it, though its answer got lost.
                return self.filter(pk=pk, attempt=attempt, status=end.status, last_seq=snapshot.seq).exists()
            self._count(pk)
            _set_text(pk, snapshot.text)
            Searchable.objects.rewrite(pk, snapshot.text)
            if end.status == Reply.Status.COMPLETE and snapshot.text and settings.CHAT_TITLES:
                _want_title(pk)
            if end.usage:
                tokens = LedgerEntry.tokens(end.usage)
                _set_tokens(pk, tokens["input_tokens"], tokens["output_tokens"])
        return True

    def _count(self, pk: UUID) -> None:
        """Add a reply that has just ended to the summary of its conversation, which this locks."""
        [(place, *counted)] = _counted(pk)
        [conversation] = _summary(place)
        conversation.add(*counted)
        _set_summary(place, *(getattr(conversation, field) for field in Conversation.SUMMED))

    def hand_over(self, lease: timedelta) -> None:
        """Let any process claim the queued ones now."""
        self.filter(status=Reply.Status.QUEUED).update(queued=Now() - lease)

    def lock(self) -> None:
        """Wait for commits that are under way, and keep others out until the end of the transaction.

        All code locks replies in the order of their ids, so that no two transactions wait for each other.
        """
        list(self.order_by("pk").select_for_update().values_list("pk", flat=True))


@compiled
def _status_of(pk: UUID) -> models.QuerySet[Reply, tuple[str]]:
    return Reply.objects.filter(pk=pk).values_list("status")


@compiled
def _conversations_of(person: int) -> models.QuerySet[Reply, tuple[UUID]]:
    return Reply.objects.running().owned_by(person).values_list("message__conversation")


@compiled
def _running_of(person: int) -> models.QuerySet[Reply, tuple[int]]:
    own = Reply.objects.running().owned_by(person)
    return own.values("message__conversation__owner").annotate(count=Count("pk")).values_list("count")


@compiled_update
def _claim(pk: UUID, attempt: int, process: str) -> Update:
    unclaimed = Reply.objects.running().filter(pk=pk, attempt=attempt)
    return unclaimed, {"status": Reply.Status.STREAMING, "attempt": F("attempt") + 1, "process": process}


@cache
def _set(*fields: str) -> Callable[..., int]:
    """An update of these fields of a running reply."""

    @compiled_update
    def update(pk: UUID, attempt: int, *values: Any) -> Update:
        return Reply.objects.running().filter(pk=pk, attempt=attempt), dict(zip(fields, values, strict=True))

    return update


@compiled
def _at_attempt(pk: UUID, attempt: int) -> models.QuerySet[Reply]:
    return Reply.objects.filter(pk=pk, attempt=attempt)


@compiled
def _message(pk: UUID) -> models.QuerySet[Message]:
    return Message.objects.filter(pk=pk)


@compiled_update
def _set_text(pk: UUID, text: str) -> Update:
    return Message.objects.filter(pk=pk), {"text": text}


@compiled_update
def _set_tokens(reply: UUID, read: int | None, written: int | None) -> Update:
    entry = Reply.objects.filter(pk=reply).values("ledger_entry")
    return LedgerEntry.objects.filter(pk__in=entry), {"input_tokens": read, "output_tokens": written}


@compiled
def _counted(pk: UUID) -> models.QuerySet[Reply, Any]:
    return Reply.objects.filter(pk=pk).values_list("message__conversation", *COUNTED)


@compiled
def _summary(conversation: UUID) -> models.QuerySet[Conversation]:
    own = Conversation.objects.filter(pk=conversation).only(*Conversation.SUMMED)
    return own.select_for_update(no_key=True)


@compiled_update
def _set_summary(conversation: UUID, *values: Any) -> Update:
    return Conversation.objects.filter(pk=conversation), dict(zip(Conversation.SUMMED, values, strict=True))


def _want_title(answer: UUID) -> None:
    """Let a model give the answer's conversation a title, if it has none yet."""
    for (pk,) in _untitled(answer):
        Job.objects.add(Job.Kind.TITLE, pk)


@compiled
def _untitled(answer: UUID) -> models.QuerySet[Conversation, tuple[UUID]]:
    return Conversation.objects.without_title().filter(messages=answer).values_list("pk")


class Reply(models.Model):
    """How an answer is written: queued → streaming → complete, stopped, interrupted or failed.

    `attempt` is the fencing token: each claim raises it, and a writer whose attempt is no longer the row's can write
    nothing more.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")
        STREAMING = "streaming", _("Streaming")
        COMPLETE = "complete", _("Complete")
        STOPPED = "stopped", _("Stopped")
        INTERRUPTED = "interrupted", _("Interrupted")
        FAILED = "failed", _("Failed")

    RUNNING = (Status.QUEUED, Status.STREAMING)

    class Feedback(models.TextChoices):
        GOOD = "good", _("Good")
        BAD = "bad", _("Bad")

    message = models.OneToOneField(Message, on_delete=models.DB_CASCADE, primary_key=True, related_name="reply")
    status = models.CharField(max_length=11, choices=Status, default=Status.QUEUED)
    model = models.CharField(max_length=200)
    # Sent with the question, also when the reply is taken over or resumed: those of its person and its conversation.
    instructions = models.TextField(blank=True, db_default="")
    temperature = models.FloatField(null=True)
    max_tokens = models.PositiveIntegerField(null=True)
    attempt = models.PositiveIntegerField(default=0)
    # The process that claimed it last. Not a foreign key: rows of processes are purged.
    process = models.CharField(max_length=200, blank=True)
    queued = models.DateTimeField("queued since", db_default=Now())
    asked = models.DateTimeField(default=timezone.now)
    started = models.DateTimeField("first delta", null=True)
    answered = models.DateTimeField("first word of the answer", null=True)
    ended = models.DateTimeField(null=True)
    last_seq = models.PositiveIntegerField(default=0)
    finish_reason = models.CharField(max_length=64, blank=True)
    usage = models.JSONField(null=True, blank=True)
    upstream_id = models.CharField("upstream request id", max_length=200, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_params = models.JSONField(default=dict, blank=True)
    reasoning = models.TextField(blank=True)
    # Since the reply was resumed, or never if it was not.
    more_shown = models.BooleanField("more shown than was kept", default=False)
    # What its person thinks of it.
    feedback = models.CharField(max_length=4, choices=Feedback, blank=True, default="", db_default="")
    feedback_reason = models.TextField(blank=True, default="", db_default="")
    feedback_given = models.DateTimeField(null=True)
    ledger_entry = models.ForeignKey(
        LedgerEntry, null=True, on_delete=models.DB_SET_NULL, related_name="+", db_index=False, editable=False
    )

    objects = ReplyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "replies"
        indexes = [
            models.Index(
                fields=["process"], condition=models.Q(status__in=("queued", "streaming")), name="reply_running"
            ),
            models.Index(fields=["ended"], name="reply_ended"),
            models.Index(fields=["feedback"], condition=~models.Q(feedback=""), name="reply_feedback"),
        ]

    def __str__(self) -> str:
        return f"{self.status} reply {self.pk}"

    @property
    def is_running(self) -> bool:
        return self.status in self.RUNNING

    @property
    def is_shown_as_queued(self) -> bool:
        """Whether it has been queued for so long that people are told."""
        return self.status == self.Status.QUEUED and timezone.now() - self.queued > QUEUE_SHOWN

    @property
    def thought_for(self) -> timedelta | None:
        """How long the model thought before its answer; None while it is thinking, or if it did not."""
        until = self.answered or self.ended
        return until - self.started if self.started and until and self.reasoning else None

    @property
    def error(self) -> Error | None:
        return Error(self.error_code, self.error_params) if self.error_code else None

    @property
    def can_resume(self) -> bool:
        """Whether its text breaks off, so that the model can be asked to continue it."""
        broken_off = self.status in (self.Status.STOPPED, self.Status.INTERRUPTED, self.Status.FAILED)
        has_room = self.error_code != "too_large"
        return bool(self.message.text) and has_room and (broken_off or self.finish_reason == "length")

    @property
    def took(self) -> timedelta | None:
        """From the question to the end."""
        return self.ended - self.asked if self.ended else None

    @transaction.atomic
    def judge(self, feedback: str, reason: str) -> None:
        """Keep what its person thinks of it; nothing takes back what they thought before."""
        self.feedback = feedback
        self.feedback_reason = reason if feedback else ""
        self.feedback_given = timezone.now() if feedback else None
        self.save(update_fields=["feedback", "feedback_reason", "feedback_given"])
        conversation = Conversation.objects.select_for_update(no_key=True).get(pk=self.message.conversation_id)
        conversation.add_up()
        conversation.change(*Conversation.SUMMED)
        Searchable.objects.put_note(self)

    def queue_again(self, model: str, entry: LedgerEntry) -> None:
        """Queue a reply that has ended, to be continued after its text."""
        self.model = model
        self.ledger_entry = entry
        self.status = self.Status.QUEUED
        self.queued = Now()
        self.ended = self.usage = None
        self.finish_reason = self.error_code = ""
        self.error_params = {}
        self.more_shown = False
        ended = ["more_shown", "ended", "usage", "finish_reason", "error_code", "error_params"]
        self.save(update_fields=["model", "ledger_entry", "status", "queued", *ended])
        # In the same transaction: no reader of the log in the database finds the old End.
        self.events.filter(kind=ReplyEvent.Kind.END).delete()


class ReplyEvent(models.Model):
    """One entry of a reply's live log. It is purged some minutes after the reply has ended."""

    class Kind(models.TextChoices):
        DELTA = "delta"
        REASONING = "reasoning"
        END = "end"
        SNAPSHOT = "snapshot"

    pk = models.CompositePrimaryKey("reply_id", "seq")
    reply = models.ForeignKey(Reply, on_delete=models.DB_CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=9, choices=Kind)
    # The text of a delta, the JSON of an end or of a snapshot.
    data = models.TextField()

    def __str__(self) -> str:
        return f"{self.kind} {self.seq} of {self.reply_id}"
