"""The ledger in the administration: what each person has used of each model on each day, and the same as a file."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import InvalidPage, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat import audit
from chat.admin.files import attachment, filtered
from chat.admin.filters import ModelFilter, OwnerFilter, PeriodFilter
from chat.admin.lookups import NamedLookups
from chat.admin.read_only import ReadOnly
from chat.database import in_thread
from chat.documents import INCOMPLETE
from chat.forms import grouped
from chat.models import AuditRecord, LedgerEntry, User
from chat.models.ledger import LedgerQuerySet
from chat.spreadsheets import row

# So many requests are added up at the same time. A link leads to the days before them.
MOST = 5000
COLUMNS = ["day", "person", "model", "requests", "input_tokens", "output_tokens"]


class AskedFilter(PeriodFilter):
    title = _("days")
    field = "asked"


class PersonFilter(OwnerFilter):
    title = _("person")
    parameter_name = "person"

    def filter(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(person__in=User.objects.filter(username=value))


class AnsweringFilter(ModelFilter):
    def filter(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(model=value)


class Ledger(ChangeList):
    """Pages of the newest days of what is filtered."""

    def get_results(self, request: HttpRequest) -> None:
        self.days = cast("LedgerQuerySet", self.queryset).newest_days(MOST)
        self.paginator = Paginator(self.days.sums, self.list_per_page)
        try:
            self.result_list = list(self.paginator.page(self.page_num).object_list)
        except InvalidPage:
            raise IncorrectLookupParameters from None
        self.result_count = len(self.days.sums)
        self.multi_page = self.result_count > self.list_per_page
        self.show_full_result_count = self.show_admin_actions = self.can_show_all = False
        self.full_result_count = None

    @property
    def older(self) -> str | None:
        """The query for the days before these."""
        if self.days.begin is None:
            return None
        return self.get_query_string(
            {"until": str(timezone.localdate(self.days.begin) - timedelta(days=1))}, [PAGE_VAR]
        )


@admin.register(LedgerEntry)
class LedgerAdmin(NamedLookups, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    """Read-only, for whoever may see conversations; limits of reviewers hold here, too."""

    list_display = ["on", "who", "what", "requests", "tokens_in", "tokens_out"]
    list_display_links = None
    list_filter = [AskedFilter, PersonFilter, AnsweringFilter]
    lookups = frozenset({*AskedFilter.names, PersonFilter.parameter_name, AnsweringFilter.parameter_name})
    ordering = ["-asked"]
    sortable_by = ()
    actions = None
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["css/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerEntry]:
        return LedgerEntry.objects.for_reviewer(cast("User", request.user)).order_by(*self.ordering)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Ledger]:
        return Ledger

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "title": gettext("Ledger")})

    def has_view_permission(self, request: HttpRequest, obj: LedgerEntry | None = None) -> bool:
        return request.user.has_perm("chat.view_conversation")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @admin.display(description=_("day"))
    def on(self, entry: LedgerEntry) -> Any:
        return entry.day

    @admin.display(description=_("person"))
    def who(self, entry: LedgerEntry) -> SafeString | str:
        return _all_with(entry.name, person=entry.name) if entry.name else gettext("Deleted account")

    @admin.display(description=_("model"))
    def what(self, entry: LedgerEntry) -> SafeString:
        return _all_with(entry.model, model=entry.model)

    @admin.display(description=_("requests"))
    def requests(self, entry: LedgerEntry) -> str:
        return grouped(entry.requests)

    @admin.display(description=_("tokens read"))
    def tokens_in(self, entry: LedgerEntry) -> str | None:
        return _known(entry.input_tokens)

    @admin.display(description=_("tokens written"))
    def tokens_out(self, entry: LedgerEntry) -> str | None:
        return _known(entry.output_tokens)

    def get_urls(self) -> list[URLPattern]:
        export = path("export.csv", self.admin_site.admin_view(self.export), name="chat_ledgerentry_export")
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """What the filters show, without the limit of the list."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = cast("LedgerQuerySet", filtered(self, request))
        asked = " ".join(f"{name}={value}" for name, value in request.GET.items())
        audit.record(AuditRecord.Action.EXPORTED, request, detail=f"ledger, csv: {asked}")
        return attachment(_lines(rows), "ledger", "csv", lambda: row([INCOMPLETE]))


def _known(tokens: int | None) -> str | None:
    return None if tokens is None else grouped(tokens)


def _all_with(text: str, **filters: str) -> SafeString:
    """A link to all that has the same."""
    address = f"{reverse('admin:chat_ledgerentry_changelist')}?{urlencode(filters)}"
    return format_html('<a href="{}">{}</a>', address, text)


async def _lines(rows: LedgerQuerySet) -> AsyncIterator[str]:
    """The file in pieces."""
    yield row(COLUMNS)
    days = await in_thread(rows.newest_days)(MOST)
    while True:
        yield "".join(map(_line, days.sums))
        if days.begin is None:
            return
        days = await in_thread(rows.filter(asked__lt=days.begin).newest_days)(MOST)


def _line(entry: LedgerEntry) -> str:
    name = entry.name or gettext("Deleted account")
    return row([entry.day, name, entry.model, entry.requests, entry.input_tokens or 0, entry.output_tokens or 0])
