"""Replies that a reviewer watches while they are written: the stream of a transcript, and a message as it is now."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from chat.admin import reasons
from chat.admin.reading import Action, asked_for, may_read
from chat.admin.remarks import show_remarks
from chat.admin.transcripts import MESSAGES_PER_PAGE, entry
from chat.audit import record
from chat.database import AWAY, in_thread
from chat.models import Conversation, Message, Reply, User
from chat.process import Process
from chat.views.problems import SignedInRequest
from chat.views.stream import OpenPage, page_stream

# A view that answers 204 if the reviewer may watch this conversation; if `sends_text`, it has recorded that then.
type Admit = Callable[..., HttpResponse]

ADMITTED = 204


def admit(admin: Any, request: HttpRequest, pk: UUID, *, sends_text: bool) -> HttpResponse:
    """Record that the reviewer watches, before any text is sent; raises Http404 and PermissionDenied."""
    conversation = admin.get_object(request, str(pk))
    if conversation is None:
        raise Http404
    if not may_read(request) or reasons.is_missing(request):
        raise PermissionDenied
    if sends_text:
        detail, reason = asked_for(request), reasons.reason_of(request)
        record(Action.WATCHED, request, conversation=conversation, detail=detail, reason=reason)
    return HttpResponse(status=ADMITTED)


async def events(request: HttpRequest, pk: UUID, *, admission: Admit) -> HttpResponseBase:
    """The events of the replies that the query names, as for the page of a person, and the conversation's versions."""
    try:
        page = replace(OpenPage.from_query(request.GET), conversation=pk)
    except ValueError:
        return HttpResponse(status=400)
    if len(page.cursors) > MESSAGES_PER_PAGE:
        return HttpResponse(status=400)
    response = await sync_to_async(admission)(request, pk, sends_text=bool(page.cursors))
    if response.status_code != ADMITTED:
        return response
    reader = await request.auser()
    request.user = reader
    owner = await Conversation.objects.values_list("owner", flat=True).aget(pk=pk)
    replies = [reply async for reply in Reply.objects.filter(message__conversation=pk, pk__in=page.cursors)]
    still = partial(_may_still_read, cast("User", reader).pk, pk)
    return page_stream(cast("SignedInRequest", request), page, replies, owner, still)


async def message(request: HttpRequest, pk: UUID, message: UUID, *, admission: Admit) -> HttpResponse:
    """The message with its facts, as a fragment of a page."""
    response = await sync_to_async(admission)(request, pk, sends_text=True)
    if response.status_code != ADMITTED:
        return response
    found = Message.objects.select_related("conversation__owner", "reply").filter(conversation=pk, pk=message)
    try:
        context = await entry(Process.of(request), await found.aget())
    except Message.DoesNotExist:
        raise Http404 from None
    context |= await sync_to_async(show_remarks)(request, context["original"], [context["message"]])
    return await in_thread(render)(request, "admin/chat/conversation/_entry.html", context)


async def _may_still_read(reader: int, pk: UUID) -> bool:
    try:
        return await _may_read(reader, pk)
    except AWAY:
        # Nobody can have taken the right away meanwhile.
        return True


@in_thread
def _may_read(reader: int, pk: UUID) -> bool:
    user = User.reader_now(reader)
    return user is not None and Conversation.objects.for_reviewer(user).filter(pk=pk).exists()
