"""The tree of a conversation's messages, read by recursive queries, which take time in proportion to what they return.

The statements work on SQLite and on PostgreSQL.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, models

# From a message upwards, up to another one, at most `last` of them.
PATH = """
WITH RECURSIVE path (id, parent_id, steps) AS (
    SELECT id, parent_id, 1 FROM chat_message WHERE id = %s
    UNION ALL
    SELECT message.id, message.parent_id, steps + 1
    FROM chat_message message JOIN path ON message.id = path.parent_id
    WHERE path.id <> %s AND steps < %s
)
SELECT id FROM path ORDER BY steps
"""

# From a message upwards, as long as their texts fit into `chars` characters; the first one always does.
TEXTS = """
WITH RECURSIVE path (parent_id, role, text, chars, steps) AS (
    SELECT parent_id, role, text, LENGTH(text), 1 FROM chat_message WHERE id = %s
    UNION ALL
    SELECT message.parent_id, message.role, message.text, chars + LENGTH(message.text), steps + 1
    FROM chat_message message JOIN path ON message.id = path.parent_id
    WHERE chars + LENGTH(message.text) <= %s AND steps < %s
)
SELECT role, text FROM path ORDER BY steps DESC
"""

# A message and all below it, without answers to questions at which a person has not chosen one of two.
# UNION, not UNION ALL, so that even a cycle ends.
BELOW = """
WITH RECURSIVE below (id, parent_id, created) AS (
    SELECT id, parent_id, created FROM chat_message WHERE id = %s
    UNION
    SELECT message.id, message.parent_id, message.created
    FROM chat_message message JOIN below ON message.parent_id = below.id
)
SELECT below.id, below.parent_id
FROM below LEFT JOIN chat_comparison ON chat_comparison.question_id = below.parent_id
WHERE chat_comparison.question_id IS NULL
ORDER BY below.created, below.id
"""

# No message has this id.
NO_MESSAGE = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Siblings:
    """The position of a message among those with the same parent, counted from 1."""

    position: int
    count: int
    previous: UUID | None
    next: UUID | None


def siblings_of(pk: UUID, same_parent: list[UUID]) -> Siblings | None:
    """None for a message that has none; `same_parent` has all of them, itself included, the oldest first."""
    if len(same_parent) < 2:
        return None
    index = same_parent.index(pk)
    return Siblings(
        position=index + 1,
        count=len(same_parent),
        previous=same_parent[index - 1] if index else None,
        next=same_parent[index + 1] if index + 1 < len(same_parent) else None,
    )


def path(leaf: UUID, last: int, end: UUID = NO_MESSAGE) -> list[UUID]:
    """The ids from a message up to `end` if that is on the way, else to the root; at most `last`, the message first."""
    return [as_uuid(pk) for (pk,) in _rows(PATH, as_stored(leaf), as_stored(end), last)]


def texts(leaf: UUID | None, chars: int, last: int) -> list[tuple[str, str]]:
    """Role and text from a message upwards, the oldest first: at most `last`, within `chars` characters in all.

    The message's own text is always included.
    """
    return _rows(TEXTS, as_stored(leaf), chars, last)


def newest_leaf(pk: UUID) -> UUID:
    """The end of the branch through a message: down from it, always to the newest child.

    A question with two answers, of which a person has not chosen one yet, is such an end.
    """
    newest = {parent: child for child, parent in _rows(BELOW, as_stored(pk))}
    stored: Any = as_stored(pk)
    seen = {stored}
    while (child := newest.get(stored)) is not None and child not in seen:
        stored = child
        seen.add(stored)
    return as_uuid(stored)


def _rows(statement: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def as_stored(pk: UUID | None) -> Any:
    """A UUID as this database keeps it: PostgreSQL as such, SQLite as 32 digits."""
    return models.UUIDField().get_db_prep_value(pk, connection)


def as_uuid(stored: object) -> UUID:
    return stored if isinstance(stored, UUID) else UUID(str(stored))
