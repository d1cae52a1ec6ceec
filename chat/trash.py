"""The trash: what people delete stays in it for some days, in which they can restore it.

Putting there and restoring change the version of the person's list first, which locks the person, as a question does.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from chat import audit
from chat.database import retry_on_deadlock
from chat.models import AuditRecord, Conversation, Reply, User
from chat.models.conversations import ConversationQuerySet

Action = AuditRecord.Action

# At most this many conversations are erased in one transaction: the commits of that moment wait for it.
ERASED_AT_ONCE = 20


@retry_on_deadlock
@transaction.atomic
def put(person: User, pks: Collection[UUID]) -> datetime | None:
    """Put these conversations of a person in the trash; returns since when they are there, None if there are none.

    What is being written in them ends at the next beat of its process, and what is queued is not asked.
    """
    User.change_list(person.pk)
    now = timezone.now()
    kept = Conversation.objects.for_user(person).lasting().filter(pk__in=pks)
    return now if kept.update(trashed=now, version=F("version") + 1) else None


@retry_on_deadlock
@transaction.atomic
def restore(person: User, which: Q) -> list[UUID]:
    """Take these conversations out of a person's trash; returns their ids."""
    User.change_list(person.pk)
    in_trash = Conversation.objects.trash_of(person).filter(which)
    pks = list(in_trash.select_for_update().values_list("pk", flat=True))
    Conversation.objects.filter(pk__in=pks).update(trashed=None, version=F("version") + 1)
    return pks


def expired() -> ConversationQuerySet:
    """What has been in the trash for so long that it is to be erased."""
    return Conversation.objects.filter(trashed__lt=timezone.now() - timedelta(days=settings.CHAT_TRASH_DAYS))


@retry_on_deadlock
@transaction.atomic
def erase_some(in_trash: ConversationQuerySet) -> int:
    """Delete for good some of these, which are in the trash; returns how many there were, 0 when all are gone.

    Several may do this at the same time, and each may be killed at any moment.
    """
    pks = list(in_trash.values_list("pk", flat=True)[:ERASED_AT_ONCE])
    # Otherwise this and a commit of replies that are still being written could wait for each other.
    Reply.objects.filter(message__conversation__in=pks).lock()
    # A person may have restored one of them since.
    erased = Conversation.objects.filter(pk__in=pks, trashed__isnull=False).erase()
    audit.append(*(audit.new(Action.ERASED, conversation=conversation) for conversation in erased))
    return len(pks)
