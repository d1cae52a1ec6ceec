"""A conversation as a reviewer reads it: all of its messages in the order of time, a page at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from chat.models import Conversation, Message, Reply

MESSAGES_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """A message with what is to be known about it; `place` says which of several answers to one question it is."""

    message: Message
    place: str
    facts: dict[str, str]


def transcript(conversation: Conversation, page_number: str) -> dict[str, Any]:
    """What the template shows: the entries of a page, the page and the pages around it.

    For a number that is no page's it is the first page or the last one.
    """
    messages = (
        conversation.messages.select_related("reply")
        .annotate(
            position=Window(RowNumber(), partition_by=F("parent"), order_by=["created", "pk"]),
            count=Window(Count("pk"), partition_by=F("parent")),
        )
        .order_by("created", "pk")
    )
    page = Paginator(messages, MESSAGES_A_PAGE).get_page(page_number)
    pages = page.paginator.get_elided_page_range(page.number)
    return {"entries": [_entry(message) for message in page], "page": page, "pages": pages}


def _entry(message: Any) -> Entry:
    is_answer = message.role == Message.Role.ASSISTANT
    if is_answer and message.reply.is_running:
        message.text, message.reply.reasoning = message.reply.so_far()
    noun = "Answer" if is_answer else "Question"
    place = f"{noun} {message.position} of {message.count}" if message.count > 1 else ""
    return Entry(message, place, dict(_facts(message.reply)) if is_answer else {})


def _facts(reply: Reply) -> Iterator[tuple[str, str]]:
    yield "Model", reply.model
    yield "Asked", _clock(reply.asked)
    if reply.started:
        yield "First piece", f"{_clock(reply.started)}, after {_seconds(reply.asked, reply.started)}"
    if reply.ended:
        yield "Ended", f"{_clock(reply.ended)}, after {_seconds(reply.asked, reply.ended)}"
    if reply.usage:
        yield "Tokens", ", ".join(f"{count:,} {name.removesuffix('_tokens')}" for name, count in reply.usage.items())
    yield "Attempt", str(reply.attempt)
    if reply.finish_reason:
        yield "Finish reason", reply.finish_reason
    if reply.upstream_id:
        yield "Upstream id", reply.upstream_id
    if reply.error_code:
        yield "Error", f"{reply.error_code}: {reply.error_message}"


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"


def _seconds(start: datetime, end: datetime) -> str:
    return f"{(end - start).total_seconds():.1f} s"
