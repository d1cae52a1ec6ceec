"""A conversation as a reviewer reads it: one branch of it, in pages, with ways to the others, and what is queued."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Paginator
from django.http import HttpRequest, QueryDict
from django.utils import dateformat, timezone
from django.utils.http import urlencode
from django.utils.translation import gettext

from chat import sentences
from chat.admin.stops import FILTERS, stops
from chat.forms import grouped
from chat.live import read_live
from chat.models import Comparison, Conversation, Message, QueuedQuestion, Reply, tree
from chat.models.conversations import LONGEST_BRANCH
from chat.process import Process

MESSAGES_PER_PAGE = 50
# In the address of a transcript, the message whose branch is shown; empty for the whole conversation.
AT = "at"


@dataclass(frozen=True, slots=True)
class Ways:
    """From one of several things in order to the one before it and the one after it, as queries with a fragment.

    The position is counted from 1; None while the transcript is at none of them.
    """

    position: int | None
    count: int
    previous: str | None
    next: str | None


async def transcript(
    process: Process, request: HttpRequest, conversation: Conversation, *, has_text: bool
) -> dict[str, Any]:
    """The template's context: each message of a page of the branch with its facts, and the ways from there.

    The last page also has the queued questions with their facts. Without text, only the facts may be shown. A page
    number out of range gives the nearest page, and text that is no number the first.
    """
    place = await sync_to_async(Place)(request, conversation, has_text)
    messages = place.messages
    queued = [] if place.page.has_next() else await sync_to_async(_queued)(conversation)
    # As they will look when they are asked.
    questions = [Message(role=Message.Role.USER, text=question.text) for question in queued]
    if has_text:
        await read_live(process.log, messages)
        await process.rendering.show([*messages, *questions])
    return {
        "subtitle": conversation.title if has_text else str(conversation),
        "entries": [(message, dict(_facts(message, has_text)), place.siblings(message)) for message in messages],
        "page": place.page,
        "pages": place.page.paginator.get_elided_page_range(place.page.number),
        "queued": [
            (question, message, _queued_facts(question)) for question, message in zip(queued, questions, strict=True)
        ],
        "branches": place.branches,
        "is_on_screen": place.is_on_screen,
        "is_compared": place.is_compared,
        "stops": place.stops,
        "kind_of_stop": place.all_stops.kind,
        "terms": place.all_stops.terms,
        "listed": request.GET.get(FILTERS, ""),
    }


async def entry(process: Process, message: Message) -> dict[str, Any]:
    """The context of a single message with its facts."""
    await read_live(process.log, [message])
    await process.rendering.show([message])
    facts = dict(_facts(message, has_text=True))
    return {"message": message, "facts": facts, "original": message.conversation, "may_read": True}


def opening(request: HttpRequest, conversation: Conversation, *, has_text: bool) -> str | None:
    """The query to open a transcript with instead, where the list was filtered by something that is in there."""
    if AT in request.GET or PAGE_VAR in request.GET or FILTERS not in request.GET:
        return None
    found = stops(conversation, QueryDict(request.GET[FILTERS]), has_text=has_text)
    return _way(request, found.messages[0], found.places) if found.are_sought and found.messages else None


class Place:
    """The page of a branch that an address asks for."""

    def __init__(self, request: HttpRequest, conversation: Conversation, has_text: bool) -> None:
        self._request = request
        at = _message(conversation, request.GET.get(AT, ""))
        on_screen = _leaves_on_screen(conversation)
        leaf = tree.newest_leaf(at) if at else on_screen[-1]
        self.is_on_screen = leaf in on_screen
        self.is_compared = self.is_on_screen and len(on_screen) > 1
        branch = tree.path(leaf, LONGEST_BRANCH)[::-1] if leaf else []
        number = request.GET.get(PAGE_VAR) or (branch.index(at) // MESSAGES_PER_PAGE + 1 if at in branch else 1)
        self.page = Paginator(branch, MESSAGES_PER_PAGE).get_page(number)
        rows = conversation.messages.select_related("reply").in_bulk(self.page.object_list)
        self.messages = [rows[pk] for pk in self.page.object_list if pk in rows]
        conversation.find_siblings(self.messages)
        leaves = conversation.messages.filter(children=None).order_by("created", "pk")
        self.branches = self._ways([*leaves.values_list("pk", flat=True)], leaf, {})
        self.all_stops = stops(conversation, QueryDict(request.GET.get(FILTERS, "")), has_text=has_text)
        self.stops = self._ways(self.all_stops.messages, at, self.all_stops.places)

    def siblings(self, message: Message) -> Ways | None:
        """The ways to other answers to the same question, or other questions after the same answer."""
        if message.siblings is None:
            return None
        siblings = message.siblings
        to = partial(_way, self._request, places={})
        return Ways(
            siblings.position,
            siblings.count,
            to(siblings.previous) if siblings.previous else None,
            to(siblings.next) if siblings.next else None,
        )

    def _ways(self, messages: list[UUID | None], at: UUID | None, places: dict[UUID | None, str]) -> Ways:
        """From none of them, the next one is the first."""
        index = messages.index(at) if at in messages else None
        before, after = (None, 0) if index is None else (index - 1, index + 1)
        to = partial(_way, self._request, places=places)
        return Ways(
            None if index is None else index + 1,
            len(messages),
            to(messages[before]) if before is not None and before >= 0 else None,
            to(messages[after]) if after < len(messages) else None,
        )


def _way(request: HttpRequest, message: UUID | None, places: dict[UUID | None, str]) -> str:
    query = {AT: str(message or "")} | ({FILTERS: request.GET[FILTERS]} if FILTERS in request.GET else {})
    return f"?{urlencode(query)}#{places.get(message, f'message-{message}')}"


def _message(conversation: Conversation, pk: str) -> UUID | None:
    try:
        return conversation.messages.filter(pk=UUID(pk)).values_list("pk", flat=True).first()
    except ValueError:
        return None


def _leaves_on_screen(conversation: Conversation) -> Sequence[UUID | None]:
    """The end of the branch that its person sees, or the two answers that are compared there."""
    compared = Comparison.objects.filter(question=conversation.leaf_id).values_list("first", "second").first()
    return compared or [conversation.leaf_id]


def _queued(conversation: Conversation) -> list[QueuedQuestion]:
    of_all_branches = QueuedQuestion.objects.filter(after__conversation=conversation)
    return list(of_all_branches.select_related("after__reply").order_by("created", "pk"))


def _facts(message: Message, has_text: bool) -> Iterator[tuple[str, str]]:
    if message.role == Message.Role.ASSISTANT:
        yield from _reply_facts(message.reply, has_text)
    else:
        yield gettext("Asked"), _time(message.created)


def _queued_facts(question: QueuedQuestion) -> dict[str, str]:
    return {
        gettext("Model"): question.model,
        gettext("Sent"): _time(question.created),
        gettext("Follows"): _message_of(question.after.created),
    }


def _reply_facts(reply: Reply, has_text: bool) -> Iterator[tuple[str, str]]:
    yield gettext("Model"), reply.model
    yield gettext("Asked"), _time(reply.asked)
    if reply.temperature is not None:
        yield gettext("Temperature"), f"{reply.temperature:g}"
    if reply.max_tokens:
        yield gettext("Longest reply"), gettext("%(count)s tokens") % {"count": grouped(reply.max_tokens)}
    if reply.started:
        yield gettext("First token"), _later(reply.started, reply.asked)
    if reply.ended:
        yield gettext("Finished"), _later(reply.ended, reply.asked)
    if reply.usage:
        counts = (f"{grouped(count)} {name.removesuffix('_tokens')}" for name, count in reply.usage.items())
        yield gettext("Tokens"), ", ".join(counts)
    yield gettext("Attempt"), str(reply.attempt)
    if reply.finish_reason:
        yield gettext("Finish reason"), reply.finish_reason
    if reply.upstream_id:
        yield gettext("Upstream id"), reply.upstream_id
    if reply.error:
        yield gettext("Error"), sentences.for_staff(reply.error)
    if reply.feedback:
        verdict = str(Reply.Feedback(reply.feedback).label)
        has_reason = has_text and reply.feedback_reason
        yield gettext("Feedback"), f"{verdict}: {reply.feedback_reason}" if has_reason else verdict


def _message_of(moment: datetime) -> str:
    return gettext("the message of %(time)s") % {"time": _time(moment)}


def _time(moment: datetime) -> str:
    # As in the lists of the admin, with seconds.
    return dateformat.format(timezone.localtime(moment), gettext("N j, Y, g:i:s a"))


def _later(moment: datetime, start: datetime) -> str:
    return gettext("after %(seconds).1f s") % {"seconds": (moment - start).total_seconds()}
