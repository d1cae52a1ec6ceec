"""Conditions on conversations: what the administration's list is filtered by, and what rules of queues choose by.

Each takes the value of the list's parameter of that name. It uses an index, or walks through the list.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from chat.models import Conversation, Remark, Reply, Review, ReviewLabelling, User
from chat.models.summaries import ending, has_line

type Condition = Callable[[QuerySet[Any], str], QuerySet[Any]]

# A reply with an error has ended in one of these ways.
WITH_ERROR = {*ending(Reply.Status.FAILED), *ending(Reply.Status.INTERRUPTED)}

# In place of a reviewer's name. No name has parentheses.
NOBODY = "(nobody)"


def _status(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    if value in Reply.RUNNING:
        running = Reply.objects.running().filter(status=value)
        return rows.filter(pk__in=running.values("message__conversation"))
    return rows.filter(statuses__in=ending(value))


def _error(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    return rows.filter(has_line("errors", value), statuses__in=sorted(WITH_ERROR))


def _feedback(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    # The summary has a count of each.
    return rows.filter(**{f"{value}__gt": 0}) if value in Reply.Feedback else rows.none()


def _flagged(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    return rows.filter(pk__in=Remark.objects.open_as(value).values("conversation"))


def _review(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    if value == Review.State.NEW:
        begun = Review.objects.filter(conversation=OuterRef("pk")).exclude(state=value)
        return rows.filter(~Exists(begun))
    return rows.filter(pk__in=Review.objects.filter(state=value).values("pk"))


def _reviewer(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    if value == NOBODY:
        return rows.filter(~Exists(Review.objects.filter(conversation=OuterRef("pk"), assignee__isnull=False)))
    return rows.filter(pk__in=Review.objects.filter(assignee__username=value).values("pk"))


def _label(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    return rows.filter(pk__in=ReviewLabelling.objects.filter(label__name=value).values("review"))


def _owner(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    return rows.filter(owner__in=User.objects.filter(username=value))


def _group(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    return rows.filter(owner__in=User.objects.filter(groups__name=value))


def _model(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    # The model that writes the first reply is in no summary yet.
    return rows.filter(Q(model=value) | Q(has_line("models_used", value)))


def _trash(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    if value == "out":
        return rows.filter(trashed=None)
    # By their ids: SQLite would rather walk through the whole list.
    return rows.filter(pk__in=Conversation.objects.filter(trashed__isnull=False).values("pk"))


CONDITIONS: dict[str, Condition] = {
    "status": _status,
    "error": _error,
    "feedback": _feedback,
    "flagged": _flagged,
    "review": _review,
    "reviewer": _reviewer,
    "label": _label,
    "owner": _owner,
    "group": _group,
    "model": _model,
    "trash": _trash,
}
