"""A conversation as a reviewer reads it: all messages of all branches by time, in pages."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync
from django.core.paginator import Paginator
from django.db.models import Count, F, Window
from django.db.models.functions import Lag, RowNumber
from django.utils import timezone

from chat import sentences
from chat.live import read_live
from chat.models import Conversation, Message, Reply
from chat.process import Process

MESSAGES_PER_PAGE = 50


def transcript(process: Process, conversation: Conversation, page_number: str) -> dict[str, Any]:
    """The template's context: each message of a page with its facts, the page, and the numbers of its neighbours.

    A page number out of range gives the nearest page, and text that is no number the first.
    """
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
    page = Paginator(every, MESSAGES_PER_PAGE).get_page(page_number)
    messages = list(page)
    async_to_sync(read_live)(process.log, messages)
    async_to_sync(process.rendering.show)(messages)
    pages = page.paginator.get_elided_page_range(page.number)
    return {"entries": [(message, dict(_facts(message))) for message in messages], "page": page, "pages": pages}


def _facts(message: Any) -> Iterator[tuple[str, str]]:
    is_answer = message.role == Message.Role.ASSISTANT
    if message.count > 1:
        yield "Answer" if is_answer else "Question", f"{message.position} of {message.count}"
    # Messages of several branches alternate here, so the one above need not be the parent.
    if message.parent_id != message.before:
        yield "In reply to", f"the message of {_time(message.parent_created)}" if message.parent_id else "nothing"
    if is_answer:
        yield from _reply_facts(message.reply)
    else:
        yield "Asked", _time(message.created)


def _reply_facts(reply: Reply) -> Iterator[tuple[str, str]]:
    yield "Model", reply.model
    yield "Asked", _time(reply.asked)
    if reply.started:
        yield "First token", _later(reply.started, reply.asked)
    if reply.ended:
        yield "Finished", _later(reply.ended, reply.asked)
    if reply.usage:
        yield "Tokens", ", ".join(f"{count:,} {name.removesuffix('_tokens')}" for name, count in reply.usage.items())
    yield "Attempt", str(reply.attempt)
    if reply.finish_reason:
        yield "Finish reason", reply.finish_reason
    if reply.upstream_id:
        yield "Upstream id", reply.upstream_id
    if reply.error:
        yield "Error", sentences.for_staff(reply.error)


def _time(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"


def _later(moment: datetime, start: datetime) -> str:
    return f"after {(moment - start).total_seconds():.1f} s"
