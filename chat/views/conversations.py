"""The page of a conversation, and the sidebar with all of them."""

from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import aget_object_or_404, render
from django.urls import reverse
from django.utils import dateformat, timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from chat.database import in_thread
from chat.forms import QuestionForm
from chat.live import read_live
from chat.models import Conversation, Message, Reply
from chat.views.problems import SignedInRequest, problem, signed_in, wants_json
from chat.views.replies import SeeOther, stop_reply

# The sidebar is loaded in pieces of so many conversations.
LISTED = 40
# A page shows so many messages of a long branch at first.
SHOWN = 60


@require_GET
@signed_in
async def new_conversation(request: SignedInRequest) -> HttpResponse:
    return await page(request, None, QuestionForm())


@require_GET
@signed_in
async def conversation(request: SignedInRequest, pk: UUID) -> HttpResponse:
    conversation = await _get(request, pk)
    return await page(request, conversation, QuestionForm(model=conversation.model))


@require_POST
@signed_in
async def show_branch(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Put another answer to the same question on screen."""
    conversation = await _get(request, pk)
    message = await _message(conversation, request.POST.get("message", ""))
    if message is None:
        return problem(request, 422, "unknown_message", "This answer is not there. Reload the page.")
    await in_thread(conversation.show)(message)
    return SeeOther(conversation.get_absolute_url())


@require_http_methods(["GET", "POST"])
@signed_in
async def delete_conversation(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Asks first; what is still being written is stopped."""
    conversation = await _get(request, pk)
    if request.method == "GET":
        return await in_thread(render)(request, "chat/delete.html", {"conversation": conversation})
    running = Reply.objects.running().filter(message__conversation=conversation).values_list("pk", flat=True)
    async for reply_id in running:
        await stop_reply(reply_id)
    await in_thread(_delete)(conversation)
    return JsonResponse({}) if wants_json(request) else SeeOther(reverse("new_conversation"))


@require_GET
@signed_in
async def history(request: SignedInRequest) -> HttpResponse:
    """A piece of the sidebar as a fragment of a page: the newest, or what follows a place."""

    def fragment() -> HttpResponse:
        return render(request, "chat/_history.html", {"history": _history(request)})

    return await in_thread(fragment)()


def _delete(conversation: Conversation) -> None:
    # What is asked in this moment comes before, and goes too, or after, and finds nothing.
    with transaction.atomic():
        Conversation.objects.select_for_update().filter(pk=conversation.pk).delete()


async def page(
    request: SignedInRequest, conversation: Conversation | None, form: QuestionForm, status: int = 200
) -> HttpResponse:
    """The whole page, with what is stored so far of a reply that is being written."""
    last = _count(request.GET.get("last", ""))
    branch: list[Message] = []
    if conversation:
        branch = await in_thread(conversation.branch)(conversation.leaf_id, last + 1)
    await read_live(branch)

    def whole() -> HttpResponse:
        context = {
            "conversation": conversation,
            "messages_shown": branch[-last:],
            "earlier": f"?{urlencode({'last': 2 * last})}" if len(branch) > last else None,
            "running": next((message.reply for message in branch if _is_running(message)), None),
            "form": form,
            "demo": settings.CHAT_DEMO,
            "debug": settings.DEBUG,
            "history": _history(request),
        }
        return render(request, "chat/conversation.html", context, status=status)

    return await in_thread(whole)()


def _is_running(message: Message) -> bool:
    return message.role == Message.Role.ASSISTANT and message.reply.is_running


def _count(last: str) -> int:
    return min(int(last), 100_000) if last.isascii() and last.isdecimal() and 0 < len(last) < 8 else SHOWN


def _history(request: SignedInRequest) -> dict[str, Any]:
    """A piece of the sidebar in groups of a day, and the query that leads to the piece after it."""
    before = _place(request.GET.get("before", ""))
    newest = Conversation.objects.for_user(request.user).newest(before)
    listed = list(newest.only("pk", "title", "updated", "owner_id")[: LISTED + 1])
    shown = listed[:LISTED]
    known = _day(before[0]) if before else None
    groups = [
        # The day that the piece before ended with has its heading there.
        ("" if day == known else _label(day), list(conversations))
        for day, conversations in groupby(shown, key=lambda conversation: _day(conversation.updated))
    ]
    following = ""
    if len(listed) > LISTED:
        following = urlencode({"before": f"{shown[-1].updated.isoformat()}_{shown[-1].pk}"})
    return {"groups": groups, "next": following}


def _place(value: str) -> tuple[datetime, UUID] | None:
    """The last activity and the id of a conversation; None without a value."""
    if not value:
        return None
    updated, _, pk = value.partition("_")
    try:
        moment = parse_datetime(updated)
        if moment is None or timezone.is_naive(moment):
            raise BadRequest
        # At the ends of the calendar a moment may have no place in another time zone.
        _day(moment)
        return moment.astimezone(UTC), UUID(pk)
    except (ValueError, OverflowError) as error:
        raise BadRequest from error


def _day(moment: datetime) -> date:
    return timezone.localtime(moment).date()


def _label(day: date) -> str:
    today = timezone.localdate()
    if day == today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    return dateformat.format(day, "l j F" if day.year == today.year else "j F Y")


async def _get(request: SignedInRequest, pk: UUID) -> Conversation:
    return await aget_object_or_404(Conversation.objects.for_user(request.user), pk=pk)


async def _message(conversation: Conversation, pk: str) -> Message | None:
    try:
        return await conversation.messages.filter(pk=UUID(pk)).afirst()
    except ValueError:
        return None
