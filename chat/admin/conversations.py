"""The list of conversations and the page of each. People read and delete here, and change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps
from typing import Any, Concatenate, cast
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib import admin, messages
from django.contrib.admin.options import ActionLocation
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from chat import audit
from chat.admin import exports, filters, queues, reasons, saved_filters, watching
from chat.admin.listing import (
    MOST,
    MOST_IN_FILE,
    ConversationList,
    TooManyFound,
    everything,
    neighbour,
    note_marks,
)
from chat.admin.lookups import NamedLookups
from chat.admin.marks import marking_panel
from chat.admin.reading import Action, may_read, reading, record_search
from chat.admin.remarks import show_remarks
from chat.admin.review import panel
from chat.admin.stops import FILTERS
from chat.admin.transcripts import opening, transcript
from chat.database import retry_on_deadlock
from chat.forms import grouped
from chat.models import Conversation, Export, Message, QueuedQuestion, Reply, Review, ReviewLimit, SavedFilter, User
from chat.process import Process
from chat.search import NotSearchable, Piece

# So many names of people are offered.
NAMES = 20


def _with_transcript(change_view: Callable[..., HttpResponse]) -> Callable[..., Awaitable[HttpResponse]]:
    """Django's page of a conversation with its messages.

    It is asynchronous, so that it keeps no thread from other requests while it waits for the HTML of answers.
    """

    @wraps(change_view)
    async def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = await sync_to_async(change_view)(request, *args, **kwargs)
        # A conversation that does not exist answers with a redirect instead.
        if isinstance(response, TemplateResponse) and response.context_data:
            context = response.context_data
            context |= await transcript(Process.of(request), request, context["original"], has_text=context["may_read"])
            context |= await sync_to_async(panel)(request, context["original"])
            context["queues"] = await sync_to_async(queues.offered)(request, context["original"])
            context |= await sync_to_async(marking_panel)(request, context["original"])
            shown = [entry[0] for entry in context["entries"]]
            context |= await sync_to_async(show_remarks)(request, context["original"], shown)
        return response

    return page


def mark(piece: Piece) -> SafeString | str:
    return format_html("<mark>{}</mark>", piece.text) if piece.is_hit else piece.text


@admin.register(Conversation)
class ConversationAdmin(NamedLookups, admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    list_display = ["titled", "status", "feedback", "owner", "model", "message_count", "total_tokens", "updated"]
    list_filter = [filters.BeforeFilter, filters.BelowFilter, "updated", filters.PeriodFilter, *filters.EVERY]
    lookups = frozenset(
        {
            "updated__gte",
            "updated__lt",
            filters.BeforeFilter.parameter_name,
            filters.BelowFilter.parameter_name,
            *filters.PeriodFilter.names,
            *(own.parameter_name for own in filters.EVERY),
        }
    )
    ordering = ["-updated", "-pk"]
    sortable_by = ["message_count", "total_tokens", "updated"]
    # Each of the counts would read the whole list.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # A non-empty list enables the search box; the list does the searching.
    search_fields = ["title"]
    search_help_text = _(
        "Finds the conversations of texts that have every word, the newest 200 texts first: titles, messages, queued "
        'questions and notes. The last word may be a beginning, and so may one with a star*, "words in quotes" stand '
        "together, and texts with a -word are left out. The name and the address of the owner count as words."
    )
    readonly_fields = ["message_count", "total_tokens", "created", "updated", "trashed", "status", "feedback"]
    # Only its owner can open its page in the chat.
    view_on_site = False

    class Media:
        css = {"all": ["css/message.css", "css/prose.css", "css/code.css", "css/admin.css", "css/review.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return Conversation.objects.for_reviewer(cast("User", request.user)).order_by(*self.ordering)

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:  # type: ignore[override]
        return self.list_display if may_read(request) else ["id", *self.list_display[1:]]

    def get_actions(
        self, request: HttpRequest, action_location: ActionLocation = ActionLocation.CHANGE_LIST
    ) -> dict[str, Any]:
        own = queues.actions(request) if action_location == ActionLocation.CHANGE_LIST else {}
        return {**super().get_actions(request, action_location=action_location), **own}

    def get_fields(self, request: HttpRequest, obj: Conversation | None = None) -> list[Any]:
        shown = ["owner", "model", "message_count", "total_tokens", "created", "updated", "status", "feedback"]
        # Few are in the trash.
        return [(*shown, "trashed") if obj and obj.trashed else tuple(shown)]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return self.search_fields if may_read(request) else []

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConversationList]:
        return ConversationList

    @admin.display(description=_("title"))
    def titled(self, conversation: Conversation) -> SafeString | str:
        """With what a search has found in it."""
        if not conversation.snippet:
            return conversation.title
        pieces = ((mark(piece),) for piece in conversation.snippet)
        return format_html(
            '{}<span class="snippet" dir="auto">{}</span>', conversation.title, format_html_join("", "{}", pieces)
        )

    @admin.display(description=_("status"))
    def status(self, conversation: Conversation) -> SafeString:
        """How its replies have ended at worst, what else is special about it, and how far its review has come."""
        marks: list[tuple[str, Any]] = []
        if conversation.worst_status:
            marks.append((conversation.worst_status, Reply.Status(conversation.worst_status).label))
        if conversation.is_running:
            marks.append((Reply.Status.STREAMING, gettext("Running")))
        if conversation.temporary:
            marks.append(("temporary", gettext("Temporary")))
        if conversation.trashed:
            marks.append(("trashed", gettext("In the trash")))
        if conversation.is_flagged:
            marks.append(("flagged", gettext("Flagged")))
        review: Review = getattr(conversation, "review", None) or Review()
        marks.append(("review", review.summary))
        return format_html_join(" ", '<span class="status status--{}">{}</span>', marks)

    @admin.display(description=_("feedback"))
    def feedback(self, conversation: Conversation) -> str:
        counts = [(conversation.good, gettext("%(count)d good")), (conversation.bad, gettext("%(count)d bad"))]
        # A page of a conversation, unlike the list, shows None as it is.
        return ", ".join(words % {"count": count} for count, words in counts if count) or "-"

    @admin.display(description=_("tokens"), ordering="tokens")
    def total_tokens(self, conversation: Conversation) -> str:
        return grouped(conversation.tokens)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        """All of them: the list itself searches, and shows what it has found."""
        return queryset, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        action = Action.SEARCHED if request.GET.get(SEARCH_VAR) else Action.LISTED
        return reading(action, request, partial(super().changelist_view, request, extra_context))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_read": may_read(request), "reason": reasons.reason_of(request)}

        def page() -> HttpResponse:
            response = super(ConversationAdmin, self).change_view(request, object_id, form_url, context)
            if isinstance(response, TemplateResponse) and response.context_data:
                conversation = response.context_data["original"]
                place = opening(request, conversation, has_text=may_read(request))
                if place:
                    # It says whether the words of the list are in there. The page itself is recorded when it comes.
                    if QueryDict(request.GET[FILTERS]).get(SEARCH_VAR):
                        record_search(request, conversation)
                    return redirect(f"{request.path}{place}")
            return response

        return reading(Action.READ, request, page)

    def neighbour(self, request: HttpRequest, pk: UUID, step: int) -> HttpResponse:
        """Lead to the conversation before or after this one in the list that the address names."""
        listed = request.GET.get(FILTERS, "")
        if may_read(request) and reasons.is_missing(request):
            return reasons.ask_first(request)
        asked = QueryDict(listed, mutable=True)
        # It goes on where the pages of the list end or begin.
        for name in (PAGE_VAR, filters.BeforeFilter.parameter_name):
            asked.pop(name, None)
        request.GET = QueryDict(asked.urlencode())
        if asked.get(SEARCH_VAR):
            record_search(request)
        found = neighbour(self, request, pk, step)
        query = f"?{urlencode({FILTERS: listed})}" if listed else ""
        if found:
            return redirect(f"{reverse('admin:chat_conversation_change', args=[found])}{query}")
        self.message_user(request, gettext("There is no further conversation in this list."), messages.WARNING)
        return redirect(f"{reverse('admin:chat_conversation_changelist')}?{listed}")

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return reading(Action.LISTED, request, partial(super().delete_view, request, *args, **kwargs))

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        for url in urls:
            if url.name == "chat_conversation_change":
                url.callback = _with_transcript(url.callback)
        own = [
            path("owners/", self.owners, name="chat_conversation_owners"),
            path("export.<slug:suffix>", self.export, name="chat_conversation_export"),
            path("reason/", self.reason, name="chat_conversation_reason"),
            path("<uuid:pk>/next/", self.neighbour, {"step": 1}, name="chat_conversation_next"),
            path("<uuid:pk>/previous/", self.neighbour, {"step": -1}, name="chat_conversation_previous"),
            path("filters/", self.save_filter, name="chat_conversation_save_filter"),
            path("filters/<uuid:pk>/delete/", self.delete_filter, name="chat_conversation_delete_filter"),
        ]
        for url in own:
            url.callback = self.admin_site.admin_view(self._for_reviewers(url.callback))
        admission = self.admin_site.admin_view(self._for_reviewers(partial(watching.admit, self)))
        live = [
            path("<uuid:pk>/events/", partial(watching.events, admission=admission), name="chat_conversation_events"),
            path(
                "<uuid:pk>/messages/<uuid:message>/",
                partial(watching.message, admission=admission),
                name="chat_conversation_message",
            ),
        ]
        return [*own, *live, *urls]

    def _for_reviewers[**P, R: HttpResponseBase](
        self, view: Callable[Concatenate[HttpRequest, P], R]
    ) -> Callable[Concatenate[HttpRequest, P], R]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    @method_decorator(require_POST)
    def save_filter(self, request: HttpRequest) -> HttpResponse:
        """Give the filters, words and order of an address of the list a name, in place of what had it."""
        places = {filters.BeforeFilter.parameter_name, filters.BelowFilter.parameter_name}
        names = {*self.lookups, SEARCH_VAR, ORDER_VAR} - places
        query = saved_filters.query_of(request.POST.get("query", ""), names)
        refusal = saved_filters.save(request.user, request.POST.get("name", ""), query)
        if refusal:
            self.message_user(request, refusal, messages.WARNING)
        return redirect(f"{reverse('admin:chat_conversation_changelist')}?{query}")

    @method_decorator(require_POST)
    def delete_filter(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        get_object_or_404(SavedFilter.objects.for_user(request.user), pk=pk).delete()
        return redirect(f"{reverse('admin:chat_conversation_changelist')}?{request.POST.get('query', '')}")

    def reason(self, request: HttpRequest) -> HttpResponse:
        if not may_read(request):
            raise PermissionDenied
        return reasons.ask(request)

    def export(self, request: HttpRequest, suffix: str) -> HttpResponseBase:
        """What the filters show, without the limit of the list, for those who may read it."""
        if not may_read(request):
            raise PermissionDenied
        if suffix not in Export.Format:
            raise Http404
        if reasons.is_missing(request):
            return reasons.ask_first(request)
        try:
            response = exports.answer(request, everything(self, request), suffix)
            # What asks how to make a large file says that the words are in many texts. The file has records of its own.
            if isinstance(response, TemplateResponse) and request.GET.get(SEARCH_VAR):
                record_search(request)
            return response
        except NotSearchable:
            # The list says so itself.
            pass
        except TooManyFound:
            sentence = gettext("More than %(most)s conversations have this. Add words or filters, then export again.")
            self.message_user(request, sentence % {"most": grouped(MOST_IN_FILE)}, messages.WARNING)
        record_search(request)
        return redirect(f"{reverse('admin:chat_conversation_changelist')}?{request.GET.urlencode()}")

    def owners(self, request: HttpRequest) -> JsonResponse:
        """Names of people for what a reviewer has begun to write."""
        begun = request.GET.get("term", "")
        people = ReviewLimit.people_of(cast("User", request.user))
        named = people.filter(Q(username__icontains=begun) | Q(email__icontains=begun)).order_by("username")
        return JsonResponse({"names": list(named.values_list("username", flat=True)[:NAMES])})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Conversation | None:
        conversation = super().get_object(request, object_id, from_field)
        if conversation:
            note_marks([conversation])
        return conversation

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Conversation], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        if request.POST.get("select_across") != "1":
            return super().response_action(request, queryset, *args, **kwargs)
        # All are those on the pages of the list, as it says.
        pks = list(queryset.values_list("pk", flat=True)[: MOST + 1])
        response = super().response_action(request, queryset.filter(pk__in=pks[:MOST]), *args, **kwargs)
        if response and len(pks) > MOST:
            # So, whether the action is done or, like that of deleting, asks first.
            sentence = gettext(
                "Only the first %(most)s conversations of the list were chosen. There are more: choose them by “Older "
                "conversations” below the list, or by a filter."
            )
            self.message_user(request, sentence % {"most": grouped(MOST)}, messages.WARNING)
        return response

    def get_deleted_objects(
        self, objs: Sequence[Conversation] | QuerySet[Conversation], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Titles, for those who may read them, and figures.

        Django's own list names each row and loads all texts for that.
        """
        figures = {
            gettext("conversations"): len(objs),
            gettext("messages"): Message.objects.filter(conversation__in=objs).count(),
            gettext("queued questions"): QueuedQuestion.objects.filter(after__conversation__in=objs).count(),
        }
        names = [conversation.title if may_read(request) else str(conversation) for conversation in objs]
        return names, figures, set(), []

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
