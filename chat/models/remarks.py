"""What reviewers note about conversations, what they flag, and what people report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.conversations import Conversation, Message
from chat.models.ids import uuid7
from chat.models.users import User

# How many answers a person can report within a day.
MOST_REPORTS = 20
# How many remarks there can be about one conversation.
MOST_REMARKS = 500


class TooManyRemarks(Exception):
    """Nothing has been stored: there are as many as there can be."""


class RemarkQuerySet(models.QuerySet["Remark"]):
    def open(self) -> RemarkQuerySet:
        """Flags and reports that no reviewer has settled."""
        return self.filter(Remark.IS_OPEN)

    def open_as(self, value: str) -> RemarkQuerySet:
        """Those of the value of a filter: `yes` for all of them, or a kind."""
        return self.open() if value == "yes" else self.open().filter(kind=value)

    def report_of(self, message: Message, by: User) -> Remark | None:
        return self.filter(kind=Remark.Kind.REPORT, message=message, by=by).first()

    @transaction.atomic
    def report(self, message: Message, by: User, text: str) -> None:
        """Report an answer of one's own; once is enough.

        Raises TooManyRemarks, and Conversation.DoesNotExist if it has been deleted.
        """
        # First, as a question locks its person first too.
        User.objects.select_for_update(no_key=True).get(pk=by.pk)
        Conversation.objects.kept().select_for_update(no_key=True).get(pk=message.conversation_id)
        theirs = self.filter(kind=Remark.Kind.REPORT, by=by)
        if theirs.filter(message=message).exists():
            return
        if theirs.filter(created__gt=timezone.now() - timedelta(days=1)).count() >= MOST_REPORTS:
            raise TooManyRemarks
        about = {"conversation_id": message.conversation_id, "message": message}
        self.create(kind=Remark.Kind.REPORT, by=by, text=text, **about)

    @transaction.atomic
    def add(self, conversation: UUID, message: Message | None, by: User, kind: str, text: str) -> Remark:
        """Note or flag something. Raises TooManyRemarks, and Conversation.DoesNotExist if it has been erased."""
        Conversation.objects.select_for_update(no_key=True).get(pk=conversation)
        if self.filter(conversation=conversation).exclude(kind=Remark.Kind.REPORT).count() >= MOST_REMARKS:
            raise TooManyRemarks
        return self.create(conversation_id=conversation, message=message, by=by, kind=kind, text=text)

    def settle(self, by: User) -> bool:
        """Whether one of them was open, and so has been settled."""
        return bool(self.open().update(settled=timezone.now(), settled_by=by))

    def by_message(self, conversation: Conversation) -> dict[UUID | None, list[Remark]]:
        """Those about each message of a conversation, the oldest first; those about all of it have the key None."""
        remarks: dict[UUID | None, list[Remark]] = defaultdict(list)
        for remark in self.filter(conversation=conversation).select_related("by", "settled_by").order_by("pk"):
            remarks[remark.message_id].append(remark)
        return remarks

    def flagged(self, conversations: Iterable[UUID]) -> set[UUID]:
        """Which of these conversations have an open flag or report."""
        return set(self.open().filter(conversation__in=conversations).values_list("conversation", flat=True))


class Remark(models.Model):
    """A note or a flag of a reviewer, or a report of the owner, about a message or a whole conversation."""

    class Kind(models.TextChoices):
        NOTE = "note", _("Note")
        FLAG = "flag", _("Flag")
        REPORT = "report", _("Report")

    IS_OPEN = Q(kind__in=[Kind.FLAG, Kind.REPORT], settled=None)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.DB_CASCADE, related_name="remarks")
    message = models.ForeignKey(Message, null=True, on_delete=models.DB_CASCADE, related_name="remarks")
    kind = models.CharField(max_length=6, choices=Kind)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="remarks")
    text = models.TextField()
    created = models.DateTimeField(default=timezone.now)
    # When a reviewer has done what a flag or a report asks for.
    settled = models.DateTimeField(null=True)
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.DB_SET_NULL, related_name="+")

    objects = RemarkQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["message", "by"], condition=Q(kind="report"), name="remark_report_once")
        ]
        indexes = [
            # SQLite uses it only if the condition has no values.
            models.Index(fields=["kind", "conversation"], condition=Q(settled=None), name="remark_open")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.kind != self.Kind.NOTE and self.settled is None
