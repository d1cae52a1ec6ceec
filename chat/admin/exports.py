"""Files of conversations in the administration: sent at once, or made in the background and fetched later."""

from collections.abc import AsyncIterator
from itertools import accumulate
from typing import Any, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from chat import audit, exports
from chat.admin import reasons
from chat.admin.files import attachment
from chat.admin.lookups import NamedLookups
from chat.admin.read_only import ReadOnly
from chat.admin.reading import may_read
from chat.database import in_thread
from chat.exports import FORMATS, admit, pieces, read_messages
from chat.live import read_live
from chat.models import AuditRecord, Conversation, Export, ExportPart, Job, Message, User
from chat.process import Process

# A file with more messages takes minutes, or half a minute at least.
MANY = 20_000
# A person can have so many files in the background, made or to be made.
MOST = 10


def answer(request: HttpRequest, listed: QuerySet[Conversation], suffix: str) -> HttpResponseBase:
    """The file with these conversations, the first begun first; before a large one, the question how to make it."""
    user = cast("User", request.user)
    export = Export(
        person=user,
        suffix=suffix,
        query=_query(request),
        reason=reasons.reason_of(request),
        address=request.META.get("REMOTE_ADDR") or "",
    )
    how = request.POST.get("how")
    if how == "background":
        return _make_later(request, export, listed)
    if how != "now" and _is_large(listed):
        context = {**admin.site.each_context(request), "title": gettext("A large export")}
        return TemplateResponse(request, "admin/chat/export/large.html", {**context, "export": export, "many": MANY})
    audit.record(AuditRecord.Action.EXPORTED, request, detail=export.detail, reason=export.reason)
    return attachment(_parts(request, export, listed), "conversations", suffix, FORMATS[suffix].incomplete)


def _query(request: HttpRequest) -> str:
    """The filters and the words; all pages of the list are in the file."""
    asked = request.GET.copy()
    asked.pop(PAGE_VAR, None)
    return asked.urlencode()


def _is_large(listed: QuerySet[Conversation]) -> bool:
    """Whether there are many messages, by as few rows as tell."""
    counts = listed.order_by().values_list("message_count", flat=True)[: MANY + 1]
    return any(total > MANY for total in accumulate(counts.iterator()))


def _make_later(request: HttpRequest, export: Export, listed: QuerySet[Conversation]) -> HttpResponse:
    address = reverse("admin:chat_export_changelist")
    if Export.objects.for_user(request.user).count() >= MOST:
        sentence = gettext("You have %(most)d exports already. Delete one of them, then ask again.") % {"most": MOST}
        messages.warning(request, sentence)
        return HttpResponseRedirect(address)
    detail = f"asked for in the background: {export.detail}"
    audit.record(AuditRecord.Action.EXPORTED, request, detail=detail, reason=export.reason)
    export.ask(listed.order_by("pk").values_list("pk", "message_count").iterator())
    messages.success(request, gettext("The file is being made. You can leave this page and come back."))
    return HttpResponseRedirect(address)


async def _parts(request: HttpRequest, export: Export, listed: QuerySet[Conversation]) -> AsyncIterator[str]:
    """The file in pieces. Each batch takes its turn among the reviewer's pages."""
    process, reader = Process.of(request), cast("User", request.user)

    async def read(conversation: Conversation, after: Message | None) -> list[Message]:
        async with process.shares.page(reader):
            some = await in_thread(read_messages)(conversation, after)
            await read_live(process.log, some)
        return some

    yield FORMATS[export.suffix].header
    last: UUID | None = UUID(int=0)
    while last:
        async with process.shares.page(reader):
            last, some = await in_thread(_admit)(export, listed, last)
        for conversation in some:
            async for text, _messages in pieces(export.suffix, conversation, read):
                yield text


def _admit(export: Export, listed: QuerySet[Conversation], after: UUID) -> tuple[UUID | None, list[Conversation]]:
    """The next conversations, once it is recorded that they are exported, and the last id; none after all others."""
    # By their ids, as their activity changes meanwhile, and they are not found twice or never.
    following = listed.order_by("pk").filter(pk__gt=after)
    ids = list(following.values_list("pk", flat=True)[: exports.CONVERSATIONS])
    return ids[-1] if ids else None, admit(export, ids)


