"""Brings the index up to date with all texts, whatever it lacks, and makes it again if it is lost or damaged."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import batched
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper
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
# So many of the newest texts, and of the oldest, are looked for to see whether the index of words still works.
TRIED = 50
# What is made by a statement of the migration.
MADE = re.compile(r"CREATE (?:VIRTUAL TABLE|TRIGGER|INDEX) (\w+)")


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


NAMES = "SELECT name FROM sqlite_master"


def is_whole() -> bool:
    """Whether the database has its index of the words, and it works as far as can be told in a moment."""
    return {"sqlite": _finds, "postgresql": _is_valid}[connection.vendor]()


def rebuild() -> None:
    """Make the database's index of the words again. Nobody can write meanwhile on SQLite; people can on PostgreSQL."""
    {"sqlite": _rebuild_sqlite, "postgresql": _rebuild_postgresql}[connection.vendor]()


def _finds() -> bool:
    """Whether some texts are found by their first words."""
    rows = Searchable.objects.exclude(words="").order_by("pk").values_list("pk", "owner", "words")
    tried = [*rows[:TRIED], *rows.reverse()[:TRIED]]
    statement = "SELECT 1 FROM chat_words WHERE chat_words MATCH %s AND rowid = %s"
    with connection.cursor() as cursor:
        if _lacking(cursor, NAMES):
            return False
        try:
            for pk, owner, words in tried:
                cursor.execute(statement, [f'owner_id : "{owner}" AND words : "{words.split()[0]}"', pk])
                if not cursor.fetchone():
                    return False
        except DatabaseError:
            # It is malformed.
            return False
    return True


@transaction.atomic
def _rebuild_sqlite() -> None:
    with connection.cursor() as cursor:
        try:
            with transaction.atomic():
                _fill_sqlite(cursor)
        except DatabaseError:
            # Where a part is lost, SQLite cannot open the table, not even to drop it. So it forgets the table, whose
            # parts are then usual ones.
            cursor.execute("PRAGMA writable_schema = ON")
            cursor.execute("DELETE FROM sqlite_master WHERE name = 'chat_words'")
            cursor.execute("PRAGMA writable_schema = RESET")
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'chat_words_*'")
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP TABLE {name}")
            _fill_sqlite(cursor)


def _fill_sqlite(cursor: CursorWrapper) -> None:
    for statement in _lacking(cursor, NAMES):
        cursor.execute(statement)
    cursor.execute("INSERT INTO chat_words (chat_words) VALUES ('rebuild')")


# An index that was being made when the process died is there, but invalid.
VALID = """
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = 'chat_searchable'::regclass AND indisvalid
"""


def _is_valid() -> bool:
    with connection.cursor() as cursor:
        return not _lacking(cursor, VALID)


def _rebuild_postgresql() -> None:
    with connection.cursor() as cursor:
        lacking = _lacking(cursor, VALID)
        for statement in _made():
            name = _name(statement)
            # What a rebuild that was killed has left.
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}_ccnew")
            if statement in lacking:
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
                cursor.execute(statement.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY"))
            else:
                cursor.execute(f"REINDEX INDEX CONCURRENTLY {name}")


def _lacking(cursor: CursorWrapper, names: str) -> list[str]:
    """The statements for what is not among these names."""
    cursor.execute(names)
    known = {name for (name,) in cursor.fetchall()}
    return [statement for statement in _made() if _name(statement) not in known]


def _made() -> list[str]:
    """The statements of the migration for its indexes, and the triggers that keep them."""
    statements = getattr(import_module(f"chat.migrations.{MIGRATION}"), connection.vendor.upper())
    return [statement for statement in statements if MADE.search(statement)]


def _name(statement: str) -> str:
    match = MADE.search(statement)
    return match[1] if match else ""


def after_migrations(plan: Sequence[tuple[Any, bool]], **options: Any) -> None:
    """Fill a new index, or say how, where that takes long; Django calls it after `migrate`."""
    if not any(migration.name == MIGRATION and not backwards for migration, backwards in plan):
        return
    if Message.objects.count() <= FILLED_AT_ONCE:
        reindex(lambda done, total: None)
    else:
        print("To search what there is already, run `python manage.py reindex`; people can work meanwhile.")  # noqa: T201
