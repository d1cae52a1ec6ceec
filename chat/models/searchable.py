"""The texts that can be searched: titles, messages, queued questions and notes, each with its words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from chat import words
from chat.compiled import Update, compiled_update, insert
from chat.models.conversations import Conversation, Message

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from chat.models.queued import QueuedQuestion
    from chat.models.replies import Reply
    from chat.models.users import User

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A key ends with this many bits of the id of what is found.
ID_BITS = 11


def key_at(moment: datetime) -> int:
    """The least key of what was created at this moment or later."""
    return (moment - EPOCH) // timedelta(microseconds=1) << ID_BITS


def _key(created: datetime, pk: UUID) -> int:
    return key_at(created) + pk.int % (1 << ID_BITS)


class SearchableQuerySet(models.QuerySet["Searchable"]):
    def for_user(self, user: User | AnonymousUser, *, with_trash: bool = False) -> SearchableQuerySet:
        conversations = Conversation.objects.lasting()
        own = conversations.filter(owner_id=user.pk) if with_trash else conversations.for_user(user)
        # By a subquery for each row: the database would list all conversations of a person before it looks at any.
        return self.filter(Exists(own.filter(pk=OuterRef("conversation"))), owner_id=user.pk)

    def texts(self) -> SearchableQuerySet:
        """Messages, queued questions and notes."""
        return self.exclude(message=None, queued=None, note=None)

    def put(self, rows: Iterable[Searchable]) -> None:
        """Store these rows, each in place of the one with its key; in the transaction that stores their texts."""
        # PostgreSQL refuses two of one key in one statement.
        by_key = {row.pk: row for row in rows}
        columns = ["owner_id", "conversation_id", "message_id", "queued_id", "note_id", "words"]
        insert(list(by_key.values()), replacing=columns)

    def put_note(self, reply: Reply) -> None:
        """Let a reply be found by what its person has noted about it; in the transaction that stores it."""
        self.filter(note=reply).delete()
        if reply.feedback_reason:
            self.put([Searchable.of_note(reply)])

    def rewrite(self, message: UUID, text: str) -> None:
        """Let a message be found by this text from now on; in the transaction that stores it."""
        if not _set_words(message, words.indexed(text)):
            # It was asked before there was an index.
            self.put([Searchable.of_message(Message.objects.select_related("conversation").get(pk=message))])


@compiled_update
def _set_words(message: UUID, indexed: str) -> Update:
    return Searchable.objects.filter(message=message), {"words": indexed}


class Searchable(models.Model):
    """One text that can be found. The database keeps an index of its words: see chat/search/.

    On SQLite, triggers of this table do that. A migration that makes SQLite copy the table has to make them again.
    """

    # Microseconds since 1970 and some bits of another id: a row's key is known without a look, and keys order by time.
    # Two texts of the same microsecond share one with a chance of 1 to 2,048; then only the later one is found.
    # Named as automatic because SQLite looks up its rows by such keys; none is.
    id = models.BigAutoField(primary_key=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.DB_CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.DB_CASCADE, related_name="searchable")
    # Without any of these three, the text is the title.
    message = models.ForeignKey(Message, null=True, on_delete=models.DB_CASCADE, related_name="searchable")
    queued = models.ForeignKey("QueuedQuestion", null=True, on_delete=models.DB_CASCADE, related_name="searchable")
    # The reply of which its person has said what they think.
    note = models.ForeignKey("Reply", null=True, on_delete=models.DB_CASCADE, related_name="searchable", db_index=False)
    # As `words.indexed` makes them.
    words = models.TextField(blank=True)

    objects = SearchableQuerySet.as_manager()

    class Meta:
        indexes = [
            # Few texts are notes.
            models.Index(fields=["note"], condition=Q(note__isnull=False), name="searchable_note"),
            models.Index(
                fields=["owner", "-id"], condition=Q(message=None, queued=None, note=None), name="searchable_titles"
            ),
        ]

    def __str__(self) -> str:
        return f"searchable text {self.pk}"

    @classmethod
    def of_title(cls, conversation: Conversation) -> Searchable:
        key = _key(conversation.created, conversation.pk)
        return cls(
            id=key, owner_id=conversation.owner_id, conversation=conversation, words=words.indexed(conversation.title)
        )

    @classmethod
    def of_message(cls, message: Message) -> Searchable:
        return cls(
            id=_key(message.created, message.pk),
            owner_id=message.conversation.owner_id,
            conversation_id=message.conversation_id,
            message=message,
            words=words.indexed(message.text),
        )

    @classmethod
    def of_queued(cls, queued: QueuedQuestion) -> Searchable:
        conversation = queued.after.conversation
        return cls(
            id=_key(queued.created, queued.pk),
            owner_id=conversation.owner_id,
            conversation=conversation,
            queued=queued,
            words=words.indexed(queued.text),
        )

    @classmethod
    def of_note(cls, reply: Reply) -> Searchable:
        conversation = reply.message.conversation
        return cls(
            id=_key(reply.feedback_given or reply.message.created, reply.pk),
            owner_id=conversation.owner_id,
            conversation=conversation,
            note=reply,
            words=words.indexed(reply.feedback_reason),
        )

    @property
    def created(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.pk >> ID_BITS)

    @property
    def is_title(self) -> bool:
        return self.message_id is None and self.queued_id is None and self.note_id is None

    @property
    def text(self) -> str:
        """What was searched."""
        if self.note:
            return self.note.feedback_reason
        found = self.message or self.queued
        return found.text if found else self.conversation.title
