"""Conversations as files: JSON Lines with one conversation a line, CSV with one message a row.

Both are made in small batches, so that a long conversation needs no more memory than a short one, and many no more than
few. Between two batches no thread and no transaction is kept.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from chat import audit
from chat.admin import reasons
from chat.admin.files import attachment, csv_line
from chat.admin.reading import Action, asked_for, reader_now
from chat.database import in_thread
from chat.documents import INCOMPLETE, encode, message_fields
from chat.live import read_live
from chat.models import Conversation, Message, Review, User
from chat.process import Process

# So many conversations are recorded, and so many messages are in memory, at the same time.
CONVERSATIONS = 50
MESSAGES = 20


class JsonLines:
    """A conversation on one line, whose `messages` name their `parent`."""

    header = ""

    def __init__(self) -> None:
        self._separator = ""

    def begin(self, conversation: Conversation) -> str:
        return f'{encode(_facts(conversation))[:-1]}, "messages": ['

    def message(self, message: Message) -> str:
        separator, self._separator = self._separator, ", "
        return f"{separator}{encode(_fields(message))}"

    def end(self) -> str:
        return "]}\n"

    @staticmethod
    def incomplete() -> str:
        # On a line of its own: that before it may be without its end.
        return f"\n{encode({'incomplete': str(INCOMPLETE)})}\n"


class Csv:
    """A message in each row, with the conversation that it is in. The columns are those of the fields in JSON Lines."""

    # The conversation of the message. `id` is that of the message.
    ABOUT = ("conversation", "owner", "title")
    COLUMNS = (
        "id",
        "parent",
        "role",
        "created",
        "text",
        "model",
        "instructions",
        "temperature",
        "max_tokens",
        "status",
        "finish_reason",
        "error",
        "reasoning",
        "prompt_tokens",
        "completion_tokens",
        "asked",
        "started",
        "ended",
        "attempt",
        "upstream_id",
        "feedback",
        "feedback_reason",
    )
    header = csv_line([*ABOUT, *COLUMNS])

    def begin(self, conversation: Conversation) -> str:
        self._about = [conversation.pk, conversation.owner.get_username(), conversation.title]
        return ""

    def message(self, message: Message) -> str:
        fields = _fields(message)
        fields |= cast("dict[str, object]", fields.get("usage") or {})
        return csv_line([*self._about, *map(fields.get, self.COLUMNS)])

    def end(self) -> str:
        return ""

    @staticmethod
    def incomplete() -> str:
        return csv_line([INCOMPLETE])


FORMATS: dict[str, type[JsonLines | Csv]] = {"jsonl": JsonLines, "csv": Csv}


def export(request: HttpRequest, listed: QuerySet[Conversation], suffix: str) -> StreamingHttpResponse:
    """The file with these conversations, the first begun first. That it was asked for is recorded here.

    That it has the text of a conversation is recorded before that is sent.
    """
    kind, detail, reason = FORMATS[suffix], f"conversations, {suffix}: {asked_for(request)}", reasons.reason_of(request)
    audit.record(Action.EXPORTED, request, detail=detail, reason=reason)

    async def parts() -> AsyncIterator[str]:
        yield kind.header
        async for some in _batches(request, listed, detail, reason):
            for conversation in some:
                document = kind()
                begin = document.begin(conversation)
                async for messages in _messages(request, conversation):
                    yield begin + "".join(map(document.message, messages))
                    begin = ""
                yield document.end()

    return attachment(parts(), "conversations", suffix, kind.incomplete)


async def _batches(
    request: HttpRequest, listed: QuerySet[Conversation], detail: str, reason: str
) -> AsyncIterator[list[Conversation]]:
    """The conversations, which are recorded. Each batch takes its turn among the reviewer's pages."""
    shares, reader = Process.of(request).shares, cast("User", request.user)
    last: UUID | None = UUID(int=0)
    while last:
        async with shares.page(reader):
            last, some = await in_thread(_admit)(request, listed, last, detail, reason)
        yield some


def _admit(
    request: HttpRequest, listed: QuerySet[Conversation], after: UUID, detail: str, reason: str
) -> tuple[UUID | None, list[Conversation]]:
    """The next conversations, once it is recorded that they are exported, and the last id; none after all others.

    Raises PermissionDenied if the reviewer may not read any more.
    """
    reader = reader_now(cast("User", request.user).pk)
    if reader is None:
        raise PermissionDenied
    # By their ids, as their activity changes meanwhile, and they are not found twice or never.
    ids = list(listed.order_by("pk").filter(pk__gt=after).values_list("pk", flat=True)[:CONVERSATIONS])
    seen = Conversation.objects.for_reviewer(reader).select_related("owner", "review__assignee")
    rows = seen.prefetch_related("review__labellings__label").in_bulk(ids)
    some = [rows[pk] for pk in ids if pk in rows]
    new = partial(audit.new, Action.EXPORTED, request, detail=detail, reason=reason)
    audit.append(*(new(conversation=conversation) for conversation in some), durable=True)
    return ids[-1] if ids else None, some


async def _messages(request: HttpRequest, conversation: Conversation) -> AsyncIterator[list[Message]]:
    """Those of all branches by their time, with what there is of running replies."""
    process, last = Process.of(request), None
    while True:
        async with process.shares.page(cast("User", request.user)):
            some = await in_thread(_read)(conversation, last)
            await read_live(process.log, some)
        yield some
        if len(some) < MESSAGES:
            return
        last = some[-1]


def _read(conversation: Conversation, after: Message | None) -> list[Message]:
    rows = conversation.messages.select_related("reply").order_by("created", "pk")
    if after:
        # In this form both databases walk the index from there on.
        rows = rows.filter(created__gte=after.created).exclude(created=after.created, pk__lte=after.pk)
    some = list(rows[:MESSAGES])
    for message in some:
        if message.role == Message.Role.ASSISTANT:
            # Two rows that refer to each other would wait for the garbage collector, which minds no sizes.
            message.reply._state.fields_cache.clear()
    return some


def _facts(conversation: Conversation) -> dict[str, object]:
    review: Review | None = getattr(conversation, "review", None)
    return {
        "id": str(conversation.pk),
        "owner": conversation.owner.get_username(),
        "title": conversation.title,
        "created": conversation.created.isoformat(),
        "updated": conversation.updated.isoformat(),
        "model": conversation.model,
        "instructions": conversation.instructions,
        "temperature": conversation.temperature,
        "max_tokens": conversation.max_tokens,
        "message_count": conversation.message_count,
        "tokens": conversation.tokens,
        "statuses": conversation.statuses.split(),
        "good": conversation.good,
        "bad": conversation.bad,
        "temporary": conversation.temporary,
        "trashed": conversation.trashed and conversation.trashed.isoformat(),
        "review": review and _review(review),
        "leaf": conversation.leaf_id and str(conversation.leaf_id),
    }


def _review(review: Review) -> dict[str, object]:
    assignee = review.assignee and review.assignee.get_username()
    labels = sorted(labelling.label.name for labelling in review.labellings.all())
    return {"state": review.state, "assignee": assignee, "labels": labels}


def _fields(message: Message) -> dict[str, object]:
    fields = message_fields(message)
    if message.role == Message.Role.ASSISTANT:
        reply = message.reply
        fields |= {
            "asked": reply.asked.isoformat(),
            "started": reply.started and reply.started.isoformat(),
            "attempt": reply.attempt,
            "upstream_id": reply.upstream_id,
        }
    return fields
