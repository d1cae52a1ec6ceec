"""Which lookups an address may filter a list by."""

from collections.abc import Set
from typing import Any

from django.http import HttpRequest


class NamedLookups:
    """Comes before a ModelAdmin: its list takes the lookups of its own filters from the address and no others.

    Django takes any lookup on any local column. A regular expression can keep a process busy for ever, and other
    lookups let people guess at columns that no page shows.
    """

    lookups: Set[str] = frozenset()

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in self.lookups
