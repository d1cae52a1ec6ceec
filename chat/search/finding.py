"""Finds texts by their words, the newest first, in portions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import connection
from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet

from chat.models import Conversation, Searchable, User
from chat.models.searchable import SearchableQuerySet
from chat.search import postgresql, sqlite
from chat.search.query import NotSearchable, Query, Span, Term, parse

# No key is higher.
END = (1 << 63) - 1
# Up to so many keys are taken from the index at once. At first it is so many for each row that is wanted: some may
# belong to another model or label.
MOST = 5000
KEYS_PER_ROW = 2
# Staff search among all conversations, and are shown those of this many texts at once.
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
    titles: bool = False,
) -> Found:
    """The `count` newest of these rows that match, with keys from `since` and below `before`; or of their titles.

    All rows belong to the owner, unless that is None. The work has a limit, about `most` texts: where few rows are
    wanted and many match, there can be fewer than `count`, and a `next`. Raises NotSearchable.
    """
    found: list[Searchable] = []
    looked, portion = 0, KEYS_PER_ROW * count
    while looked < most:
        keys = _index()(Span(owner, before, since, titles), query, portion)
        found += rows.filter(pk__in=keys).order_by("-pk")[: count + 1 - len(found)]
        if len(found) > count:
            return Found(found[:count], found[count - 1].pk)
        if len(keys) < portion:
            return Found(found, None)
        looked, before, portion = looked + portion, keys[-1], min(portion * 4, most)
    return Found(found, before)


def for_staff(listed: QuerySet[Conversation], text: str, *, owner: int | None = None, before: int = END) -> Found:
    """The newest texts in these conversations, of whatever people, in which all of this is found.

    If all of the conversations belong to one owner, it is quicker to say so. `before` is as in `newest`, which also
    tells when there are fewer than FOR_STAFF. A term is also found in whatever belongs to a person whose name or
    address contains it. Raises NotSearchable.
    """
    return newest(*_of_staff(listed, text), owner, FOR_STAFF, before=before, most=MOST)


def all_for_staff(
    listed: QuerySet[Conversation], text: str, *, owner: int | None = None, before: int = END
) -> Iterator[UUID]:
    """The conversations of all the texts that `for_staff` finds, some more than once. Raises NotSearchable."""
    rows, query = _of_staff(listed, text)
    following: int | None = before
    while following is not None:
        found = newest(rows, query, owner, MOST, before=following, most=MOST)
        yield from (row.conversation_id for row in found.rows)
        following = found.next


def _of_staff(listed: QuerySet[Conversation], text: str) -> tuple[SearchableQuerySet, Query]:
    """The texts in these conversations, and what to look for in them."""
    query = parse(text)
    query = replace(query, wanted=tuple(replace(term, owners=_owners(term)) for term in query.wanted))
    lasting = listed.filter(temporary=False).order_by()
    rows = Searchable.objects.filter(Exists(lasting.filter(pk=OuterRef("conversation"))))
    return rows.defer("words"), query


def in_conversation(conversation: Conversation, text: str, most: int) -> tuple[list[UUID], list[Term]]:
    """The messages in which a search of staff has found something, in order, and what it has looked for there.

    A word that has found the owner is not looked for in what they write.
    """
    try:
        query = parse(text)
    except NotSearchable:
        return [], []
    terms = [term for term in query.wanted if conversation.owner_id not in _owners(term)]
    if not terms:
        return [], []
    rows = Searchable.objects.filter(conversation=conversation).exclude(message=None)
    # A conversation takes a short time of all, so few texts that are not in it are looked at.
    span = rows.aggregate(first=Min("pk"), last=Max("pk"))
    if span["first"] is None:
        return [], []
    since, before = span["first"], span["last"] + 1
    wanted = replace(query, wanted=tuple(terms))
    try:
        found = newest(rows.only("message"), wanted, conversation.owner_id, most, since=since, before=before).rows
    except NotSearchable:
        return [], []
    return [row.message_id for row in reversed(found) if row.message_id], terms


def _owners(term: Term) -> tuple[int, ...]:
    named = Q(username__icontains=term.source) | Q(email__icontains=term.source)
    return tuple(User.objects.filter(named).order_by("pk").values_list("pk", flat=True)[:OWNERS])


def _index() -> Callable[[Span, Query, int], list[int]]:
    """The keys of so many texts of the span that match, the highest first."""
    return {"sqlite": sqlite.newest, "postgresql": postgresql.newest}[connection.vendor]
