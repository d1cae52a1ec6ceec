"""What reviewers have made of a queue, as JSON Lines: a line for each conversation.

It is made in small pieces, so that a long conversation needs no more memory than a short one, nor many more than few.
"""

from collections.abc import AsyncIterator
from functools import partial
from itertools import batched
from typing import cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from chat import audit
from chat.admin import reasons
from chat.admin.review import REVIEW
from chat.database import in_thread
from chat.documents import encode
from chat.exports import CONVERSATIONS, MESSAGES, JsonLines
from chat.models import AuditRecord, Conversation, Marking, ReviewQueue, User, tree
from chat.models.conversations import LONGEST_BRANCH
from chat.process import Process

incomplete = JsonLines.incomplete


async def lines(request: HttpRequest, queue: ReviewQueue) -> AsyncIterator[str]:
    """The file in pieces. Each batch takes its turn among the reviewer's pages, and is recorded before it is sent."""
    shares, reviewer = Process.of(request).shares, cast("User", request.user)
    last: UUID | None = UUID(int=0)
    while last:
        async with shares.page(reviewer):
            last, conversations = await in_thread(_admit)(request, queue, last)
        for conversation in conversations:
            async for piece in _line(queue, conversation, reviewer):
                yield piece


def _admit(request: HttpRequest, queue: ReviewQueue, after: UUID) -> tuple[UUID | None, list[Conversation]]:
    """The next conversations, once it is recorded that they are exported, and the last id; none after all others.

    Raises PermissionDenied if the reviewer may no longer read or review.
    """
    reviewer = User.reader_now(cast("User", request.user).pk)
    if reviewer is None or not reviewer.has_perm(REVIEW):
        raise PermissionDenied
    marked = queue.markings.filter(conversation__gt=after).shown_to(reviewer)
    ids = list(marked.order_by("conversation").values_list("conversation", flat=True).distinct()[:CONVERSATIONS])
    rows = Conversation.objects.for_reviewer(reviewer).select_related("owner").in_bulk(ids)
    some = [rows[pk] for pk in ids if pk in rows]
    detail, reason = f"queue {queue.name}", reasons.reason_of(request)
    new = partial(audit.new, AuditRecord.Action.EXPORTED, request, detail=detail, reason=reason)
    audit.append(*(new(conversation=conversation) for conversation in some), durable=True)
    return ids[-1] if ids else None, some


async def _line(queue: ReviewQueue, conversation: Conversation, reviewer: User) -> AsyncIterator[str]:
    """The branch on screen as programs for evaluation and fine-tuning take it, and what reviewers make of it."""
    branch, reviews = await in_thread(_outline)(queue, conversation, reviewer)
    head = encode({"conversation": str(conversation.pk), "model": conversation.model})
    yield f'{head[:-1]}, "messages": ['
    separator = ""
    for some in batched(branch, MESSAGES):
        messages = await in_thread(_messages)(conversation, some)
        yield separator + ", ".join(map(encode, messages))
        separator = ", "
    yield f'], "reviews": {encode(reviews)}}}\n'


def _outline(
    queue: ReviewQueue, conversation: Conversation, reviewer: User
) -> tuple[list[UUID], list[dict[str, object]]]:
    """The ids of the messages, the first one first, and the reviews."""
    branch = tree.path(conversation.leaf_id, LONGEST_BRANCH) if conversation.leaf_id else []
    given = queue.markings.filter(conversation=conversation).shown_to(reviewer).select_related("reviewer")
    return branch[::-1], [_review(marking) for marking in given.order_by("done")]


def _messages(conversation: Conversation, ids: tuple[UUID, ...]) -> list[dict[str, object]]:
    rows = conversation.messages.only("role", "text").in_bulk(ids)
    return [{"id": str(pk), "role": rows[pk].role, "content": rows[pk].text} for pk in ids if pk in rows]


def _review(marking: Marking) -> dict[str, object]:
    return {
        "reviewer": marking.reviewer.get_username() if marking.reviewer else None,
        "marks": marking.marks,
        "correction": marking.correction or None,
        "corrects": str(marking.corrected_id) if marking.corrected_id else None,
    }
