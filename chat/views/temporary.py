"""Temporary conversations: their first page, their end, and the way to keep one after all."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from chat import temporary
from chat.database import in_thread, retry_on_deadlock
from chat.views.pages import SeeOther, form_methods, get_conversation, page, question_form
from chat.views.problems import SignedInRequest, queued_per_person, signed_in, wants_json


@require_GET
@signed_in
@queued_per_person
async def new_temporary(request: SignedInRequest) -> HttpResponse:
    """The page of a new conversation whose question begins a temporary one."""
    if not settings.CHAT_TEMPORARY_HOURS:
        raise Http404
    return await page(request, None, question_form(request, temporary=True))


@form_methods
@signed_in
async def end(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """End it, which deletes it for good."""
    conversation = await get_conversation(request, pk)
    if request.method == "GET":
        return SeeOther(conversation.get_absolute_url())
    if not await in_thread(retry_on_deadlock(temporary.end))(temporary.open_of(request.user).filter(pk=pk)):
        raise Http404
    messages.success(request, gettext("The temporary chat has ended and is deleted."))
    return JsonResponse({}) if wants_json(request) else SeeOther(reverse("new_conversation"))


@form_methods
@signed_in
async def keep(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Make an ordinary conversation of it."""
    conversation = await get_conversation(request, pk)
    if request.method == "GET":
        return SeeOther(conversation.get_absolute_url())
    if not await in_thread(temporary.keep)(request.user, pk):
        raise Http404
    return JsonResponse({}) if wants_json(request) else SeeOther(conversation.get_absolute_url())
