"""Finds texts by their words, with an index in the database: FTS5 on SQLite, a tsvector on PostgreSQL."""

from chat.search.finding import END, Found, all_for_staff, for_staff, in_conversation, newest
from chat.search.hits import Piece, snippet
from chat.search.query import NotSearchable, Query, parse

__all__ = [
    "END",
    "Found",
    "NotSearchable",
    "Piece",
    "Query",
    "all_for_staff",
    "for_staff",
    "in_conversation",
    "newest",
    "parse",
    "snippet",
]
