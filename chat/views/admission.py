"""Admission: store a reply if there is room for it, queue it, tell the client where it is; and stop it."""

import json
from collections.abc import Callable
from uuid import UUID

from django.http import HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext

from chat import sse
from chat.asking import AnswerNotChosen, ConversationChanged, QuestionsQueued, ReplyRunning
from chat.database import in_thread, retry_on_deadlock
from chat.limits import OverLimit
from chat.models import Reply
from chat.process import Process
from chat.views.pages import SeeOther
from chat.views.problems import Refusal, SignedInRequest
from chat.views.stream import event_stream

# Within this many seconds some replies will have ended.
BUSY_RETRY = 5


async def admit[T](request: SignedInRequest, store: Callable[[], T]) -> T:
    """Run `store`, a transaction, in a thread and return its result; raises Refusal when no other reply is allowed."""
    try:
        check_room(request)
        with Process.of(request).reserving():
            return await in_thread(retry_on_deadlock(store))()
    except ReplyRunning:
        sentence = gettext("The previous reply is still being written. Wait for it to finish, or stop it first.")
        raise Refusal(409, "reply_running", sentence) from None
    except AnswerNotChosen:
        raise not_chosen() from None
    except QuestionsQueued:
        sentence = gettext("Two answers can't be compared while questions are queued. Send or withdraw those first.")
        raise Refusal(409, "questions_queued", sentence) from None
    except ConversationChanged:
        raise changed() from None
    except OverLimit as limit:
        raise Refusal.of(limit) from None


def check_room(request: SignedInRequest) -> None:
    """Raise Refusal or OverLimit when this process has no room for another reply, or for its stream."""
    process = Process.of(request)
    if process.full:
        sentence = gettext("The server is busy. Nothing is lost. Try again in a few seconds.")
        raise Refusal(503, "busy", sentence, BUSY_RETRY)
    if _kind(request) == "text/event-stream":
        process.shares.check_streams(request.user)


def changed() -> Refusal:
    sentence = gettext("This conversation has changed in another window. Read what is new, then send again.")
    return Refusal(409, "conversation_changed", sentence)


def not_chosen() -> Refusal:
    return Refusal(409, "answer_not_chosen", gettext("Choose one of the two answers first."))


def unknown_parent() -> Refusal:
    return Refusal(422, "unknown_parent", gettext("The message to continue from no longer exists. Reload the page."))


def queue_and_respond(request: SignedInRequest, reply: Reply, *others: Reply) -> HttpResponseBase:
    """Queue the stored replies, and respond with the first in the form that the client asked for."""
    for stored in (reply, *others):
        Process.of(request).queue(stored.pk, stored.attempt)
    kind = _kind(request)
    if kind not in ("application/json", "text/event-stream"):
        return SeeOther(reply.message.get_absolute_url())
    conversation = reply.message.conversation
    started = {
        "conversation": {"id": str(conversation.pk), "url": conversation.get_absolute_url()},
        "message": {"id": str(reply.message.parent_id)},
        "reply": {
            "id": str(reply.pk),
            "url": reverse("reply", args=[reply.pk]),
            "events_url": reverse("reply_events", args=[reply.pk]),
            "stop_url": reverse("stop", args=[reply.pk]),
        },
    }
    if kind == "application/json":
        return JsonResponse(started, status=201)
    return event_stream(request, reply, 0, sse.encode("reply", json.dumps(started)))


def _kind(request: SignedInRequest) -> str | None:
    return request.get_preferred_type(["text/html", "application/json", "text/event-stream"])


async def stop_reply(request: SignedInRequest, reply_id: UUID) -> None:
    """Return once the reply has ended."""
    try:
        await Process.of(request).stop(reply_id)
    except TimeoutError:
        raise Refusal(503, "not_stopped", gettext("The reply couldn't be stopped. Try again.")) from None
