"""The list of conversations and the page of each. People read and delete here, and change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypedDict

from asgiref.sync import sync_to_async
from django.contrib import admin, messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat import audit, sentences
from chat.admin.lookups import NamedLookups
from chat.admin.reading import Action, reading
from chat.admin.transcripts import transcript
from chat.database import retry_on_deadlock
from chat.models import Conversation, Message, QueuedQuestion, Reply, User
from chat.process import Process
from chat.search import NotSearchable, conversations

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class Annotations(TypedDict):
        last_status: str | None

    type Listed = WithAnnotations[Conversation, Annotations]


def _with_transcript(change_view: Callable[..., HttpResponse]) -> Callable[..., Awaitable[HttpResponse]]:
    """Django's page of a conversation with its messages.

    It is asynchronous, so that it keeps no thread from other requests while it waits for the HTML of answers.
    """

    @wraps(change_view)
    async def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = await sync_to_async(change_view)(request, *args, **kwargs)
        # A conversation that does not exist answers with a redirect instead.
        if isinstance(response, TemplateResponse) and response.context_data:
            conversation, number = response.context_data["original"], request.GET.get(PAGE_VAR, "1")
            response.context_data |= await transcript(Process.of(request), conversation, number)
        return response

    return page


class StatusFilter(admin.SimpleListFilter):
    title = _("status of the reply on screen")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, str(status.label)) for status in Reply.Status]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(last_status=self.value()) if self.value() else queryset


class FeedbackFilter(admin.SimpleListFilter):
    """What people think of at least one of the answers."""

    title = _("feedback")
    parameter_name = "feedback"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(feedback.value, str(feedback.label)) for feedback in Reply.Feedback]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        judged = Reply.objects.exclude(feedback="").filter(feedback=self.value())
        return queryset.filter(pk__in=judged.values("message__conversation")) if self.value() else queryset


class ModelFilter(admin.SimpleListFilter):
    """The models that can be chosen now. Finding all that were ever used would read the whole table."""

    title = _("model")
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Process.of(request).catalog.names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(model=self.value()) if self.value() else queryset


class TrashFilter(admin.SimpleListFilter):
    title = _("trash")
    parameter_name = "trash"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in", gettext("In the trash")), ("out", gettext("Not in the trash"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(trashed__isnull=self.value() == "out") if self.value() else queryset


@admin.register(Conversation)
class ConversationAdmin(NamedLookups, admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    list_display = ["title", "last_status", "owner", "model", "message_count", "updated"]
    list_select_related = ["owner"]
    list_filter = ["updated", StatusFilter, FeedbackFilter, ModelFilter, TrashFilter]
    lookups = frozenset({"updated__gte", "updated__lt", "status", "feedback", "model", "trash"})
    ordering = ["-updated"]
    # It would count all rows, besides those that are found.
    show_full_result_count = False
    # A non-empty list enables the search box; get_search_results does the searching.
    search_fields = ["title"]
    search_help_text = _(
        "Finds the conversations of the newest 200 texts that have every word: titles, messages and queued questions. "
        'The last word may be a part, "words in quotes" stand together, -word leaves out. The name and the address of '
        "the owner count as words."
    )
    fields = [("owner", "model", "message_count", "created", "updated", "trashed", "last_status")]
    readonly_fields = ["message_count", "created", "updated", "trashed", "last_status"]
    # Only its owner can open its page in the chat.
    view_on_site = False

    class Media:
        css = {"all": ["css/message.css", "css/prose.css", "css/code.css", "css/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        listed: QuerySet[Conversation] = super().get_queryset(request)
        return listed.annotate(
            # While a person compares two answers, the leaf is their question.
            last_status=Coalesce("leaf__reply__status", "leaf__comparison__second__reply__status"),
        )

    @admin.display(description=_("status"), ordering="last_status")
    def last_status(self, conversation: Listed) -> SafeString | None:
        marks: list[tuple[str, Any]] = []
        if conversation.last_status:
            status = Reply.Status(conversation.last_status)
            marks.append((status.value, status.label))
        if conversation.trashed:
            marks.append(("trashed", gettext("In the trash")))
        return format_html_join(" ", '<span class="status status--{}">{}</span>', marks) or None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        if not search_term:
            return queryset, False
        try:
            return conversations(queryset, search_term), False
        except NotSearchable as refusal:
            self.message_user(request, sentences.search(refusal.code), messages.WARNING)
            return queryset.none(), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        action = Action.SEARCHED if request.GET.get(SEARCH_VAR) else Action.LISTED
        return reading(action, request, partial(super().changelist_view, request, extra_context))

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return reading(Action.READ, request, partial(super().change_view, request, *args, **kwargs))

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return reading(Action.LISTED, request, partial(super().delete_view, request, *args, **kwargs))

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return reading(Action.LISTED, request, partial(super().history_view, request, *args, **kwargs))

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        for url in urls:
            if url.name == "chat_conversation_change":
                url.callback = _with_transcript(url.callback)
        return urls

    def get_deleted_objects(
        self, objs: Sequence[Conversation] | QuerySet[Conversation], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Titles and figures. Django's own list names each row and loads all texts for that."""
        figures = {
            gettext("conversations"): len(objs),
            gettext("messages"): Message.objects.filter(conversation__in=objs).count(),
            gettext("queued questions"): QueuedQuestion.objects.filter(after__conversation__in=objs).count(),
        }
        return list(map(str, objs)), figures, set(), []

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        self.delete_queryset(request, Conversation.objects.filter(pk=obj.pk))

    @retry_on_deadlock
    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        # Otherwise the deletion and a commit of replies that are being written could wait for each other.
        User.change_list(*queryset.order_by().values_list("owner", flat=True).distinct())
        Reply.objects.filter(message__conversation__in=queryset).lock()
        erased = Conversation.objects.filter(pk__in=queryset.order_by().values("pk")).erase()
        audit.append(*(audit.new(Action.ERASED, request, conversation=conversation) for conversation in erased))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False
