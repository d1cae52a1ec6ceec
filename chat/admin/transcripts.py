"""A conversation as a reviewer reads it: all messages of all branches by time, in pages, and then what is queued."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.core.paginator import Page, Paginator
from django.db.models import Count, F, Window
from django.db.models.functions import Lag, RowNumber
from django.utils import dateformat, timezone
from django.utils.translation import gettext

from chat import sentences
from chat.live import read_live
from chat.models import Conversation, Message, QueuedQuestion, Reply
from chat.process import Process

MESSAGES_PER_PAGE = 50


async def transcript(
    process: Process, conversation: Conversation, page_number: str, *, has_text: bool
) -> dict[str, Any]:
    """The template's context: each message of a page with its facts, the page, and the numbers of its neighbours.

    The last page also has the queued questions with their facts. Without text, only the facts may be shown.

    A page number out of range gives the nearest page, and
    text that is no number the first.
    """
    page = await sync_to_async(_page)(conversation, page_number)
    messages: list[Message] = list(page.object_list)
    if has_text:
        await read_live(process.log, messages)
        await process.rendering.show(messages)
    queued = [] if page.has_next() else await sync_to_async(_queued)(conversation)
    return {
        "subtitle": conversation.title if has_text else str(conversation),
        "entries": [(message, dict(_facts(message, has_text))) for message in messages],
        "page": page,
        "pages": page.paginator.get_elided_page_range(page.number),
        "queued": [(question, _queued_facts(question)) for question in queued],
    }


def _page(conversation: Conversation, number: str) -> Page[Any]:
    siblings = F("parent")
    every = (
        conversation.messages.select_related("reply")
        .annotate(
            position=Window(RowNumber(), partition_by=siblings, order_by=["created", "pk"]),
            count=Window(Count("pk"), partition_by=siblings),
            before=Window(Lag("pk"), order_by=["created", "pk"]),
            parent_created=F("parent__created"),
        )
        .order_by("created", "pk")
    )
    page = Paginator(every, MESSAGES_PER_PAGE).get_page(number)
    page.object_list = list(page.object_list)
    return page


def _queued(conversation: Conversation) -> list[QueuedQuestion]:
    of_all_branches = QueuedQuestion.objects.filter(after__conversation=conversation)
    return list(of_all_branches.select_related("after__reply").order_by("created", "pk"))


def _facts(message: Any, has_text: bool) -> Iterator[tuple[str, str]]:
    is_answer = message.role == Message.Role.ASSISTANT
    if message.count > 1:
        position = gettext("%(position)d of %(count)d") % {"position": message.position, "count": message.count}
        yield gettext("Answer") if is_answer else gettext("Question"), position
    # Messages of several branches alternate here, so the one above need not be the parent.
    if message.parent_id != message.before:
        parent = _message_of(message.parent_created) if message.parent_id else gettext("nothing")
        yield gettext("In reply to"), parent
    if is_answer:
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
        yield gettext("Longest reply"), gettext("%(count)s tokens") % {"count": f"{reply.max_tokens:,}"}
    if reply.started:
        yield gettext("First token"), _later(reply.started, reply.asked)
    if reply.ended:
        yield gettext("Finished"), _later(reply.ended, reply.asked)
    if reply.usage:
        counts = (f"{count:,} {name.removesuffix('_tokens')}" for name, count in reply.usage.items())
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
