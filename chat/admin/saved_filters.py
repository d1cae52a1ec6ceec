"""The filters that a reviewer has given names."""

from collections.abc import Set
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.db import transaction
from django.utils.translation import gettext

from chat.models import SavedFilter

# A person can save so many.
MOST = 50
NAME_CHARS = SavedFilter._meta.get_field("name").max_length or 0
QUERY_CHARS = SavedFilter._meta.get_field("query").max_length or 0


def query_of(address: str, names: Set[str]) -> str:
    """The part of a query that has these names; not the page, which will be another one."""
    return urlencode([(name, value) for name, value in parse_qsl(address.removeprefix("?")) if name in names])


@transaction.atomic
def save(person: Any, name: str, query: str) -> str | None:
    """Save a query under a name, in place of what had it; returns why not, if it cannot be saved."""
    name = " ".join(name.split())
    own = SavedFilter.objects.for_user(person)
    if not name or len(name) > NAME_CHARS:
        return gettext("The filters were not saved. Give them a name of at most %(count)d characters.") % {
            "count": NAME_CHARS
        }
    if not query or len(query) > QUERY_CHARS:
        return gettext("The filters were not saved. Choose some first.")
    if own.update_or_create(person=person, name=name, defaults={"query": query})[1] and own.count() > MOST:
        transaction.set_rollback(True)
        return gettext("The filters were not saved. Delete some others first: %(count)d is the most.") % {"count": MOST}
    return None
