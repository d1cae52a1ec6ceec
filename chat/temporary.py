"""Temporary conversations: they end when their person ends them or leaves them alone for long, and then leave nothing.

What has ended is marked as deleted at once, so that nobody finds it or asks in it. It is erased when nothing is being
written in it any longer and the log has forgotten its replies: until then its rows tell what is left to do.
"""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from chat.database import retry_on_deadlock
from chat.models import Conversation, Job, Message, Reply, Searchable, User, title_of
from chat.models.conversations import ConversationQuerySet

# At most this many are erased per beat.
AT_ONCE = 100


def open_of(person: User) -> ConversationQuerySet:
    """Those that have not ended, the newest first."""
    return Conversation.objects.for_user(person).filter(temporary=True).order_by("-pk")


def end(which: ConversationQuerySet) -> int:
    """End these temporary conversations; returns how many had not ended yet."""
    return which.filter(temporary=True, trashed=None).update(trashed=Now(), version=F("version") + 1)


def end_forgotten() -> int:
    """End those in which nobody has asked anything for long."""
    asked_last = timezone.now() - timedelta(hours=settings.CHAT_TEMPORARY_HOURS)
    return end(Conversation.objects.filter(updated__lt=asked_last))


@retry_on_deadlock
@transaction.atomic
def keep(person: User, pk: UUID) -> bool:
    """Make an ordinary conversation of it, which stays; False if it is none by now."""
    User.change_list(person.pk)
    # The end of a reply that is being stored sees a temporary conversation, and asks for no title.
    Reply.objects.filter(message__conversation=pk).lock()
    conversation = open_of(person).select_for_update().filter(pk=pk).first()
    if conversation is None:
        return False
    first = conversation.messages.filter(parent=None).earliest("created")
    conversation.temporary, conversation.title = False, title_of(first.text)
    conversation.change("temporary", "title")
    Searchable.objects.put([Searchable.of_title(conversation)])
    if settings.CHAT_TITLES:
        Job.objects.add(Job.Kind.TITLE, pk)
    return True


def to_erase() -> list[tuple[UUID, list[UUID]]]:
    """Some of those that have ended and in which nothing is being written any longer, each with its replies."""
    ended = Conversation.objects.filter(temporary=True, trashed__isnull=False)
    if not ended.exists():
        return []
    running = Reply.objects.running().filter(message__conversation=OuterRef("pk"))
    answers = Message.objects.filter(role=Message.Role.ASSISTANT)
    return [
        (pk, list(answers.filter(conversation=pk).values_list("pk", flat=True)))
        for pk in ended.exclude(Exists(running)).values_list("pk", flat=True)[:AT_ONCE]
    ]


@retry_on_deadlock
@transaction.atomic
def erase(pk: UUID) -> None:
    """Delete one that has ended for good, with all that belongs to it. Several may do this at the same time."""
    Conversation.objects.filter(pk=pk, temporary=True, trashed__isnull=False).delete()
