"""Asking: a question, the same one again (retry), or for the rest of a reply (resume)."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from chat import asking
from chat.database import in_thread
from chat.forms import BeginningForm, QuestionForm
from chat.models import Conversation, Message, Reply
from chat.process import Process
from chat.replylog import LogUnreachable
from chat.views.admission import admit, queue_and_respond, unknown_parent
from chat.views.pages import (
    SeeOther,
    check,
    fields,
    form_methods,
    get_question,
    get_reply,
    model_form,
    page,
    question_form,
    refused,
    refused_as_deleted,
    to_conversation,
    with_transcript,
)
from chat.views.problems import Refusal, SignedInRequest, complaints, signed_in, wants_json


@form_methods
@signed_in
async def start(request: SignedInRequest) -> HttpResponseBase:
    """Begin a conversation with a question."""
    if request.method == "GET":
        return SeeOther(reverse("new_conversation"))
    data = _with_example(fields(request))
    form, beginning = question_form(request, data), BeginningForm(data)
    if beginning.is_valid():
        return await _answer(request, None, form, beginning.cleaned_data)
    if wants_json(request):
        return complaints(beginning)
    return await refused(request, form, Refusal(422, "invalid", beginning.message), partial(page, request, None))


@form_methods
@signed_in
@with_transcript
@to_conversation
async def ask(request: SignedInRequest, conversation: Conversation) -> HttpResponseBase:
    """Continue a conversation, from its leaf or from `parent`; if the leaf is still `leaf`, where that is given."""
    return await _answer(request, conversation, question_form(request, fields(request), conversation.model))


@form_methods
@signed_in
@with_transcript
async def edit(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Ask a question in another wording, which becomes a sibling of the first. The form has a page of its own."""
    try:
        question = await get_question(request, pk)
    except Http404:
        if request.method == "GET":
            raise
        return await refused_as_deleted(request)
    data = fields(request) if request.method == "POST" else None
    form = question_form(request, data, question.conversation.model, question.text)
    if data is None:
        return await _edit_page(request, question, form)
    try:
        check(form)
        text, model = form.cleaned_data["text"], form.cleaned_data["model"]
        return queue_and_respond(request, await admit(request, partial(asking.edit, question, text, model)))
    except Refusal as refusal:
        return await refused(request, form, refusal, partial(_edit_page, request, question))


@form_methods
@signed_in
@with_transcript
async def retry(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Ask the same question again, of the same model or of `model`; the new answer becomes a sibling of the old one."""
    reply = await get_reply(request, pk)
    if request.method == "GET":
        return SeeOther(reply.message.get_absolute_url())
    form = model_form(request, fields(request), reply.model)
    check(form)
    model = form.cleaned_data["model"]
    return queue_and_respond(request, await admit(request, partial(asking.retry, reply, model)))


@form_methods
@signed_in
@with_transcript
async def resume(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Continue a reply that broke off, in the same message."""
    reply = await get_reply(request, pk)
    if request.method == "GET":
        return SeeOther(reply.message.get_absolute_url())
    model = Process.of(request).catalog.choose(request.user, reply.model).name
    resumed = await admit(request, partial(asking.resume, reply, model))
    if resumed is None:
        sentence = gettext(
            "This reply can't be continued: it is running or complete, or the conversation has moved on. "
            "Reload the page."
        )
        raise Refusal(409, "not_resumable", sentence)
    with suppress(LogUnreachable):
        # Hide the old End from readers. The writer restarts the log in any case.
        await Process.of(request).log.hide_end(resumed.pk)
    return queue_and_respond(request, resumed)


def _with_example(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with the text of an example if one was pressed instead of a question written."""
    return {**dict(fields.items()), "text": fields.get("example") or fields.get("text")}


async def _answer(
    request: SignedInRequest,
    conversation: Conversation | None,
    form: QuestionForm,
    sent_along: Mapping[str, Any] | None = None,
) -> HttpResponseBase:
    """Queue the reply, or say why not; `sent_along` are fields of a conversation that begins."""
    try:
        return queue_and_respond(request, *await _store(request, conversation, form, sent_along or {}))
    except Refusal as refusal:
        if conversation:
            # It still has what the refused transaction set.
            await conversation.arefresh_from_db()
        return await refused(request, form, refusal, partial(page, request, conversation))


async def _edit_page(
    request: SignedInRequest, question: Message, form: QuestionForm, status: int = 200
) -> HttpResponse:
    context = {"question": question, "form": form}
    return await in_thread(render)(request, "chat/edit.html", context, status=status)


async def _store(
    request: SignedInRequest, conversation: Conversation | None, form: QuestionForm, sent_along: Mapping[str, Any]
) -> list[Reply]:
    check(form)
    question, model, parent, leaf = (form.cleaned_data[name] for name in ("text", "model", "parent", "leaf"))
    try:
        if conversation:
            store = partial(asking.ask, conversation, question, model, parent, leaf)
        elif parent:
            raise Message.DoesNotExist
        else:
            is_temporary = form.cleaned_data["temporary"]
            store = partial(asking.begin, request.user, question, model, temporary=is_temporary, **sent_along)
        if also := form.cleaned_data["also"]:
            # Room for the second reply; `admit` finds it for the first.
            with Process.of(request).reserving():
                return await admit(request, partial(asking.compare, store, also))
        return [await admit(request, store)]
    except Message.DoesNotExist:
        raise unknown_parent() from None
