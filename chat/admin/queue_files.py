"""What reviewers have made of a queue, as JSON Lines."""

from collections.abc import AsyncIterator
from functools import partial
from typing import cast
from uuid import UUID

from django.http import HttpRequest

from chat import audit
from chat.admin import reasons
from chat.database import in_thread
from chat.documents import encode
from chat.models import AuditRecord, Conversation, Message, ReviewQueue, User
from chat.models.conversations import LONGEST_BRANCH

# Conversations that are in memory at the same time.
BATCH = 20


async def lines(request: HttpRequest, queue: ReviewQueue) -> AsyncIterator[str]:
    """The file in pieces."""
    last = UUID(int=0)
    while lines := await in_thread(_batch)(request, queue, last):
        yield "".join(lines.values())
        last = max(lines)


def _batch(request: HttpRequest, queue: ReviewQueue, after: UUID) -> dict[UUID, str]:
    """The lines of the next conversations, whose export is recorded when this returns."""
    marked = queue.markings.exclude(done=None).filter(conversation__gt=after)
    seen = marked.filter(conversation__in=Conversation.objects.for_reviewer(cast("User", request.user)))
    pks = list(seen.order_by("conversation").values_list("conversation", flat=True).distinct()[:BATCH])
    conversations = Conversation.objects.select_related("owner").in_bulk(pks)
    detail, reason = f"queue {queue.name}", reasons.reason_of(request)
    new = partial(audit.new, AuditRecord.Action.EXPORTED, request, detail=detail, reason=reason)
    audit.append(*(new(conversation=conversation) for conversation in conversations.values()), durable=True)
    return {pk: _line(queue, conversation) for pk, conversation in sorted(conversations.items())}


def _line(queue: ReviewQueue, conversation: Conversation) -> str:
    """The branch on screen as programs for evaluation and fine-tuning take it, and what reviewers make of it."""
    branch: list[Message] = conversation.branch(conversation.leaf_id, LONGEST_BRANCH)
    done = (
        queue.markings.exclude(done=None).filter(conversation=conversation).select_related("reviewer").order_by("done")
    )
    line = {
        "conversation": str(conversation.pk),
        "model": conversation.model,
        "messages": [{"id": str(message.pk), "role": message.role, "content": message.text} for message in branch],
        "reviews": [
            {
                "reviewer": marking.reviewer.get_username() if marking.reviewer else None,
                "marks": marking.marks,
                "correction": marking.correction or None,
                "corrects": str(marking.corrected_id) if marking.corrected_id else None,
            }
            for marking in done
        ],
    }
    return f"{encode(line)}\n"
