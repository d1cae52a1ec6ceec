"""Conversations as files: JSON Lines with one conversation a line, CSV with one message a row.

Both are made in small batches, so that a long conversation needs no more memory than a short one, and many no more than
few. Between two batches no thread and no transaction is kept.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import cast
from uuid import UUID

from django.core.exceptions import PermissionDenied

from chat import audit
from chat.documents import INCOMPLETE, encode, message_fields
from chat.models import AuditRecord, Conversation, Export, Message, Review, User
from chat.spreadsheets import row

# At most this many conversations are recorded, and this many messages are in memory, at the same time.
CONVERSATIONS = 50
MESSAGES = 20

# Gives the next messages of a conversation, at most MESSAGES: those after this one.
type Read = Callable[[Conversation, Message | None], Awaitable[list[Message]]]


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
        # On its own line, as the line before it may lack its end.
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
    header = row([*ABOUT, *COLUMNS])

    def begin(self, conversation: Conversation) -> str:
        self._about = [conversation.pk, conversation.owner.get_username(), conversation.title]
        return ""

    def message(self, message: Message) -> str:
        fields = _fields(message)
        fields |= cast("dict[str, object]", fields.get("usage") or {})
        return row([*self._about, *map(fields.get, self.COLUMNS)])

    def end(self) -> str:
        return ""

    @staticmethod
    def incomplete() -> str:
        return row([INCOMPLETE])


FORMATS: dict[str, type[JsonLines | Csv]] = {"jsonl": JsonLines, "csv": Csv}


def admit(export: Export, ids: list[UUID]) -> list[Conversation]:
    """Those of these conversations that the reviewer still sees, once it is recorded that they are exported.

    Raises PermissionDenied if the reviewer may no longer read.
    """
    reader = User.reader_now(export.person_id)
    if reader is None:
        raise PermissionDenied
    seen = Conversation.objects.for_reviewer(reader).select_related("owner", "review__assignee")
    rows = seen.prefetch_related("review__labellings__label").in_bulk(ids)
    some = [rows[pk] for pk in ids if pk in rows]
    new = partial(audit.new, AuditRecord.Action.EXPORTED, by=reader, address=export.address)
    records = (new(conversation=conversation, detail=export.detail, reason=export.reason) for conversation in some)
    audit.append(*records, durable=True)
    return some


async def pieces(suffix: str, conversation: Conversation, read: Read) -> AsyncIterator[tuple[str, int]]:
    """What a file of this format has of a conversation, each piece with the number of messages in it."""
    document = FORMATS[suffix]()
    text, last = document.begin(conversation), None
    while True:
        some = await read(conversation, last)
        text += "".join(map(document.message, some))
        if len(some) < MESSAGES:
            yield text + document.end(), len(some)
            return
        yield text, len(some)
        text, last = "", some[-1]


def read_messages(conversation: Conversation, after: Message | None) -> list[Message]:
    """Those of all branches by their time."""
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
