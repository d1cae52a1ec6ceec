"""The audit record in the admin: a list with filters, and the same as a file. Nobody changes anything here."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import reduce
from ipaddress import ip_address
from operator import or_
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Max, Q, QuerySet
from django.http import Http404, HttpRequest, QueryDict, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.admin.files import attachment, filtered
from chat.admin.lookups import NamedLookups
from chat.admin.read_only import ReadOnly
from chat.admin.reading import asked_for
from chat.audit import record
from chat.database import in_thread
from chat.documents import INCOMPLETE, encode
from chat.models import AuditRecord, User
from chat.spreadsheets import row

# Records of an export that are in memory at the same time.
BATCH = 1000
FIELDS = [field.attname for field in AuditRecord._meta.concrete_fields]


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # It takes none at run time.
    """Pages of the first 10,000 rows at most. Counting all of them would read the whole table."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: self.most].count()


@admin.register(AuditRecord)
class AuditRecordAdmin(NamedLookups, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    list_display = ["number", "at", "action", "by", "owner", "what"]
    list_filter = ["time", "action"]
    lookups = frozenset({"time__gte", "time__lt", "action__exact", "by_id", "owner_id", "conversation"})
    ordering = ["-number"]
    sortable_by = ()
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_max_show_all = 0
    actions = None
    fields = [{"time": "at"}.get(name, name) for name in FIELDS]
    readonly_fields = ["at"]
    # A non-empty list enables the search box; get_search_results does the searching.
    search_fields = ["number"]
    search_help_text = _(
        "Finds records by the whole name of whoever acted or whose text it was, by an IP address, or by the id of a "
        "conversation. The list ends after 10,000 records: choose a shorter time, or export all."
    )

    class Media:
        css = {"all": ["css/admin.css"]}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditRecord], search_term: str
    ) -> tuple[QuerySet[AuditRecord], bool]:
        alternatives = _meant(search_term.strip())
        if not alternatives:
            return queryset, False
        # A person may be in all records. Each index gives the newest ones at once; a condition with OR would sort all.
        newest = queryset.order_by("-number").values("number")
        found = (Q(number__in=newest.filter(each)[: CappedPaginator.most]) for each in alternatives)
        return AuditRecord.objects.filter(reduce(or_, found)).order_by("-number"), False

    @admin.display(description=_("time"))
    def at(self, entry: AuditRecord) -> str:
        # Much happens within a minute.
        return format_date(timezone.localtime(entry.time), gettext("N j, Y, g:i:s a"))

    @admin.display(description=_("by"))
    def by(self, entry: AuditRecord) -> SafeString | str:
        return _all_with(entry.by_name, by_id=entry.by_id) if entry.by_id else ""

    @admin.display(description=_("owner"))
    def owner(self, entry: AuditRecord) -> SafeString | str:
        return _all_with(entry.owner_name, owner_id=entry.owner_id) if entry.owner_id else ""

    @admin.display(description=_("details"))
    def what(self, entry: AuditRecord) -> SafeString:
        """The conversation, what was asked for or changed, the reason and the address, each on a line of its own."""
        conversation = str(entry.conversation or "")
        lines = [
            _all_with(f"…{conversation[-12:]}", conversation=conversation) if conversation else "",
            entry.detail,
            f"“{entry.reason}”" if entry.reason else "",
            entry.address,
        ]
        return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in lines if line))

    def get_urls(self) -> list[URLPattern]:
        export = path("export.<slug:suffix>", self.admin_site.admin_view(self.export), name="chat_auditrecord_export")
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest, suffix: str) -> StreamingHttpResponse:
        """What the list shows, the oldest first, without its limit. The export is recorded, too."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if suffix not in FORMATS:
            raise Http404
        detail = f"audit record, {suffix}: {asked_for(request)}"
        # The search of the list has a limit.
        query = request.GET.copy()
        alternatives = _meant(query.pop(SEARCH_VAR, [""])[-1].strip())
        request.GET = QueryDict(query.urlencode())
        rows = filtered(self, request).order_by("number")
        newest = AuditRecord.objects.aggregate(newest=Max("number"))["newest"] or 0
        record(AuditRecord.Action.EXPORTED, request, detail=detail)
        begin, line = FORMATS[suffix]
        lines = _lines(rows.filter(number__lte=newest), alternatives, begin, line)
        return attachment(lines, "audit", suffix, lambda: f"{INCOMPLETE}\n")


def _all_with(text: str, **lookup: str) -> SafeString:
    """A link to all records that have the same."""
    query = urlencode(lookup)
    return format_html('<a href="{}?{}">{}</a>', reverse("admin:chat_auditrecord_changelist"), query, text)


def _meant(term: str) -> list[Q]:
    """What a search looks for: a conversation, an address, or else a person, whatever their name is now.

    Records meet one of these conditions, each of which has an index, but that on the address; none without a term.
    """
    if not term:
        return []
    with suppress(ValueError):
        return [Q(conversation=UUID(term))]
    with suppress(ValueError):
        return [Q(address=str(ip_address(term)))]
    present = User.objects.filter(username=term).values_list("pk", flat=True)
    deleted = AuditRecord.objects.filter(action=AuditRecord.Action.DELETED, owner_name=term)
    pks = [str(pk) for pk in (*present, *deleted.values_list("owner_id", flat=True))]
    return [Q(by_id__in=pks), Q(owner_id__in=pks)]


def _batch(rows: QuerySet[AuditRecord], alternatives: list[Q], after: int) -> list[AuditRecord]:
    """The next ones that meet one of the alternatives, if there are any."""
    following = rows.filter(number__gt=after)
    found = {entry.number: entry for each in alternatives or [Q()] for entry in following.filter(each)[:BATCH]}
    return [found[number] for number in sorted(found)[:BATCH]]


async def _lines(
    rows: QuerySet[AuditRecord], alternatives: list[Q], begin: str, line: Callable[[AuditRecord], str]
) -> AsyncIterator[str]:
    """The file in pieces."""
    last = -1
    yield begin
    while some := await in_thread(_batch)(rows, alternatives, last):
        yield "".join(map(line, some))
        last = some[-1].number


def _csv_line(entry: AuditRecord) -> str:
    return row(entry.time.isoformat() if name == "time" else getattr(entry, name) for name in FIELDS)


def _json_line(entry: AuditRecord) -> str:
    values = {name: getattr(entry, name) for name in FIELDS}
    values |= {"time": entry.time.isoformat(), "conversation": entry.conversation and str(entry.conversation)}
    return f"{encode(values)}\n"


# By the end of the file's name: its beginning, and a record in it.
FORMATS: dict[str, tuple[str, Callable[[AuditRecord], str]]] = {
    "csv": (row(FIELDS), _csv_line),
    "jsonl": ("", _json_line),
}
