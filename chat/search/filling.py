"""Brings the index up to date with all texts, whatever it lacks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from chat.database import retry_on_deadlock
from chat.models import Conversation, Message, QueuedQuestion, Reply, Searchable

# At most this many texts are brought up to date in one transaction. People who ask in their conversations wait for it.
AT_ONCE = 200
# So many ids are read at once.
PAGE = 10_000
# The migration that makes the index, and how many messages are added to it right then: some seconds' worth.
MIGRATION = "0007_search"
FILLED_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class _Source:
    """Rows, those of them that have texts, the name of their conversation, and how each is found."""

    all: QuerySet[Any]
    rows: QuerySet[Any]
    conversation: str
    searchable: Callable[[Any], Searchable]


def _sources() -> list[_Source]:
    conversations, messages, queued = Conversation.objects.all(), Message.objects.all(), QueuedQuestion.objects.all()
    judged = Reply.objects.exclude(feedback="")
    # The end of a reply that is running stores what it is found by.
    written = messages.exclude(reply__status__in=Reply.RUNNING).select_related("conversation")
    notes = judged.exclude(feedback_reason="").select_related("message__conversation")
    return [
        _Source(conversations, conversations, "pk", Searchable.of_title),
        _Source(messages, written, "conversation", Searchable.of_message),
        _Source(queued, queued.select_related("after__conversation"), "after__conversation", Searchable.of_queued),
        _Source(judged, notes, "message__conversation", Searchable.of_note),
    ]


def reindex(tell: Callable[[int, int], None]) -> int:
    """Make and renew the rows of all texts in small transactions, the newest first; returns how many differed.

    It may be killed at any moment and begun again. `tell` is given how many texts are done, and how many there are.
    """
    sources = _sources()
    total = sum(source.all.count() for source in sources)
    done = written = 0
    for source in sources:
        for pks in _portions(source.all):
            written += _renew(source, pks)
            done += len(pks)
            tell(done, total)
    return written


def _portions(every: QuerySet[Any]) -> Iterator[Sequence[UUID]]:
    """All ids, the newest first."""
    rows = every.order_by("-pk").values_list("pk", flat=True)
    page = list(rows[:PAGE])
    while page:
        yield from batched(page, AT_ONCE)
        page = list(rows.filter(pk__lt=page[-1])[:PAGE])


@retry_on_deadlock
@transaction.atomic
def _renew(source: _Source, pks: Sequence[UUID]) -> int:
    # Who changes a text locks its conversation first. So none of these changes between the reading and the writing.
    texts = source.rows.filter(pk__in=pks)
    conversations = Conversation.objects.filter(pk__in=texts.order_by().values(source.conversation))
    list(conversations.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    rows = [source.searchable(text) for text in texts]
    known = dict(Searchable.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", "words"))
    different = [row for row in rows if known.get(row.pk) != row.words]
    Searchable.objects.put(different)
    return len(different)


def after_migrations(plan: Sequence[tuple[Any, bool]], **options: Any) -> None:
    """Fill a new index, or say how, where that takes long; Django calls it after `migrate`."""
    if not any(migration.name == MIGRATION and not backwards for migration, backwards in plan):
        return
    if Message.objects.count() <= FILLED_AT_ONCE:
        reindex(lambda done, total: None)
    else:
        print("To search what there is already, run `python manage.py reindex`; people can work meanwhile.")  # noqa: T201
