"""What people have begun to write and not sent."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone

from chat.compiled import compiled
from chat.models.conversations import Conversation
from chat.models.ids import uuid7


class DraftQuerySet(models.QuerySet["Draft"]):
    def of(self, person: int, conversation: UUID | None) -> Draft | None:
        """What this person has begun to write there; without a conversation, in a new one."""
        drafts = _of_conversation(person, conversation) if conversation else _of_new_conversation(person)
        return next((Draft(text=text, changed=changed) for text, changed in drafts), None)

    @transaction.atomic
    def keep(self, person: int, conversation: UUID | None, text: str) -> None:
        place = self.filter(person=person, conversation=conversation)
        if not text:
            place.delete()
        elif not place.update(text=text, changed=timezone.now()):
            # Another page of the same person may just have kept one, which is as new.
            self.bulk_create([Draft(person_id=person, conversation_id=conversation, text=text)], ignore_conflicts=True)

    def sent(self, person: int, conversation: UUID | None, question: str) -> None:
        """Forget what has become this question. The page may not have kept its last words, or keep another text."""
        draft = self.of(person, conversation)
        if draft and question.strip().startswith(draft.text.strip()):
            self.filter(person=person, conversation=conversation).delete()


@compiled
def _of_conversation(person: int, conversation: UUID) -> models.QuerySet[Draft, tuple[str, datetime]]:
    return Draft.objects.filter(person=person, conversation=conversation).values_list("text", "changed")


@compiled
def _of_new_conversation(person: int) -> models.QuerySet[Draft, tuple[str, datetime]]:
    return Draft.objects.filter(person=person, conversation=None).values_list("text", "changed")


class Draft(models.Model):
    """The text in the box of a conversation, or in that of a new one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="drafts", db_index=False
    )
    conversation = models.ForeignKey(Conversation, null=True, on_delete=models.DB_CASCADE, related_name="drafts")
    text = models.TextField()
    # A page keeps what it has not sent here yet. The later one counts.
    changed = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)

    objects = DraftQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "conversation"], name="draft_of_conversation"),
            # To a database, nothing is never the same as nothing.
            models.UniqueConstraint(
                fields=["person"], condition=models.Q(conversation=None), name="draft_of_new_conversation"
            ),
        ]

    def __str__(self) -> str:
        return f"draft {self.pk}"
