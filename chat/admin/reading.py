"""Pages that show what somebody else has written: who may read it, and the record of that before it is sent."""

from collections.abc import Callable

from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from chat.admin import reasons
from chat.audit import record
from chat.models import AuditRecord, Conversation

Action = AuditRecord.Action


def may_read(request: HttpRequest) -> bool:
    """Whether the person may read the texts of the conversations that they see, titles included."""
    return bool(request.user.has_perm("chat.read_conversation"))


def reading(action: Action, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
    """The page that the view makes, which is not rendered yet, and its record.

    The record names the conversation, if the page is about one. A redirect or a refusal shows no text, and
    neither does any page to people who may not read; but after a search, as an action does it, where a redirect leads
    is an answer too.
    """
    if may_read(request) and reasons.is_missing(request):
        return reasons.ask_first(request)
    response = view()
    if isinstance(response, TemplateResponse) and may_read(request):
        context = response.context_data or {}
        conversation = context.get("original") or context.get("object")
        about = conversation if isinstance(conversation, Conversation) else None
        _record(action, request, about)
    elif request.GET.get(SEARCH_VAR):
        record_search(request)
    return response


def record_search(request: HttpRequest, conversation: Conversation | None = None) -> None:
    """Record a search whose answer is no page: whether it has found something, in all texts or in a conversation."""
    if may_read(request):
        _record(Action.SEARCHED, request, conversation)


def _record(action: Action, request: HttpRequest, conversation: Conversation | None) -> None:
    detail, reason = asked_for(request), reasons.reason_of(request)
    record(action, request, conversation=conversation, detail=detail, reason=reason)


def asked_for(request: HttpRequest) -> str:
    """The filter, the words and the page, as `name=value`; the page also if it is the first."""
    asked = {PAGE_VAR: "1", **request.GET.dict()}
    if request.method == "POST":
        asked["action"] = request.POST.get("action", "delete")
    return " ".join(f"{name}={value}" for name, value in asked.items())
