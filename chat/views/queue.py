"""Questions that are asked when the reply before them is complete: added, edited, withdrawn, or sent at once."""

from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.utils.translation import gettext

from chat import queued
from chat.asking import AnswerNotChosen, ConversationChanged
from chat.database import in_thread
from chat.forms import QuestionForm
from chat.limits import OverLimit, check_questions
from chat.models import Conversation, Message, QueuedQuestion
from chat.process import Process
from chat.views.admission import admit, changed, check_room, not_chosen, queue_and_respond, stop_reply, unknown_parent
from chat.views.pages import (
    SeeOther,
    check,
    fields,
    form_methods,
    get_conversation,
    page,
    question_form,
    refused,
    to_conversation,
    with_transcript,
)
from chat.views.problems import Refusal, SignedInRequest, signed_in, wants_json


@form_methods
@signed_in
@with_transcript
@to_conversation
async def queue(request: SignedInRequest, conversation: Conversation) -> HttpResponseBase:
    """Add a question, which follows the end of the branch; if that through `leaf`, where it is given, is on screen."""
    form = question_form(request, fields(request), conversation.model)
    try:
        question = await _add(conversation, form)
    except Refusal as refusal:
        return await refused(request, form, refusal, partial(page, request, conversation))
    # That reply may have ended since the page was looked at.
    Process.of(request).look_for_queued_questions()
    return _response(request, conversation, {"queued": {"id": str(question.pk)}}, 201)


@form_methods
@signed_in
@with_transcript
@to_conversation
async def edit_queued(request: SignedInRequest, conversation: Conversation, question: UUID) -> HttpResponseBase:
    form = question_form(request, fields(request), conversation.model)
    if not form.is_valid():
        ask = question_form(request, model=conversation.model)

        async def show(form: QuestionForm, status: int) -> HttpResponse:
            return await page(request, conversation, ask, status, (question, form))

        return await refused(request, form, Refusal(422, form.code, form.message), show)
    if not await in_thread(queued.edit)(conversation, question, form.cleaned_data["text"]):
        return await refused(request, form, _gone(), partial(page, request, conversation))
    return _response(request, conversation, {"queued": {"id": str(question)}})


@form_methods
@signed_in
@with_transcript
async def withdraw_queued(request: SignedInRequest, pk: UUID, question: UUID) -> HttpResponse:
    conversation = await get_conversation(request, pk)
    if request.method == "POST" and not await in_thread(queued.withdraw)(conversation, question):
        raise _gone()
    return _response(request, conversation, {})


@form_methods
@signed_in
@with_transcript
async def send_queued(request: SignedInRequest, pk: UUID, question: UUID) -> HttpResponseBase:
    """Ask at once; a reply that is being written before it is stopped."""
    conversation = await get_conversation(request, pk)
    if request.method == "GET":
        return SeeOther(conversation.get_absolute_url())
    questions = QueuedQuestion.objects.filter(pk=question, after__conversation=conversation)
    # What would refuse the question must not stop the reply.
    check_room(request)
    await in_thread(check_questions)(request.user)
    async for reply_id in questions.values_list("after", flat=True):
        await stop_reply(request, reply_id)
    reply = await admit(request, partial(queued.ask, questions, Process.of(request).model_for))
    if reply is None:
        raise _gone()
    return queue_and_respond(request, reply)


async def _add(conversation: Conversation, form: QuestionForm) -> QueuedQuestion:
    check(form)
    question, model, parent, leaf = (form.cleaned_data[name] for name in ("text", "model", "parent", "leaf"))
    try:
        return await in_thread(queued.add)(conversation, question, model, parent, leaf)
    except ConversationChanged:
        raise changed() from None
    except AnswerNotChosen:
        raise not_chosen() from None
    except Message.DoesNotExist:
        raise unknown_parent() from None
    except OverLimit as limit:
        raise Refusal.of(limit) from None


def _gone() -> Refusal:
    return Refusal(409, "already_asked", gettext("This question has been asked already, or was withdrawn."))


def _response(
    request: SignedInRequest, conversation: Conversation, data: dict[str, Any], status: int = 200
) -> HttpResponse:
    if wants_json(request):
        return JsonResponse(data, status=status)
    return SeeOther(f"{conversation.get_absolute_url()}#queued")
