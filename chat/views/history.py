"""The history: a person's conversations in the sidebar, in groups, a batch at a time."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.utils import dateformat, timezone, translation
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext

from chat.changes import number_of
from chat.models import Conversation, Label, Labelling, Reply
from chat.models.conversations import Place
from chat.models.labels import LabelName
from chat.views.problems import SignedInRequest

# The sidebar is loaded in batches of this many conversations.
BATCH = 40
# It is renewed with at most this many at once.
MOST = 500


def history(request: SignedInRequest, here: UUID | None = None) -> dict[str, Any]:
    """A batch of the sidebar, in groups with marks, and the query that leads to the next one.

    The conversation `here`, which is open, comes apart, before a first batch that does not have it. With `count` in its
    query, a page gets as many as it shows already. With `label`, only what has that label, if there is one; `filter` is
    the query for that. `running` is a number by which it learns that a reply has begun or ended.
    """
    before = _cursor(request.GET.get("before", ""))
    here = here or _id(request.GET.get("here", ""))
    count = max(BATCH, count_of(request.GET.get("count", ""), BATCH, MOST))
    # First: what begins meanwhile has another number, by which the page learns of it.
    running = Reply.objects.conversations_of(request.user.pk)
    labels = Label.objects.names(request.user.pk)
    label = chosen_label(request, labels)
    rows = Conversation.objects.for_user(request.user).listed(before).with_last_reply()
    if label:
        rows = rows.filter(pk__in=Labelling.objects.conversations(label.pk))
    rows = rows.only("pk", "title", "updated", "pinned", "seen", "owner_id")
    listed = list(rows[: count + 1])
    shown = listed[:count]
    is_missing = here and not before and here not in {conversation.pk for conversation in shown}
    apart = list(rows.filter(pk=here)) if is_missing else []
    Labelling.objects.show_on([*apart, *shown], [other for other in labels if other != label])
    for conversation in [*apart, *shown]:
        conversation.mark = "running" if conversation.pk in running else _mark(conversation)
        conversation.is_open = conversation.pk == here
        conversation.place = _place(conversation)
    for conversation in apart:
        # It is not where its time would put it.
        conversation.place = ""
    asked = {"label": str(label.pk)} if label else {}
    following = ""
    if len(listed) > count:
        last = shown[-1]
        following = urlencode({"before": f"{last.pinned:d}_{last.updated.isoformat()}_{last.pk}", **asked})
    open_now = [(gettext("Open now"), apart)] if apart else []
    return {
        "groups": [*open_now, *_groups(shown, before, request.user.date_language)],
        "is_apart": bool(apart),
        "next": following,
        "running": number_of(running),
        "labels": labels,
        "label": label,
        "filter": f"?{urlencode(asked)}" if label else "",
    }


def chosen_label(request: SignedInRequest, labels: list[LabelName]) -> LabelName | None:
    """The one that the query names, if it is among these."""
    return next((label for label in labels if str(label.pk) == request.GET.get("label")), None)


def _mark(conversation: Any) -> str:
    """What its person does not know yet of how the last reply ended. They know what they have stopped."""
    if not conversation.ended or conversation.ended <= conversation.seen:
        return ""
    return {Reply.Status.COMPLETE: "unseen", Reply.Status.STOPPED: ""}.get(conversation.status, "failed")


def count_of(value: str, default: int, most: int) -> int:
    """How many a query asks for, at most that many."""
    is_number = value.isascii() and value.isdecimal() and len(value) < 8
    return min(int(value), most) if is_number and int(value) else default


def _cursor(value: str) -> Place | None:
    """The place of a conversation in the list; None without a value."""
    if not value:
        return None
    try:
        pinned, updated, pk = value.split("_")
        moment = parse_datetime(updated)
        if moment is None or timezone.is_naive(moment):
            raise BadRequest
        # Near the ends of the calendar a moment may not exist in another time zone.
        _day(moment)
        return pinned == "1", moment.astimezone(UTC), UUID(pk)
    except (ValueError, OverflowError) as error:
        raise BadRequest from error


def _place(conversation: Conversation) -> str:
    """By which a page puts a conversation back where it was: a number that is the greater, the further up it is."""
    return f"{conversation.pinned:d}{conversation.updated.timestamp():.6f}"


def _id(value: str) -> UUID | None:
    """The id of a conversation; None without a value."""
    try:
        return UUID(value) if value else None
    except ValueError as error:
        raise BadRequest from error


def _day(moment: datetime) -> date:
    return timezone.localtime(moment).date()


def _groups(
    shown: Iterable[Conversation], before: Place | None, language: str
) -> Iterator[tuple[str, list[Conversation]]]:
    """Conversations that follow each other and have the same heading, with that."""
    known = _group(before[0], before[1], language) if before else None
    for group, conversations in groupby(shown, key=lambda each: _group(each.pinned, each.updated, language)):
        # The previous batch already shows the heading of its last group.
        yield "" if group == known else group, list(conversations)


def _group(pinned: bool, updated: datetime, language: str) -> str:
    """The heading of a conversation in the sidebar, with the months in this language or that of the page."""
    if pinned:
        return gettext("Pinned")
    day, today = _day(updated), timezone.localdate()
    match (today - day).days:
        case days if days <= 0:
            return gettext("Today")
        case 1:
            return gettext("Yesterday")
        case days if days <= 7:
            return gettext("Previous 7 days")
        case days if days <= 30:
            return gettext("Previous 30 days")
    # Django knows the words and the order of dates in each language.
    with translation.override(language or translation.get_language()):
        return dateformat.format(day, "F") if day.year == today.year else date_format(day, "YEAR_MONTH_FORMAT")
