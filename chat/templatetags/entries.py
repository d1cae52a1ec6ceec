"""Entries of the history, for templates."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from django import template
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

register = template.Library()

# So many entries are kept, of a kilobyte each.
KEPT = 4096


@register.simple_tag
def entry(conversation: Any, query: str) -> SafeString:
    """The entry of a conversation that `chat/views/history.py` lists, whose link has this query."""
    return _entry(
        conversation.pk,
        conversation.title,
        conversation.pinned,
        conversation.place,
        conversation.mark,
        conversation.is_open,
        tuple(conversation.label_names),
        query,
    )


# A page has 40 of them and asks for all again when one has changed.
@lru_cache(KEPT)
def _entry(
    pk: UUID, title: str, pinned: bool, place: str, mark: str, is_open: bool, labels: tuple[str, ...], query: str
) -> SafeString:
    shown = {"pk": pk, "title": title, "pinned": pinned, "place": place, "mark": mark, "is_open": is_open}
    url = reverse("conversation", args=[pk])
    return render_to_string("chat/_entry.html", {**shown, "labels": labels, "query": query, "url": url})
