"""A conversation as a document to take along: Markdown for people, JSON for programs.

Both are made message by message, so that a long conversation needs no more memory than a short one.
"""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol

from django.utils import dateformat, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat import sentences
from chat.models import Conversation, Message, Reply

logger = logging.getLogger(__name__)

INCOMPLETE = _("The rest is missing: the server ran into a problem. Try again in a moment.")

_ENDINGS: dict[str, str | Promise] = {
    Reply.Status.QUEUED: _("Still being written."),
    Reply.Status.STREAMING: _("Still being written."),
    Reply.Status.STOPPED: _("Stopped."),
    Reply.Status.INTERRUPTED: _("Interrupted."),
    Reply.Status.FAILED: _("Cut short."),
}


class Document(Protocol):
    """The parts of a file, in their order: `begin`, each `message`, `end`; or `incomplete` where it breaks off."""

    content_type: str
    suffix: str
    # Whether it has the messages of all branches, or those on screen.
    has_branches: bool

    def begin(self, conversation: Conversation) -> str: ...

    def message(self, message: Message) -> str: ...

    def end(self) -> str: ...

    def incomplete(self) -> str: ...


class Markdown:
    """Questions and answers as they were written, each under a heading with its author and time."""

    content_type = "text/markdown; charset=utf-8"
    suffix = "md"
    has_branches = False

    def begin(self, conversation: Conversation) -> str:
        return f"# {conversation.title}\n"

    def message(self, message: Message) -> str:
        moment = dateformat.format(timezone.localtime(message.created), gettext("j F Y, H:i"))
        if message.role == Message.Role.USER:
            return f"\n## {gettext('You')}, {moment}\n\n{message.text.strip()}\n"
        parts = [f"## {message.reply.model}, {moment}", message.text.strip(), _ending(message.reply)]
        return "".join(f"\n{part}\n" for part in parts if part)

    def end(self) -> str:
        return ""

    def incomplete(self) -> str:
        return f"\n**{INCOMPLETE}**\n"


class Json:
    """One object, whose `messages` name their `parent`; one message per line."""

    content_type = "application/json"
    suffix = "json"
    has_branches = True

    def __init__(self) -> None:
        self._separator = ""

    def begin(self, conversation: Conversation) -> str:
        head = {
            "id": str(conversation.pk),
            "title": conversation.title,
            "created": conversation.created.isoformat(),
            "updated": conversation.updated.isoformat(),
            "labels": list(conversation.label_names),
            "leaf": str(conversation.leaf_id),
        }
        return f'{encode(head)[:-1]}, "messages": ['

    def message(self, message: Message) -> str:
        line = f"{self._separator}\n{encode(message_fields(message))}"
        self._separator = ","
        return line

    def end(self) -> str:
        return "\n]}\n"

    def incomplete(self) -> str:
        # Nobody can take it for whole, as it cannot be read.
        return ""


DOCUMENTS: dict[str, type[Document]] = {document.suffix: document for document in (Markdown, Json)}


async def whole(parts: AsyncIterator[str], incomplete: Callable[[], str]) -> AsyncGenerator[str]:
    """The parts; where they break off, what says so, as Daphne leaves the connection open when a stream raises."""
    try:
        async for part in parts:
            yield part
    except Exception:
        logger.exception("A document broke off")
        yield incomplete()


def message_fields(message: Message) -> dict[str, object]:
    """What there is to know of a message, for programs; its `parent` says on which branch it is."""
    fields: dict[str, object] = {
        "id": str(message.pk),
        "parent": str(message.parent_id) if message.parent_id else None,
        "role": message.role,
        "created": message.created.isoformat(),
        "text": message.text,
    }
    if message.role == Message.Role.ASSISTANT:
        fields |= _reply_fields(message.reply)
    return fields


def encode(value: object) -> str:
    """As JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def _reply_fields(reply: Reply) -> dict[str, object]:
    return {
        "model": reply.model,
        "instructions": reply.instructions,
        "temperature": reply.temperature,
        "max_tokens": reply.max_tokens,
        "status": reply.status,
        "finish_reason": reply.finish_reason,
        "error": reply.error_code,
        "reasoning": reply.reasoning,
        "usage": reply.usage,
        "ended": reply.ended.isoformat() if reply.ended else None,
        "feedback": reply.feedback,
        "feedback_reason": reply.feedback_reason,
    }


def _ending(reply: Reply) -> str:
    """How the reply ended, unless it is complete."""
    words = [str(_ENDINGS.get(reply.status, "")), sentences.of(reply.error) if reply.error else ""]
    ending = " ".join(filter(None, words))
    return f"*{ending}*" if ending else ""
