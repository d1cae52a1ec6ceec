"""What the list of conversations is filtered by, as it offers that; chat/conditions.py says what each value means."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat import sentences
from chat.conditions import CONDITIONS
from chat.models import Conversation, Reply, Review, ReviewLabel, ReviewLimit, User
from chat.process import Process


class Filter(admin.SimpleListFilter):
    """By the value of one parameter of the address."""

    parameter_name: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return self.filter(queryset, value) if value else queryset

    def filter(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return CONDITIONS[self.parameter_name](queryset, value)


class FieldFilter(Filter):
    """A form with one field, for a value of which there are too many to list."""

    template = "admin/chat/conversation/_field_filter.html"

    def choices(self, changelist: Any) -> Iterator[Any]:
        """A single one, for the template: what else is in the address, and what there is to choose."""
        others = [
            (name, value)
            for name, values in changelist.filter_params.items()
            if name != self.parameter_name
            for value in values
        ]
        yield {
            "others": others,
            "lookups": self.lookup_choices,
            "clear": changelist.get_query_string({}, [self.parameter_name]),
        }


class OwnerFilter(FieldFilter):
    title = _("owner")
    parameter_name = "owner"
    # Where the names of people come from while a reviewer types.
    names_url = "admin:chat_conversation_owners"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "")]


class GroupFilter(Filter):
    title = _("group of the owner")
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        people = ReviewLimit.people_of(cast("User", request.user))
        groups = Group.objects.filter(user__in=people).distinct().values_list("name", flat=True)
        names = {*groups, request.GET.get(self.parameter_name, "")}
        return [(name, name) for name in sorted(names - {""})]


class StatusFilter(Filter):
    title = _("status of any reply")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, str(status.label)) for status in Reply.Status]


class ErrorFilter(FieldFilter):
    title = _("kind of error")
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in sentences.codes()]


class FeedbackFilter(Filter):
    """What people think of at least one of the answers."""

    title = _("feedback")
    parameter_name = "feedback"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(feedback.value, str(feedback.label)) for feedback in Reply.Feedback]


class ModelFilter(Filter):
    """The models that can be chosen now. Finding all that were ever used would read the whole table."""

    title = _("model")
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Process.of(request).catalog.names]


class TrashFilter(Filter):
    title = _("trash")
    parameter_name = "trash"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in", gettext("In the trash")), ("out", gettext("Not in the trash"))]


class ReviewFilter(Filter):
    title = _("review")
    parameter_name = "review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in Review.State]


class ReviewerFilter(FieldFilter):
    """Who reviews them."""

    title = _("reviewer")
    parameter_name = "reviewer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        having = User.objects.filter(Exists(Review.objects.filter(assignee=OuterRef("pk"))))
        names = {*having.values_list("username", flat=True), request.user.get_username()}
        return [(name, name) for name in sorted(names)]


class ReviewLabelFilter(FieldFilter):
    """A label may tell of the text, so it is for those who may read that."""

    title = _("label of reviewers")
    parameter_name = "label"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        labels = ReviewLabel.objects.for_reviewer(cast("User", request.user))
        return [(name, name) for name in labels.values_list("name", flat=True)]


class FlagFilter(Filter):
    """By flags of reviewers and reports of people which nobody has settled."""

    title = _("flags and reports")
    parameter_name = "flagged"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", gettext("Flagged or reported")), ("report", gettext("Reported by their owner"))]


EVERY: list[type[Filter]] = [
    StatusFilter,
    ErrorFilter,
    FeedbackFilter,
    FlagFilter,
    ReviewFilter,
    ReviewerFilter,
    ReviewLabelFilter,
    OwnerFilter,
    GroupFilter,
    ModelFilter,
    TrashFilter,
]


class BeforeFilter(Filter):
    """What comes after a certain conversation in the list; only there once a reviewer has asked for older ones."""

    title = _("place in the list")
    parameter_name = "before"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(self.parameter_name, "")
        place = _place(value)
        if place is None:
            return []
        moment = format_date(place[0], gettext("N j, Y, P"))
        return [(value, gettext("Before %(time)s") % {"time": moment})]

    def filter(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        place = _place(value)
        if place is None:
            return queryset
        updated, pk = place
        return queryset.filter(updated__lte=updated).exclude(updated=updated, pk__gte=pk)


def before(conversation: Conversation) -> dict[str, str]:
    """The parameter of an address for the conversations after this one."""
    return {BeforeFilter.parameter_name: f"{conversation.updated.isoformat()}_{conversation.pk}"}


def _place(value: str) -> tuple[datetime, UUID] | None:
    moment, _sign, pk = value.partition("_")
    try:
        updated, key = parse_datetime(moment), UUID(pk)
        # Not every time zone has the first and the last day that there is.
        return (timezone.localtime(updated), key) if updated and timezone.is_aware(updated) else None
    except (ValueError, OverflowError):
        return None