class ExportList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        by_subject = {str(export.pk): export for export in self.result_list}
        jobs = Job.objects.filter(kind=Job.Kind.EXPORT, subject__in=by_subject)
        processes = dict(jobs.values_list("subject", "process"))
        for subject, export in by_subject.items():
            if export.finished:
                export.state = "ready"
            elif subject in processes:
                export.state = "running" if processes[subject] else "queued"
            else:
                export.state = "failed"


@admin.register(Export)
class ExportAdmin(NamedLookups, ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    """A person's own files. Nobody sees those of others."""

    list_display = ["what", "status", "acts", "bytes", "asked", "expires"]
    list_display_links = None
    ordering = ["-asked"]
    sortable_by = ()
    actions = None
    fields = ["asked", "what", "expires"]
    readonly_fields = ["what"]

    class Media:
        css = {"all": ["css/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Export]:
        return Export.objects.for_user(request.user).defer("conversations").order_by(*self.ordering)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ExportList]:
        return ExportList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "title": gettext("Exports")})

    def has_view_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        return request.user.has_perm("chat.view_conversation") and may_read(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @admin.display(description=_("file"))
    def what(self, export: Export) -> SafeString:
        """Its format, and the list that it was made of."""
        address = f"{reverse('admin:chat_conversation_changelist')}?{export.query}"
        filters = export.detail.partition(": ")[2] or gettext("all conversations")
        return format_html('{}: <a href="{}">{}</a>', export.get_suffix_display(), address, filters)

    @admin.display(description=_("status"))
    def status(self, export: Export) -> SafeString:
        return render_to_string("admin/chat/export/_status.html", {"export": export})

    @admin.display(description=_("size"))
    def bytes(self, export: Export) -> str | None:
        return filesizeformat(export.size) if export.finished else None

    @admin.display(description=_("what to do"))
    def acts(self, export: Export) -> SafeString:
        return render_to_string("admin/chat/export/_acts.html", {"export": export})

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("<uuid:pk>/file/", self.fetch, name="chat_export_file"),
            path("<uuid:pk>/cancel/", self.cancel, name="chat_export_cancel"),
        ]
        for url in own:
            url.callback = self.admin_site.admin_view(url.callback)
        return [*own, *super().get_urls()]

    @method_decorator(require_GET)
    def fetch(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """The file, for whoever has asked for it and may still read all that is in it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        export = get_object_or_404(Export.objects.for_user(request.user).exclude(finished=None), pk=pk)
        if reasons.is_missing(request):
            return reasons.ask_first(request)
        if not export.may_be_fetched_by(cast("User", request.user)):
            sentence = _("This file has conversations that you may no longer see. Delete it, and make a new one.")
            messages.error(request, sentence)
            return HttpResponseRedirect(reverse("admin:chat_export_changelist"))
        detail, reason = f"fetched: {export.detail}", reasons.reason_of(request)
        audit.record(AuditRecord.Action.EXPORTED, request, detail=detail, reason=reason)
        return attachment(_stored(request, export), "conversations", export.suffix, FORMATS[export.suffix].incomplete)

    @method_decorator(require_POST)
    def cancel(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        export = get_object_or_404(Export.objects.for_user(request.user), pk=pk)
        Export.objects.filter(pk=export.pk).cancel()
        sentence = gettext("The file is deleted.") if export.finished else gettext("The export is cancelled.")
        self.message_user(request, sentence, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:chat_export_changelist"))


async def _stored(request: HttpRequest, export: Export) -> AsyncIterator[str]:
    for number in range(export.parts):
        async with Process.of(request).shares.page(cast("User", request.user)):
            text = await in_thread(_part)(export, number)
        yield text


def _part(export: Export, number: int) -> str:
    if User.reader_now(export.person_id) is None:
        raise PermissionDenied
    return ExportPart.objects.get(export=export, number=number).text
