"""The index on PostgreSQL: a generated tsvector of the words and the owner, without places, and a GIN on it."""

from typing import Any

from django.db import OperationalError, connection, transaction

from chat.search.query import NotSearchable, Query, Term

# SQLSTATE of a statement that took too long.
CANCELED = "57014"
MOST_MILLISECONDS = 2000


def newest(query: Query, owner: int | None, before: int, since: int, count: int) -> list[int]:
    conditions = ["id < %s", "id >= %s", "vector @@ %s::tsquery"]
    parameters: list[Any] = [before, since, lexemes(query, owner)]
    if owner is not None:
        # The index knows it too. So the database can choose another one where most of a person's texts match.
        conditions.append("owner_id = %s")
        parameters.append(owner)
    for term, is_wanted in [*((term, True) for term in query.wanted), *((term, False) for term in query.unwanted)]:
        if term.is_phrase:
            condition, values = _in_order(term)
            conditions.append(condition if is_wanted else f"NOT {condition}")
            parameters += values
    statement = f"SELECT id FROM chat_searchable WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT %s"  # noqa: S608
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(MOST_MILLISECONDS)])
            cursor.execute(statement, [*parameters, count])
            return [key for (key,) in cursor.fetchall()]
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != CANCELED:
            raise
        raise NotSearchable("too_slow") from error


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
