"""The hits of a search in the conversation on the page, and the ways from one to another."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db.models import Max, Min
from django.urls import reverse
from django.utils.http import urlencode

from chat.models import Conversation, Message, Searchable
from chat.search import NotSearchable, Piece, newest, parse, snippet
from chat.views.problems import SignedInRequest

# At most so many hits are counted, the newest ones.
MOST = 500


@dataclass(frozen=True, slots=True)
class Hits:
    """The hit that a person is at, and those before and after it, which may be on other branches.

    `terms` are for the script that marks them.
    """

    words: str
    terms: list[dict[str, Any]]
    # The number of the hit; 0 for the title, which is not counted among the texts.
    position: int
    count: int
    previous: str | None
    next: str | None
    # To be shown first, if another branch is on screen.
    elsewhere: UUID | None
    # What was found, where the messages do not show it.
    at: Searchable | None
    snippet: list[Piece]


def terms_of(words: str) -> list[dict[str, Any]]:
    """The terms of a search, for the script that marks them; none if these words are no search."""
    try:
        return [asdict(term) for term in parse(words).wanted]
    except NotSearchable:
        return []


def hits(request: SignedInRequest, conversation: Conversation, shown: Iterable[Message]) -> Hits | None:
    """Those of the search that has led here, if one has; `shown` are the messages on screen."""
    words, key = request.GET.get("find", ""), request.GET.get("hit", "")
    try:
        query = parse(words)
    except NotSearchable:
        return None
    rows = Searchable.objects.for_user(request.user).filter(conversation=conversation).defer("words")
    # A conversation takes a short time of all, so few texts that are not in it are looked at.
    span = rows.aggregate(first=Min("pk"), last=Max("pk"))
    if span["first"] is None:
        return None
    try:
        found = newest(rows, query, request.user.pk, MOST, since=span["first"], before=span["last"] + 1).rows
    except NotSearchable:
        return None
    at = next((row for row in found if str(row.pk) == key), None)
    if at is None:
        return None
    texts = [row for row in reversed(found) if not row.is_title]
    # The title comes before the first of them.
    index = texts.index(at) if at in texts else -1
    ways = [f"{reverse('found', args=[row.pk])}?{urlencode({'q': words})}" for row in texts]
    message = _message(at)
    return Hits(
        words=words,
        terms=[asdict(term) for term in query.wanted],
        position=index + 1,
        count=len(texts),
        previous=ways[index - 1] if index > 0 else None,
        next=ways[index + 1] if index + 1 < len(ways) else None,
        elsewhere=message if message and message not in {each.pk for each in shown} else None,
        at=None if at.message_id else at,
        snippet=[] if at.message_id else snippet(at.text, query),
    )


def _message(row: Searchable) -> UUID | None:
    """The one that shows it, or that it stands at; none for a title."""
    if row.queued:
        return row.queued.after_id
    return row.message_id or row.note_id
