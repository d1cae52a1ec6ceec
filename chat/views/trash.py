"""The trash: conversations go there when their person deletes them, and come back, or are erased."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import F, Q
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import aget_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from chat.database import in_thread
from chat.models import Conversation
from chat.models.conversations import ConversationQuerySet
from chat.trash import erase_some, put, restore
from chat.views.pages import SeeOther, form_methods, get_conversation, moment_of
from chat.views.problems import SignedInRequest, queued_per_person, signed_in, wants_json
from chat.views.shelf import shelf


@form_methods
@signed_in
async def delete_conversation(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Put it in the trash; the page that follows offers to undo that."""
    conversation = await get_conversation(request, pk)
    if request.method == "GET":
        return SeeOther(conversation.get_absolute_url())
    moment = await in_thread(put)(request.user, [pk])
    if moment is None:
        raise Http404
    if wants_json(request):
        return JsonResponse({"deleted": moment.isoformat()})
    return SeeOther(f"{reverse('new_conversation')}?{urlencode({'deleted': moment.isoformat()})}")


@form_methods
@signed_in
async def undo_deletion(request: SignedInRequest) -> HttpResponse:
    """Restore all that was `deleted` at a moment."""
    if request.method == "GET":
        return SeeOther(reverse("trash"))
    moment = moment_of(request.POST.get("deleted", ""))
    restored = await in_thread(restore)(request.user, Q(trashed=moment)) if moment else []
    if wants_json(request):
        return JsonResponse({"restored": list(map(str, restored))})
    if len(restored) == 1:
        return SeeOther(reverse("conversation", args=restored))
    return SeeOther(reverse("new_conversation"))


@require_GET
@signed_in
@queued_per_person
async def trash(request: SignedInRequest) -> HttpResponse:
    """What is in the trash, and until when."""

    days = settings.CHAT_TRASH_DAYS
    newest = _trash(request).annotate(erased=F("trashed") + timedelta(days=days)).order_by("-trashed", "-pk")
    return await in_thread(shelf)(request, "chat/trash.html", newest.only("title", "trashed"), trash_days=days)


@form_methods
@signed_in
async def restore_conversation(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Take it out of the trash."""
    conversation = await aget_object_or_404(_trash(request), pk=pk)
    if request.method == "GET":
        return SeeOther(reverse("trash"))
    await in_thread(restore)(request.user, Q(pk=pk))
    if wants_json(request):
        return JsonResponse({"restored": [str(pk)]})
    return _to_trash(request, gettext("“%(title)s” is back in your list.") % {"title": conversation.title})


@form_methods
@signed_in
async def erase_conversation(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Ask first, then delete for good what is in the trash."""
    conversation = await aget_object_or_404(_trash(request), pk=pk)
    if request.method == "GET":
        return await _ask(request, {"conversation": conversation})
    await in_thread(erase_some)(_trash(request).filter(pk=pk))
    return _to_trash(request, gettext("“%(title)s” is deleted for ever.") % {"title": conversation.title})


@form_methods
@signed_in
async def empty_trash(request: SignedInRequest) -> HttpResponse:
    """Ask first, then delete for good all that is in the trash."""
    if request.method == "GET":
        count = await _trash(request).acount()
        return await _ask(request, {"count": count}) if count else SeeOther(reverse("trash"))
    while await in_thread(erase_some)(_trash(request)):
        pass
    return _to_trash(request, gettext("The trash has been emptied."))


def _trash(request: SignedInRequest) -> ConversationQuerySet:
    return Conversation.objects.trash_of(request.user)


async def _ask(request: SignedInRequest, context: dict[str, Any]) -> HttpResponse:
    return await in_thread(render)(request, "chat/erase.html", context)


def _to_trash(request: SignedInRequest, sentence: str) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({})
    messages.success(request, sentence)
    return SeeOther(reverse("trash"))
