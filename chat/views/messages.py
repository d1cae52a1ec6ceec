"""Asking: a question is stored with the queued reply to it, then the reply's task starts."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import aget_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from chat.database import in_thread
from chat.forms import QuestionForm
from chat.models import Conversation, Message
from chat.views.conversations import page
from chat.views.problems import Refusal, SignedInRequest, signed_in, wants_json
from chat.views.replies import SeeOther, accepted, granting


@require_http_methods(["GET", "POST"])
@signed_in
async def start(request: SignedInRequest) -> HttpResponseBase:
    """Begin a conversation with a question."""
    if request.method == "GET":
        # The page of a refused question leaves this address in the browser.
        return SeeOther(reverse("new_conversation"))
    form = QuestionForm(_body(request))
    return await _answer(request, None, form)


@require_http_methods(["GET", "POST"])
@signed_in
async def ask(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Continue a conversation, from its leaf or from `parent`."""
    conversation = await aget_object_or_404(Conversation.objects.for_user(request.user), pk=pk)
    if request.method == "GET":
        return SeeOther(conversation.get_absolute_url())
    form = QuestionForm(_body(request), model=conversation.model)
    return await _answer(request, conversation, form)


async def _answer(request: SignedInRequest, conversation: Conversation | None, form: QuestionForm) -> HttpResponseBase:
    """Accept the question, or say why not: to a program the first reason, to a person the page with the text in it."""
    try:
        return await _accept(request, conversation, form)
    except Refusal as refusal:
        if wants_json(request):
            raise
        if form.is_valid():
            form.add_error(None, refusal.message)
        response = await page(request, conversation, form, refusal.status)
        if refusal.retry_after:
            response.headers["Retry-After"] = str(refusal.retry_after)
        return response


async def _accept(request: SignedInRequest, conversation: Conversation | None, form: QuestionForm) -> HttpResponseBase:
    if not form.is_valid():
        raise Refusal(422, form.code, form.message)
    question, model, parent = (form.cleaned_data[name] for name in ("text", "model", "parent"))
    try:
        with granting():
            if conversation:
                message, reply = await in_thread(conversation.ask)(question, model, parent)
            elif parent:
                raise Message.DoesNotExist
            else:
                conversation, message, reply = await in_thread(Conversation.begin)(request.user, question, model)
    except Message.DoesNotExist:
        sentence = "The message to go on from is not there. Reload the page."
        raise Refusal(422, "unknown_parent", sentence) from None
    return accepted(request, conversation, message.pk, reply)


def _body(request: HttpRequest) -> Mapping[str, Any]:
    """The fields of a form or of a JSON object of texts."""
    if request.content_type != "application/json":
        return request.POST
    unreadable = Refusal(400, "bad_json", "The request is not a JSON object of texts. Send one with a text.")
    try:
        data = json.loads(request.body)
        # JSON can spell halves of surrogate pairs, which are no text.
        json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise unreadable from None
    if not isinstance(data, dict) or not all(isinstance(value, str | None) for value in data.values()):
        raise unreadable
    return data
