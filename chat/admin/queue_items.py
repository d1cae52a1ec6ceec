"""What is in a queue: its conversations, who has marked which, and taking them out again."""

from collections import defaultdict
from typing import Any, cast
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.text import get_text_list
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chat import audit, rubric
from chat.admin import reasons
from chat.admin.marks import AGREEMENT_OF, name_of
from chat.admin.reading import asked_for
from chat.admin.review import came_from, may_review
from chat.database import retry_on_deadlock
from chat.models import AuditRecord, Conversation, Marking, ReviewQueue, User

MANAGE = "chat.change_reviewqueue"
PER_PAGE = 100
STATES = {"": _("All"), "open": _("To be marked"), "marked": _("Marked"), "differ": _("Marks differ")}


def page(request: HttpRequest, queue: ReviewQueue) -> HttpResponse:
    """The conversations of a queue that the reviewer sees, recorded, as they have titles."""
    if not may_review(request):
        raise PermissionDenied
    if reasons.is_missing(request):
        return reasons.ask_first(request)
    reviewer = cast("User", request.user)
    detail = f"queue={queue.name} {asked_for(request)}"
    audit.record(AuditRecord.Action.LISTED, request, detail=detail, reason=reasons.reason_of(request))
    differing = _differing(queue, reviewer)
    state = request.GET.get("state", "")
    rows = _in_state(queue, state, differing) & Conversation.objects.for_reviewer(reviewer)
    shown = Paginator(rows.select_related("owner").order_by("pk"), PER_PAGE).get_page(request.GET.get("p"))
    conversations = list(shown)
    states = _states(queue, conversations)
    is_open = queue.markings.open_to(reviewer).filter(conversation__in=conversations)
    context = {
        **admin.site.each_context(request),
        "title": gettext("In the queue “%(name)s”") % {"name": queue.name},
        "opts": ReviewQueue._meta,
        "queue": queue,
        "items": [
            (conversation, states[conversation.pk], conversation.pk in differing) for conversation in conversations
        ],
        "page": shown,
        "open_to_me": set(is_open.values_list("conversation", flat=True)),
        "states": STATES.items(),
        "state": state,
        "has_rule": hasattr(queue, "rule"),
        "may_manage": request.user.has_perm(MANAGE),
    }
    return TemplateResponse(request, "admin/chat/reviewqueue/items.html", context)


def _in_state(queue: ReviewQueue, state: str, differing: set[UUID]) -> QuerySet[Conversation]:
    rows = Conversation.objects.filter(pk__in=queue.markings.values("conversation"))
    is_open = queue.markings.filter(done=None).values("conversation")
    match state:
        case "open":
            return rows.filter(pk__in=is_open)
        case "marked":
            return rows.exclude(pk__in=is_open)
        case "differ":
            return rows.filter(pk__in=differing)
    return rows


def _differing(queue: ReviewQueue, reviewer: User) -> set[UUID]:
    """Those whose choices or numbers differ, among the latest marks that the reviewer may see."""
    names = [criterion.name for criterion in rubric.parse(queue.rubric) if not criterion.is_text]
    given: dict[UUID, set[tuple[object, ...]]] = defaultdict(set)
    latest = queue.markings.shown_to(reviewer).order_by("-conversation", "-place")
    for conversation, marks in latest.values_list("conversation", "marks")[:AGREEMENT_OF]:
        given[conversation].add(tuple(map(marks.get, names)))
    return {conversation for conversation, different in given.items() if len(different) > 1}


def _states(queue: ReviewQueue, conversations: list[Conversation]) -> dict[UUID, str]:
    """Who has marked each, who holds it, and how often it is still to be marked, in words."""
    by_conversation: dict[UUID, list[Marking]] = defaultdict(list)
    markings = queue.markings.filter(conversation__in=conversations).select_related("reviewer").order_by("place")
    for marking in markings:
        by_conversation[marking.conversation_id].append(marking)
    return {pk: "; ".join(_words(some)) for pk, some in by_conversation.items()}


def _words(markings: list[Marking]) -> list[str]:
    done = [name_of(marking.reviewer) for marking in markings if marking.done]
    held = [(name_of(marking.reviewer), marking.held_until) for marking in markings if marking.held_until]
    words = [gettext("marked by %(names)s") % {"names": get_text_list(done, gettext("and"))}] if done else []
    for name, moment in held:
        until = format_date(timezone.localtime(moment), gettext("N j, P"))
        words.append(gettext("reserved for %(name)s until %(until)s") % {"name": name, "until": until})
    if free := len(markings) - len(done) - len(held):
        words.append(ngettext("%(count)d reviewer wanted", "%(count)d reviewers wanted", free) % {"count": free})
    return words


def take_out(model_admin: Any, request: HttpRequest, queue: ReviewQueue) -> HttpResponse:
    """Take out what nobody has marked or holds of the conversations that were chosen."""
    if not (may_review(request) and request.user.has_perm(MANAGE)):
        raise PermissionDenied
    seen = Conversation.objects.for_reviewer(cast("User", request.user)).filter(pk__in=_chosen(request))
    chosen = list(seen.values_list("pk", flat=True))
    count = retry_on_deadlock(queue.take_out)(chosen)
    sentence = ngettext("%(count)d conversation is taken out.", "%(count)d conversations are taken out.", count)
    sentence %= {"count": count}
    if count < len(chosen):
        sentence += " " + gettext("What is marked or reserved stays.")
    model_admin.message_user(request, sentence, messages.SUCCESS)
    return HttpResponseRedirect(f"{reverse('admin:chat_reviewqueue_items', args=[queue.pk])}{came_from(request)}")


def _chosen(request: HttpRequest) -> list[UUID]:
    try:
        return [UUID(pk) for pk in request.POST.getlist("conversation")]
    except ValueError:
        return []
