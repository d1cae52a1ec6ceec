"""The index on PostgreSQL: a generated tsvector of the words and the owner, without places, and a GIN on it."""

from dataclasses import replace
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from chat.search.query import IS_TITLE, NotSearchable, Query, Span, Term

# SQLSTATE of a statement that took too long.
CANCELED = "57014"
MOST_MILLISECONDS = 2000


# So many of the newest texts, for each key that is wanted, are looked at before all others. The planner cannot know how
# many have a phrase or a beginning of a word, and would read each text that has its words before it sorts them.
TEXTS_PER_KEY = 125


def newest(span: Span, query: Query, count: int) -> list[int]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(MOST_MILLISECONDS)])
            # Texts without a frequent word are short, and have others less often than the planner thinks: by key, it
            # would look for them from the newest on. In the order of an expression it asks the index of words. Among
            # the texts of one person, which are fewer, that would take longer.
            by_words = bool(query.unwanted) and span.owner is None
            texts = count * (TEXTS_PER_KEY // 4 if by_words else TEXTS_PER_KEY)
            middle = span.since if span.titles else _key_after(cursor, span, texts)
            keys = _matching(cursor, replace(span, since=middle), query, count)
            if len(keys) < count and middle > span.since:
                order = "id + 0" if by_words else "id"
                keys += _matching(cursor, replace(span, before=middle), query, count - len(keys), order)
            return keys
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != CANCELED:
            raise
        raise NotSearchable("too_slow") from error


def _key_after(cursor: CursorWrapper, span: Span, texts: int) -> int:
    """The key of the text after so many, or where the span ends."""
    condition, parameters = _within(span)
    statement = f"SELECT id FROM chat_searchable WHERE {condition} ORDER BY id DESC OFFSET %s LIMIT 1"  # noqa: S608
    cursor.execute(statement, [*parameters, texts])
    found = cursor.fetchone()
    return found[0] if found else span.since


def _matching(cursor: CursorWrapper, span: Span, query: Query, count: int, order: str = "id") -> list[int]:
    condition, parameters = _within(span)
    conditions = [condition, "vector @@ %s::tsquery"]
    parameters.append(lexemes(query, span.owner))
    for term, is_wanted in [*((term, True) for term in query.wanted), *((term, False) for term in query.unwanted)]:
        if term.is_phrase:
            condition, values = _in_order(term)
            conditions.append(condition if is_wanted else f"NOT {condition}")
            parameters += values
    where = " AND ".join(conditions)
    statement = f"SELECT id FROM chat_searchable WHERE {where} ORDER BY {order} DESC LIMIT %s"  # noqa: S608
    cursor.execute(statement, [*parameters, count])
    return [key for (key,) in cursor.fetchall()]


def _within(span: Span) -> tuple[str, list[Any]]:
    conditions = ["id < %s", "id >= %s"]
    parameters: list[Any] = [span.before, span.since]
    if span.owner is not None:
        # The index of words knows it too. So the database can choose another one where most of a person's texts match.
        conditions.append("owner_id = %s")
        parameters.append(span.owner)
    if span.titles:
        conditions.append(IS_TITLE)
    return " AND ".join(conditions), parameters


def lexemes(query: Query, owner: int | None) -> str:
    """The query as a tsquery: which words there are. Words hold no character that means something there."""
    wanted = [_either(term) for term in query.wanted]
    unwanted = [f"!{_lexemes(term)}" for term in query.unwanted if not term.is_phrase]
    return " & ".join([*([f"'@{owner}'"] if owner is not None else []), *wanted, *unwanted])


def _either(term: Term) -> str:
    return f"({' | '.join([_lexemes(term), *(f"'@{owner}'" for owner in term.owners)])})"


def _lexemes(term: Term) -> str:
    every = " & ".join(f"'{word}'" for word in term.words)
    return f"({every}{':*' if term.is_prefix else ''})"


def _in_order(term: Term) -> tuple[str, list[Any]]:
    """Whether the words of a phrase stand one after another, and the parameters for that."""
    end = "" if term.is_prefix else " "
    return (
        "(strpos(' ' || words || ' ', %s) > 0 OR owner_id = ANY(%s))",
        [f" {' '.join(term.words)}{end}", list(term.owners)],
    )
