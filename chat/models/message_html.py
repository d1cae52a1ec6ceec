"""The HTML of messages, kept so that it is made once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db import models, transaction

from chat.models.conversations import Message


class MessageHtmlQuerySet(models.QuerySet["MessageHtml"]):
    def made_of(self, sources: Mapping[UUID, str]) -> dict[UUID, str]:
        """The HTML of those of these messages that was made of this source."""
        rows = self.filter(message__in=sources).values_list("message", "source", "html")
        return {message: html for message, source, html in rows if source == sources[message]}

    @transaction.atomic
    def keep(self, rows: Iterable[MessageHtml]) -> None:
        """Store these rows, each instead of the one of its message, but for messages that are gone or about to go."""
        by_message = {row.message_id: row for row in rows}
        # Whoever holds one of them may be about to delete all: that must not wait for us while we wait for it.
        there = Message.objects.filter(pk__in=by_message).select_for_update(skip_locked=True, no_key=True)
        kept = [by_message[pk] for pk in there.values_list("pk", flat=True)]
        self.bulk_create(kept, update_conflicts=True, unique_fields=["message"], update_fields=["source", "html"])


class MessageHtml(models.Model):
    """What `chat/rendering.py` has made of a message.

    Nothing else may write it: pages trust it. It has a table of its own, so that lists and searches do not read it.
    """

    message = models.OneToOneField(Message, on_delete=models.DB_CASCADE, primary_key=True, related_name="+")
    # Of which text, and by which rules. If that differs from what a page has, it makes the HTML again.
    source = models.CharField(max_length=64)
    html = models.TextField()

    objects = MessageHtmlQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"HTML of message {self.message_id}"
