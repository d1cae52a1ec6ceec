"""Finds texts by their words, the newest first, in portions."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from chat.models import Conversation, Searchable, User
from chat.models.searchable import SearchableQuerySet
from chat.search import postgresql, sqlite
from chat.search.query import Query, Term, parse

# No key is higher.
END = (1 << 63) - 1
# So many keys are taken from the index at first, and then up to so many; the rows may belong to another model or label.
FIRST = 100
MOST = 5000
# Staff search among all conversations, and are shown those of this many texts at most.
FOR_STAFF = 200
# As many people may match a word of theirs.
OWNERS = 50


@dataclass(frozen=True, slots=True)
class Found:
    """Some rows, the newest first, and `next`, the key before which to look for more, if there may be more."""

    rows: list[Searchable]
    next: int | None


def newest(
    rows: SearchableQuerySet,
    query: Query,
    owner: int | None,
    count: int,
    *,
    before: int = END,
    since: int = 0,
    most: int = MOST,
) -> Found:
    """The `count` newest of these rows that match, with keys from `since` and below `before`.

    All rows belong to the owner, unless that is None. The work has a limit, about `most` texts: where few rows are
    wanted and many match, there can be fewer than `count`, and a `next`. Raises NotSearchable.
    """
    found: list[Searchable] = []
    looked, portion = 0, FIRST
    while looked < most:
        keys = _index()(query, owner, before, since, portion)
        found += rows.filter(pk__in=keys).order_by("-pk")[: count + 1 - len(found)]
        if len(found) > count:
            return Found(found[:count], found[count - 1].pk)
        if len(keys) < portion:
            return Found(found, None)
        looked, before, portion = looked + portion, keys[-1], min(portion * 4, most)
    return Found(found, before)


def for_staff(listed: QuerySet[Conversation], text: str) -> list[Searchable]:
    """The newest texts in these conversations, of whatever people, in which all of this is found.

    A term is also found in whatever belongs to a person whose name or address contains it. Raises NotSearchable.
    """
    query = parse(text)
    query = replace(query, wanted=tuple(replace(term, owners=_owners(term)) for term in query.wanted))
    lasting = listed.filter(temporary=False).order_by()
    rows = Searchable.objects.filter(Exists(lasting.filter(pk=OuterRef("conversation"))))
    return newest(rows.defer("words"), query, None, FOR_STAFF).rows


def _owners(term: Term) -> tuple[int, ...]:
    named = Q(username__icontains=term.source) | Q(email__icontains=term.source)
    return tuple(User.objects.filter(named).order_by("pk").values_list("pk", flat=True)[:OWNERS])


def _index() -> Callable[[Query, int | None, int, int, int], list[int]]:
    """The keys of the texts that match and belong to the owner, from `since` and below `before`, the highest first."""
    return {"sqlite": sqlite.newest, "postgresql": postgresql.newest}[connection.vendor]
