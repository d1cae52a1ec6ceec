"""Asking: a question is stored with the queued reply to it, then the reply's task starts."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import aget_object_or_404
from django.views.decorators.http import require_POST

from chat.database import in_thread
from chat.forms import QuestionForm
from chat.generation import worker
from chat.models import Conversation, Message, ReplyRunning
from chat.views.conversations import page
from chat.views.problems import SignedInRequest, problem, signed_in, wants_json
from chat.views.replies import accepted, draining, running


@require_POST
@signed_in
async def start(request: SignedInRequest) -> HttpResponseBase:
    """Begin a conversation with a question."""
    if worker.draining:
        return draining(request)
    data = _body(request)
    if data is None:
        return _unreadable(request)
    form = QuestionForm(data)
    if not form.is_valid():
        return await _invalid(request, None, form)
    text, model = form.cleaned_data["text"], form.cleaned_data["model"]
    conversation, question, reply = await in_thread(Conversation.begin)(request.user, text, model)
    return accepted(request, conversation, question.pk, reply)


@require_POST
@signed_in
async def ask(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Go on with a conversation, from its leaf or from `parent`."""
    if worker.draining:
        return draining(request)
    conversation = await aget_object_or_404(Conversation.objects.for_user(request.user), pk=pk)
    data = _body(request)
    if data is None:
        return _unreadable(request)
    form = QuestionForm(data, model=conversation.model)
    if not form.is_valid():
        return await _invalid(request, conversation, form)
    try:
        question, reply = await in_thread(conversation.ask)(**form.cleaned_data)
    except Message.DoesNotExist:
        return problem(request, 422, "unknown_parent", "The message to go on from is not there. Reload the page.")
    except ReplyRunning:
        return running(request)
    return accepted(request, conversation, question.pk, reply)


def _body(request: HttpRequest) -> Mapping[str, Any] | None:
    """The fields of a form or of a JSON object of texts; None for what is neither."""
    if request.content_type != "application/json":
        return request.POST
    try:
        data = json.loads(request.body)
        # JSON can spell halves of surrogate pairs, which are no text.
        json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not all(isinstance(value, str | None) for value in data.values()):
        return None
    return data


def _unreadable(request: HttpRequest) -> HttpResponse:
    return problem(request, 400, "bad_json", "The request is not a JSON object of texts. Send one with a text.")


async def _invalid(request: SignedInRequest, conversation: Conversation | None, form: QuestionForm) -> HttpResponse:
    """A program gets the first error, a person the page again with the text still in it."""
    if wants_json(request):
        return problem(request, 422, form.code, form.message)
    return await page(request, conversation, form, status=422)
