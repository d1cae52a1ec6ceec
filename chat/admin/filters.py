"""What the list of conversations is filtered by, as it offers that; chat/conditions.py says what each value means."""

from collections.abc import Container, Iterator
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat import sentences
from chat.conditions import CONDITIONS, NOBODY
from chat.days import midnight
from chat.forms import PeriodForm
from chat.models import Conversation, Reply, Review, ReviewLabel, ReviewLimit, Searchable, User
from chat.models.searchable import key_at
from chat.process import Process
from chat.search import END


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
        yield {
            "others": others(changelist, [self.parameter_name]),
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
        known = ReviewLimit.groups_of(cast("User", request.user)).filter(user__isnull=False)
        names = {*known.values_list("name", flat=True), request.GET.get(self.parameter_name, "")}
        return [(name, name) for name in sorted(names - {""})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # Otherwise the list would tell who is in a group that the reviewer may not know of.
        known = ReviewLimit.groups_of(cast("User", request.user)).filter(name=self.value())
        return super().queryset(request, queryset) if not self.value() or known.exists() else queryset.none()


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
        return [(NOBODY, gettext("Nobody")), *((name, name) for name in sorted(names))]


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


class PeriodFilter(admin.ListFilter):
    """From one day to another, by a form with two fields. Days that make no sense leave nothing."""

    title = _("days of last activity")
    template = "admin/chat/conversation/_period_filter.html"
    field = "updated"
    names = ("since", "until")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Any], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        asked = {name: params.pop(name)[-1] for name in self.names if name in params}
        self.used_parameters = {name: value for name, value in asked.items() if value}
        self.form = PeriodForm(self.used_parameters, auto_id="period-%s", label_suffix="")

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.names)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """A single one, for the template: what else is in the address, and how to leave the days out."""
        yield {
            "others": others(changelist, self.names),
            "clear": changelist.get_query_string({}, self.names) if self.used_parameters else "",
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.form.is_valid():
            return queryset.none()
        if since := self.form.cleaned_data["since"]:
            queryset = queryset.filter(**{f"{self.field}__gte": midnight(since)})
        if end := end_of(self.form):
            queryset = queryset.filter(**{f"{self.field}__lt": end})
        return queryset


def end_of(form: PeriodForm) -> datetime | None:
    """When the last day of a valid form is over."""
    until = form.cleaned_data["until"]
    return midnight(until + timedelta(days=1)) if until else None


def others(changelist: Any, names: Container[str]) -> list[tuple[str, str]]:
    """What else is in the address of a list than these parameters."""
    params = changelist.filter_params.items()
    return [(name, value) for name, values in params if name not in names for value in values]


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
        return _after(queryset, *place) if place else queryset


class BelowFilter(Filter):
    """Which of the texts that a search finds come next; only there once a reviewer has asked for older ones.

    It leaves out no conversation: the list looks for texts from there on.
    """

    title = _("texts found")
    parameter_name = "below"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(self.parameter_name, "")
        if (key := _key(value)) == END:
            return []
        return [(value, gettext("Before %(time)s") % {"time": moment_of(key)})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


def searched(request: HttpRequest) -> dict[str, Any]:
    """Where the index has the texts of the conversations that an address filters, as `for_staff` takes it.

    What was written after the last day is no text of those days.
    """
    before, owner = END, None
    form = PeriodForm(request.GET)
    if form.is_valid() and (end := end_of(form)):
        before = key_at(end)
    if name := request.GET.get(OwnerFilter.parameter_name):
        owner = User.objects.filter(username=name).values_list("pk", flat=True).first()
    return {"owner": owner, "before": before}


def below(request: HttpRequest) -> int:
    """The key of a text before which a search goes on."""
    return _key(request.GET.get(BelowFilter.parameter_name, ""))


def moment_of(key: int) -> str:
    """When a text with this key was written, for people."""
    return format_date(timezone.localtime(Searchable(pk=key).created), gettext("N j, Y, P"))


def _key(value: str) -> int:
    is_key = value.isascii() and value.isdecimal() and len(value) <= len(str(END))
    return min(int(value), END) if is_key else END


def after(listed: QuerySet[Conversation], conversation: Conversation) -> QuerySet[Conversation]:
    """What comes after a conversation, which need not be there itself, in a list by the last activity."""
    return _after(listed, conversation.updated, conversation.pk)


def ahead(listed: QuerySet[Conversation], conversation: Conversation) -> QuerySet[Conversation]:
    """What comes ahead of it, the nearest first."""
    updated, pk = conversation.updated, conversation.pk
    return listed.filter(updated__gte=updated).exclude(updated=updated, pk__lte=pk).order_by("updated", "pk")


def _after(listed: QuerySet[Any], updated: datetime, pk: UUID) -> QuerySet[Any]:
    return listed.filter(updated__lte=updated).exclude(updated=updated, pk__gte=pk)


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
