"""Conversations, their messages, and the replies of the model with their live log."""

from __future__ import annotations

import math
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import models, transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from chat.events import Error
from chat.models.ids import uuid7

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from chat.models.users import User

# A running reply belongs to its process for this long; the process renews it while it lives.
LEASE = timedelta(seconds=settings.CHAT_LEASE_SECONDS)

TITLE_CHARS = 80

# A reply that is still queued after this time waits for others to end.
IN_LINE = timedelta(seconds=2)

MINUTE = 60.0
# Nobody knows when a running reply ends. In seconds.
RUNNING_RETRY = 10


class ReplyRunning(Exception):
    """A question was asked while the reply before it is still being written."""


class OverLimit(Exception):
    """A person asks for more than is allowed; says so in a sentence, and after how many seconds it may be allowed."""

    def __init__(self, code: str, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


def check_limits(owner_id: int) -> None:
    """Raise OverLimit when a person may not begin another reply; called in the transaction that stores it."""
    # The lock lets one of two questions asked at the same moment see the other.
    owner = get_user_model().objects.select_for_update(no_key=True).get(pk=owner_id)
    if owner.is_staff:
        return
    if Reply.objects.for_user(owner).running().count() >= settings.CHAT_PERSON_RUNNING:
        sentence = f"You have as many replies running as you may: {settings.CHAT_PERSON_RUNNING}."
        raise OverLimit("too_many_running", f"{sentence} Wait for one to end, or stop one.", RUNNING_RETRY)
    # Not in the rows of what was asked: they go when a person deletes a conversation.
    key, now = f"asked:{owner_id}", time.time()
    asked = [moment for moment in cache.get(key, []) if moment > now - MINUTE]
    most = settings.CHAT_PERSON_QUESTIONS
    if len(asked) >= most:
        wait = math.ceil(asked[-most] + MINUTE - now)
        sentence = f"You have asked as many questions as you may within a minute: {most}."
        raise OverLimit("too_many_questions", f"{sentence} Ask again in {wait} s.", wait)
    cache.set(key, [*asked, now], MINUTE)


def title_of(text: str) -> str:
    """The first line of a question, cut at a word."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) <= TITLE_CHARS:
        return line
    return line[: TITLE_CHARS - 1].rsplit(" ", 1)[0] + "…"


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def for_user(self, user: User | AnonymousUser) -> ConversationQuerySet:
        return self.filter(owner_id=user.pk)

    def newest(self, before: tuple[datetime, uuid.UUID] | None = None) -> ConversationQuerySet:
        """Latest activity first; `before` is the activity and id of the last one already known."""
        newest = self.order_by("-updated", "-pk")
        if before is None:
            return newest
        # Not as one OR: this form lets the database walk the index from that place on.
        updated, pk = before
        return newest.filter(updated__lte=updated).exclude(updated=updated, pk__gte=pk)


class Conversation(models.Model):
    """A tree of messages that one person owns; `leaf` is the end of the branch on screen."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=200)
    model = models.CharField(max_length=200)
    leaf = models.ForeignKey("Message", null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(default=timezone.now, editable=False)
    updated = models.DateTimeField("last activity", default=timezone.now, editable=False, db_index=True)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["owner", "-updated", "-id"], name="conversation_history")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("conversation", args=[self.pk])

    @classmethod
    def begin(cls, owner: User, text: str, model: str) -> tuple[Conversation, Message, Reply]:
        """Store a new conversation with its first question and the queued reply to it, all or nothing.

        Raises OverLimit, like all that begins a reply.
        """
        with transaction.atomic():
            check_limits(owner.pk)
            conversation = cls.objects.create(owner=owner, title=title_of(text), model=model)
            return (conversation, *conversation._ask(text, model, None))

    def ask(self, text: str, model: str, parent: uuid.UUID | None = None) -> tuple[Message, Reply]:
        """Store a question after the answer `parent` (by default the leaf) with the queued reply to it, all or nothing.

        Raises Message.DoesNotExist for a parent that is not here, ReplyRunning while it is still being written.
        """
        with transaction.atomic():
            check_limits(self.owner_id)
            # The lock lets one of two questions asked at the same moment see the other.
            leaf = Conversation.objects.select_for_update().values_list("leaf", flat=True).get(pk=self.pk)
            if parent:
                leaf = self.messages.get(pk=parent, role=Message.Role.ASSISTANT).pk
            if Reply.objects.running().filter(pk=leaf).exists():
                raise ReplyRunning
            return self._ask(text, model, leaf)

    def _ask(self, text: str, model: str, leaf: uuid.UUID | None) -> tuple[Message, Reply]:
        question = self.messages.create(parent_id=leaf, role=Message.Role.USER, text=text)
        return question, self._queue_reply(question, model)

    def retry(self, reply: Reply, model: str) -> Reply:
        """Store a queued second answer beside `reply`, which stays; raises ReplyRunning while it is being written."""
        with transaction.atomic():
            check_limits(self.owner_id)
            Conversation.objects.select_for_update().get(pk=self.pk)
            if Reply.objects.running().filter(message__parent=reply.message.parent_id).exists():
                raise ReplyRunning
            return self._queue_reply(self.messages.get(children=reply.message), model)

    def _queue_reply(self, question: Message, model: str) -> Reply:
        answer = self.messages.create(parent=question, role=Message.Role.ASSISTANT)
        reply = Reply.objects.create(message=answer, model=model, lease=Now() + LEASE)
        self.leaf, self.model, self.updated = answer, model, timezone.now()
        self.save(update_fields=["leaf", "model", "updated"])
        return reply

    def branch(self, leaf_id: uuid.UUID | None, last: int) -> list[Message]:
        """The `last` messages up to the leaf, oldest first, each with its reply if it is an answer."""
        tree = self._tree()
        path: list[uuid.UUID] = []
        pk = leaf_id
        while pk in tree and len(path) < last:
            path.append(pk)
            pk = tree[pk].parent_id
        rows = self.messages.select_related("reply").in_bulk(path)
        branch = [rows[pk] for pk in reversed(path) if pk in rows]
        for message in branch:
            same_parent = [node.pk for node in tree.values() if node.parent_id == message.parent_id]
            message.siblings = Siblings.of(message.pk, same_parent)
        return branch

    def show(self, message: Message) -> None:
        """Put the branch through `message` on screen, down to its newest end."""
        tree = self._tree()
        pk = message.pk
        while children := [node for node in tree.values() if node.parent_id == pk]:
            pk = children[-1].pk
        self.leaf_id = pk
        self.save(update_fields=["leaf"])

    def _tree(self) -> dict[uuid.UUID, Message]:
        """All messages in the order in which they came, without their texts."""
        nodes = self.messages.only("pk", "parent_id", "conversation_id").order_by("created")
        return {node.pk: node for node in nodes}


@dataclass(frozen=True, slots=True)
class Siblings:
    """Where a message stands among those with the same parent, counted from 1."""

    position: int
    count: int
    previous: uuid.UUID | None
    next: uuid.UUID | None

    @classmethod
    def of(cls, pk: uuid.UUID, siblings: list[uuid.UUID]) -> Siblings | None:
        """None for a message that has none."""
        if len(siblings) < 2:
            return None
        index = siblings.index(pk)
        return cls(
            index + 1,
            len(siblings),
            siblings[index - 1] if index else None,
            siblings[index + 1] if index + 1 < len(siblings) else None,
        )


class Message(models.Model):
    """A question or an answer. The text of an answer is written once, when its reply ends."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    role = models.CharField(max_length=9, choices=Role)
    text = models.TextField(blank=True)
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [models.Index(fields=["conversation", "created"], name="message_order")]

    siblings: Siblings | None = None

    def __str__(self) -> str:
        return f"{self.role} message {self.pk}"

    def find_siblings(self) -> None:
        pks = Message.objects.filter(conversation_id=self.conversation_id, parent_id=self.parent_id)
        self.siblings = Siblings.of(self.pk, list(pks.order_by("created").values_list("pk", flat=True)))


class ReplyQuerySet(models.QuerySet["Reply"]):
    def for_user(self, user: User | AnonymousUser) -> ReplyQuerySet:
        return self.filter(message__conversation__owner_id=user.pk)

    def running(self) -> ReplyQuerySet:
        return self.filter(status__in=Reply.RUNNING)

    def orphaned(self) -> ReplyQuerySet:
        """Running replies that no living process claims."""
        return self.running().filter(lease__lt=Now())

    def held_by(self, worker: str) -> ReplyQuerySet:
        return self.running().filter(worker=worker)

    def claim(self, pk: uuid.UUID, attempt: int, worker: str) -> bool:
        """Make a running reply this worker's, if nobody has claimed it since it was at `attempt`."""
        claimed = self.running().filter(pk=pk, attempt=attempt)
        return bool(
            claimed.update(status=Reply.Status.STREAMING, attempt=attempt + 1, worker=worker, lease=Now() + LEASE)
        )


class Reply(models.Model):
    """How an assistant's message comes about: queued → streaming → complete, stopped, interrupted or failed.

    `attempt` is the fencing token: each claim raises it, and a writer whose attempt is no longer the row's writes
    nothing any more.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        STREAMING = "streaming"
        COMPLETE = "complete"
        STOPPED = "stopped"
        INTERRUPTED = "interrupted"
        FAILED = "failed"

    RUNNING = (Status.QUEUED, Status.STREAMING)

    message = models.OneToOneField(Message, on_delete=models.CASCADE, primary_key=True, related_name="reply")
    status = models.CharField(max_length=11, choices=Status, default=Status.QUEUED)
    model = models.CharField(max_length=200)
    attempt = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True)
    lease = models.DateTimeField(null=True)
    asked = models.DateTimeField(default=timezone.now)
    started = models.DateTimeField("first piece", null=True)
    answered = models.DateTimeField("first word of the answer", null=True)
    ended = models.DateTimeField(null=True)
    last_seq = models.PositiveIntegerField(default=0)
    finish_reason = models.CharField(max_length=64, blank=True)
    usage = models.JSONField(null=True, blank=True)
    upstream_id = models.CharField("upstream request id", max_length=200, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_params = models.JSONField(default=dict, blank=True)
    reasoning = models.TextField(blank=True)

    objects = ReplyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "replies"
        indexes = [
            models.Index(
                fields=["lease"], condition=models.Q(status__in=("queued", "streaming")), name="reply_running"
            ),
            models.Index(fields=["ended"], name="reply_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.status} reply {self.pk}"

    @property
    def is_running(self) -> bool:
        return self.status in self.RUNNING

    @property
    def waits_in_line(self) -> bool:
        """Whether the process has not come to it yet, though it had the time."""
        if self.status != self.Status.QUEUED or self.lease is None:
            return False
        # A lease that nobody has renewed tells since when.
        return timezone.now() - (self.lease - LEASE) > IN_LINE

    @property
    def error(self) -> Error | None:
        return Error(self.error_code, self.error_params) if self.error_code else None

    @property
    def thought_for(self) -> timedelta | None:
        """How long the model thought before its answer; None while it still does, or if it did not."""
        until = self.answered or self.ended
        return until - self.started if self.started and until and self.reasoning else None

    @property
    def can_resume(self) -> bool:
        """Whether there is a text that breaks off, which the model can be asked to go on with."""
        broken_off = self.status in (self.Status.STOPPED, self.Status.INTERRUPTED, self.Status.FAILED)
        has_room = self.error_code != "too_large"
        return bool(self.message.text) and has_room and (broken_off or self.finish_reason == "length")

    def resume(self, model: str) -> bool:
        """Queue the reply again, to be written on behind its text; its message must be the end of its branch.

        False when it runs already or has nothing to go on with.
        """
        with transaction.atomic():
            check_limits(self.message.conversation.owner_id)
            conversation = Conversation.objects.select_for_update().get(messages=self.pk)
            now = Reply.objects.select_related("message").get(pk=self.pk)
            if not now.can_resume or conversation.leaf_id != self.pk:
                return False
            Reply.objects.filter(pk=self.pk).update(
                status=self.Status.QUEUED,
                model=model,
                lease=Now() + LEASE,
                ended=None,
                usage=None,
                finish_reason="",
                error_code="",
                error_params={},
            )
            self.status, self.attempt = self.Status.QUEUED, now.attempt
            # Readers find what is kept in the log until its writer begins it anew; its end is none any more.
            self.events.filter(kind=ReplyEvent.Kind.END).delete()
            conversation.updated = timezone.now()
            conversation.save(update_fields=["updated"])
        return True

    def end(self, attempt: int, text: str, **fields: Any) -> bool:
        """Store the end of the reply and the whole text of its message, if `attempt` still owns it."""
        now = timezone.now()
        with transaction.atomic():
            mine = Reply.objects.running().filter(pk=self.pk, attempt=attempt)
            if not mine.update(lease=None, ended=now, **fields):
                return False
            Message.objects.filter(pk=self.pk).update(text=text)
            Conversation.objects.filter(messages=self.pk).update(updated=now)
        return True


class ReplyEvent(models.Model):
    """One event of a reply's live log. It is purged some minutes after the reply has ended."""

    class Kind(models.TextChoices):
        DELTA = "delta"
        REASONING = "reasoning"
        END = "end"
        SNAPSHOT = "snapshot"

    pk = models.CompositePrimaryKey("reply_id", "seq")
    reply = models.ForeignKey(Reply, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=9, choices=Kind)
    # The text of a piece, the JSON of an end or of a snapshot.
    data = models.TextField()

    def __str__(self) -> str:
        return f"{self.kind} {self.seq} of {self.reply_id}"
