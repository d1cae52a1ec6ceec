"""The page of a conversation with the sidebar, for all views that show one."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial, wraps
from typing import Any, Concatenate
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.http.response import HttpResponseRedirectBase
from django.shortcuts import aget_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from chat import temporary
from chat.database import AWAY, in_thread
from chat.forms import BeginningForm, ModelForm, QuestionForm
from chat.limits import OverLimit
from chat.live import read_live
from chat.models import Conversation, Draft, Message, QueuedQuestion, Reply
from chat.models.conversations import ConversationQuerySet
from chat.process import Process
from chat.views.history import count_of, history
from chat.views.hits import hits
from chat.views.problems import Refusal, SignedInRequest, SignedInView, wants_json

# A page shows this many messages of a long branch at first, more than a window holds, and never more than the second
# figure.
SHOWN = 16
MOST_SHOWN = 500


# The page of a refusal has the address of the form. A browser asks for that by GET when a person presses Enter there.
form_methods = require_http_methods(["GET", "POST"])


class SeeOther(HttpResponseRedirectBase):
    """The response to a form: whatever its method was, get that page now."""

    status_code = 303


async def page(
    request: SignedInRequest,
    conversation: Conversation | None,
    form: QuestionForm,
    status: int = 200,
    edited: tuple[UUID, QuestionForm] | None = None,
    draft: Draft | None = None,
) -> HttpResponse:
    """The whole page, with the form for a queued question open that is being `edited`; `draft` is in the `form`."""
    shown = await transcript(request, conversation) if conversation else {}

    def rendered() -> HttpResponse:
        context = {
            **shown,
            "hits": hits(request, conversation, shown["messages_shown"]) if conversation else None,
            "form": form,
            "draft": draft,
            "answering": _answering(request, form),
            "beginning": None if conversation else BeginningForm(form.data if form.is_bound else None),
            "edited": edited,
            "question_chars": settings.CHAT_QUESTION_CHARS,
            "demo": settings.CHAT_DEMO,
            "debug": settings.DEBUG,
            "history": history(request, conversation.pk if conversation else None),
            "is_temporary": conversation.temporary if conversation else form.is_temporary,
            "temporary_hours": settings.CHAT_TEMPORARY_HOURS,
            "deleted": None if conversation else deleted(request),
            "left_open": [] if conversation else temporary.open_of(request.user),
            "trash_days": settings.CHAT_TRASH_DAYS,
            # Without scripts a page reloads itself while a reply is written, but not under what a person writes.
            "is_still": request.method == "POST" or "still" in request.GET,
        }
        return render(request, "chat/conversation.html", context, status=status)

    return await in_thread(rendered)()


def check(form: ModelForm) -> None:
    """Raise Refusal for what the form does not accept."""
    if not form.is_valid():
        raise Refusal(422, form.code, form.message)


async def refused(
    request: SignedInRequest,
    form: QuestionForm,
    refusal: Refusal,
    show: Callable[[QuestionForm, int], Awaitable[HttpResponse]],
) -> HttpResponse:
    """Say why a question is refused: to a program the first reason, to a person the page with their text in it.

    `show` makes that page, from the form and a status.
    """
    if wants_json(request):
        raise refusal
    if form.is_valid():
        form.add_error(None, refusal.message)
    async with Process.of(request).shares.page(request.user):
        response = await show(form, refusal.status)
    if refusal.retry_after:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def to_conversation[**P](
    view: Callable[Concatenate[SignedInRequest, Conversation, P], Awaitable[HttpResponseBase]],
) -> SignedInView[Concatenate[UUID, P]]:
    """Give the view its conversation. A question to one that does not exist can start a new one."""

    @wraps(view)
    async def found(request: SignedInRequest, /, pk: UUID, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            conversation = await get_conversation(request, pk)
        except Http404:
            if request.method == "GET":
                raise
            return await refused_as_deleted(request)
        if request.method == "GET":
            return SeeOther(conversation.get_absolute_url())
        return await view(request, conversation, *args, **kwargs)

    # URLs name `pk`, which the type of a view cannot say.
    return found  # type: ignore[return-value]


async def refused_as_deleted(request: SignedInRequest) -> HttpResponse:
    sentence = gettext("This conversation no longer exists. Your question is still here: send it to start a new one.")
    form = question_form(request, fields(request))
    return await refused(request, form, Refusal(404, "not_found", sentence), partial(page, request, None))


async def transcript(request: SignedInRequest, conversation: Conversation) -> dict[str, Any]:
    """The context of `chat/_transcript.html`: messages on screen, with what there is so far of running replies.

    The query says which: the `last` ones up to `until`; or `last` ones, by default as many as there can be, that begin
    with the message `from`, or with the sibling that is on screen in its place, or with the `start`.
    """
    part = await in_thread(_part)(conversation, request.GET)
    shown: list[Message] = part["messages_shown"]
    queued: list[QueuedQuestion] = part["queued"]
    # What they will be, so that they look as when they have been asked.
    questions = [Message(role=Message.Role.USER, text=question.text) for question in queued]
    process = Process.of(request)
    await read_live(process.log, shown)
    await process.rendering.show([*shown, *questions])
    models = [process.model_for(request.user, question.model) for question in queued]
    return {
        **part,
        "conversation": conversation,
        "form": question_form(request, model=conversation.model),
        "queued": list(zip(queued, questions, models, strict=True)),
        "running": [message.reply for message in shown if _is_running(message)],
    }


def _part(conversation: Conversation, query: Mapping[str, str]) -> dict[str, Any]:
    """What is stored of the messages that the query asks for, and what comes before and after them."""
    counted = query.get("last", "")
    last = count_of(counted, SHOWN, MOST_SHOWN)
    until = conversation.message(query.get("until", ""))
    start = query.get("from", "")
    first = conversation.message(start)
    end = until.pk if until else conversation.leaf_id
    if first or start == "start":
        below = conversation.below(first)[-count_of(counted, MOST_SHOWN, MOST_SHOWN) :]
        end, last = (below[0], len(below)) if below else (end, last)
    branch = conversation.branch(end, last + 1)
    shown, has_later = branch[-last:], end != conversation.leaf_id
    is_choosing = not has_later and bool(shown) and shown[-1].role == Message.Role.USER
    if is_choosing:
        shown += conversation.compared()
    return {
        "messages_shown": shown,
        "is_choosing": is_choosing,
        "earlier": _earlier(last, end if has_later else None, shown[0]) if len(branch) > last else None,
        "later": f"?from={end}&last={SHOWN}#message-{end}" if has_later else None,
        "queued": list(QueuedQuestion.objects.shown_after(None if has_later else end)),
    }


async def transcript_page(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """The `transcript` as a fragment of a page."""
    async with Process.of(request).shares.page(request.user):
        shown = await transcript(request, await get_conversation(request, pk))
        return await in_thread(render)(request, "chat/_transcript.html", shown)


def with_transcript[**P](view: SignedInView[P]) -> SignedInView[P]:
    """Send along what a page shows next, so that it need not ask for that when its form has been accepted.

    For a form whose query names the `conversation` of its page, JSON has the `transcript` in HTML, from the message on
    that the query says.
    """

    @wraps(view)
    async def answered(request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        response = await view(request, *args, **kwargs)
        status = response.status_code
        if isinstance(response, JsonResponse) and status < 300 and "conversation" in request.GET:
            # What has been done stays done. A page that gets no transcript asks for it.
            with suppress(ValueError, Http404, OverLimit, *AWAY):
                html = (await transcript_page(request, UUID(request.GET["conversation"]))).text
                response = JsonResponse({**json.loads(response.content), "transcript": html}, status=status)
        return response

    return answered


async def get_conversation(request: SignedInRequest, pk: UUID) -> Conversation:
    conversation = await in_thread(Conversation.objects.own)(request.user.pk, pk)
    if conversation is None:
        raise Http404
    return conversation


async def get_lasting(request: SignedInRequest, pk: UUID) -> Conversation:
    """One that is in the lists."""
    return await aget_object_or_404(_conversations(request).lasting(), pk=pk)


async def get_question(request: SignedInRequest, pk: UUID) -> Message:
    questions = Message.objects.filter(role=Message.Role.USER, conversation__in=_conversations(request))
    return await aget_object_or_404(questions.select_related("conversation"), pk=pk)


async def get_reply(request: SignedInRequest, pk: UUID) -> Reply:
    replies = Reply.objects.for_user(request.user).select_related("message__conversation")
    return await aget_object_or_404(replies, pk=pk)


def _conversations(request: SignedInRequest) -> ConversationQuerySet:
    return Conversation.objects.for_user(request.user)


def question_form(
    request: SignedInRequest, data: Any = None, model: str = "", text: str = "", *, temporary: bool = False
) -> QuestionForm:
    """The form for a question, `text` at first; `model` is the one that its conversation used last, if there is one."""
    chosen = model or request.user.default_model or request.user.model
    return QuestionForm(data, initial={"text": text, "temporary": temporary}, **_models(request, chosen))


def model_form(request: SignedInRequest, data: Any, model: str) -> ModelForm:
    """The form for an answer by another model than `model`."""
    return ModelForm(data, **_models(request, model))


def _models(request: SignedInRequest, model: str) -> dict[str, Any]:
    """The models that this person may use, and the one that answers if they choose none."""
    catalog = Process.of(request).catalog
    offered = [model.name for model in catalog.models_for(request.user)]
    return {"models": offered, "model": catalog.choose(request.user, model).name}


def fields(request: HttpRequest) -> Mapping[str, Any]:
    """The fields of a form or of a JSON object of texts."""
    if request.content_type != "application/json":
        return request.POST
    unreadable = Refusal(400, "bad_json", gettext("The request must be a JSON object of strings, with a `text`."))
    try:
        data = json.loads(request.body)
        # JSON can spell halves of surrogate pairs, which are no text.
        json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise unreadable from None
    if not isinstance(data, dict) or not all(isinstance(value, str | None) for value in data.values()):
        raise unreadable
    return data


def deleted(request: SignedInRequest) -> dict[str, Any] | None:
    """What has been deleted at the moment that the query names, and can be restored at once."""
    moment = moment_of(request.GET.get("deleted", ""))
    conversations = list(Conversation.objects.trash_of(request.user).filter(trashed=moment)) if moment else []
    return {"moment": moment, "conversations": conversations} if conversations else None


def moment_of(value: str) -> datetime | None:
    """A moment in a query or a form; None if it is none."""
    try:
        moment = parse_datetime(value)
    except ValueError:
        return None
    return moment if moment and timezone.is_aware(moment) else None


def _answering(request: SignedInRequest, form: QuestionForm) -> list[str]:
    """The models that a browser shows as chosen, each once: the first one instead of one that is not offered."""
    model_for, also = Process.of(request).model_for, form["also"].value()
    model = model_for(request.user, form["model"].value())
    return [model, also] if also != model and also == model_for(request.user, also) else [model]


def _earlier(last: int, until: UUID | None, first: Message) -> str:
    """The link from `first` to twice as many messages; where that would be too many, to those up to `first`."""
    if last < MOST_SHOWN:
        query = {"last": str(min(2 * last, MOST_SHOWN))} | ({"until": str(until)} if until else {})
    else:
        query = {"until": str(first.pk)}
    return f"?{urlencode(query)}#message-{first.pk}"


def place(conversation: Conversation, message: Message, query: Mapping[str, str] | None = None) -> str:
    """The address of a message, with this query, on a page that shows it however far above the leaf it is."""
    asked = dict(query or {})
    if len(conversation.below(message)) > SHOWN:
        asked["from"] = str(message.parent_id or message.pk)
    return f"{conversation.get_absolute_url()}{f'?{urlencode(asked)}' if asked else ''}#message-{message.pk}"


def place_in_trash(conversation: Conversation, message: Message | None, words: str) -> str:
    """The address of a conversation in the trash, which marks the words; of a message, on a page with its branch."""
    asked = {"find": words} | ({"message": str(message.pk)} if message else {})
    place = f"#message-{message.pk}" if message else ""
    return f"{reverse('trashed', args=[conversation.pk])}?{urlencode(asked)}{place}"


def _is_running(message: Message) -> bool:
    return message.role == Message.Role.ASSISTANT and message.reply.is_running
