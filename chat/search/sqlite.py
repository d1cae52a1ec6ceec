"""The index on SQLite: an FTS5 table beside the rows, which triggers keep. Its rowids are the keys."""

from django.db import connection

from chat.search.query import IS_TITLE, Query, Span, Term

# By key, so that SQLite reads the lists of a word backwards and stops as soon as it has enough.
NEWEST = """
SELECT rowid FROM chat_words
WHERE chat_words MATCH %s AND rowid < %s AND rowid >= %s {}
ORDER BY rowid DESC LIMIT %s
"""
TITLE = f"AND EXISTS (SELECT 1 FROM chat_searchable WHERE id = chat_words.rowid AND {IS_TITLE})"  # noqa: S608


def newest(span: Span, query: Query, count: int) -> list[int]:
    statement = NEWEST.format(TITLE if span.titles else "")
    with connection.cursor() as cursor:
        cursor.execute(statement, [expression(query, span.owner), span.before, span.since, count])
        return [key for (key,) in cursor.fetchall()]


def expression(query: Query, owner: int | None) -> str:
    """The query in the language of FTS5. Words hold no character that means something there."""
    wanted = " AND ".join(map(_either, query.wanted))
    if owner is not None:
        wanted = f'owner_id : "{owner}" AND {wanted}'
    return " NOT ".join([f"({wanted})", *map(_term, query.unwanted)])


def _either(term: Term) -> str:
    return f"({' OR '.join([_term(term), *(f'owner_id : "{owner}"' for owner in term.owners)])})"


def _term(term: Term) -> str:
    return f'words : "{" ".join(term.words)}"{"*" if term.is_prefix else ""}'
