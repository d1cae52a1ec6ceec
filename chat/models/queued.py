"""Questions that were sent while a reply was being written."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from django.utils import timezone

from chat.compiled import Update, compiled, compiled_update
from chat.models.conversations import Message
from chat.models.ids import uuid7
from chat.models.replies import Reply


class QueuedQuestionQuerySet(models.QuerySet["QueuedQuestion"]):
    def shown_after(self, leaf: UUID | None) -> QueuedQuestionQuerySet:
        """What is queued at the end of a branch, in order, with what tells when it will be asked."""
        return self.filter(after=leaf).select_related("after__reply").order_by("pk")

    def due(self) -> QueuedQuestionQuerySet:
        """Those of active people whose reply is complete: the first one after each is to be asked."""
        return self.filter(
            after__reply__status=Reply.Status.COMPLETE,
            after__conversation__owner__is_active=True,
            after__conversation__trashed=None,
        )

    def there_are_some(self) -> bool:
        return bool(_one())

    def answers_due(self) -> models.QuerySet[QueuedQuestion, Any]:
        """The replies after which there are such, as a subquery."""
        # Distinct, so that SQLite begins with the few questions: otherwise it looks at all replies.
        return self.due().values("after").distinct()

    def move(self, leaf: UUID | None, answer: Message) -> None:
        """Let those at the end of a branch follow `answer`, whose branch takes the place of that one on screen."""
        if leaf:
            _move(leaf, answer.pk)


@compiled
def _one() -> models.QuerySet[QueuedQuestion, tuple[UUID]]:
    return QueuedQuestion.objects.values_list("pk")[:1]


@compiled_update
def _move(leaf: UUID, answer: UUID) -> Update:
    return QueuedQuestion.objects.filter(after=leaf), {"after": answer}


class QueuedQuestion(models.Model):
    """A question that is asked when the reply that it follows is complete, and is deleted by that.

    There is nothing else to remember: while that reply runs, it is queued; when the reply has ended in another way, the
    question is held until its person decides.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # The answer at the end of its branch.
    after = models.ForeignKey(Message, on_delete=models.DB_CASCADE, related_name="queued")
    text = models.TextField()
    model = models.CharField(max_length=200)
    created = models.DateTimeField(default=timezone.now, editable=False)

    objects = QueuedQuestionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"queued question {self.pk}"
