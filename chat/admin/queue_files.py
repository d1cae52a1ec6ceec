"""What reviewers have made of a queue, as JSON Lines: a line for each branch of a conversation that was judged.

It is made in small pieces, so that a long conversation needs no more memory than a short one, nor many more than few.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial
from itertools import batched
from typing import Any, cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from chat import audit
from chat.admin import reasons
from chat.admin.review import REVIEW
from chat.database import in_thread
from chat.documents import encode
from chat.exports import CONVERSATIONS, MESSAGES, JsonLines
from chat.models import AuditRecord, Conversation, Marking, Message, ReviewQueue, User, tree
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
            for leaf, reviews in (await in_thread(_reviews)(queue, conversation, reviewer)).items():
                async for piece in _line(conversation, leaf, reviews):
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


def _reviews(
    queue: ReviewQueue, conversation: Conversation, reviewer: User
) -> dict[UUID | None, list[dict[str, object]]]:
    """By the end of the branch that they are about."""
    given = queue.markings.filter(conversation=conversation).shown_to(reviewer).select_related("reviewer")
    by_leaf: dict[UUID | None, list[dict[str, object]]] = defaultdict(list)
    for marking in given.order_by("done"):
        # Older marks name no branch. A better answer was for the last one of it.
        by_leaf[marking.leaf_id or marking.corrected_id or conversation.leaf_id].append(_review(marking))
    return by_leaf


async def _line(conversation: Conversation, leaf: UUID | None, reviews: list[dict[str, object]]) -> AsyncIterator[str]:
    """The branch as programs for evaluation and fine-tuning take it, and what reviewers make of it."""
    branch, instructions = await in_thread(_outline)(conversation, leaf)
    head = encode({"conversation": str(conversation.pk), "model": conversation.model})
    system = [encode({"role": "system", "content": instructions})] if instructions else []
    yield f'{head[:-1]}, "messages": [{"".join(system)}'
    separator = ", " if system else ""
    for some in batched(branch, MESSAGES):
        messages = await in_thread(_messages)(conversation, some, instructions)
        yield separator + ", ".join(map(encode, messages))
        separator = ", "
    yield f'], "reviews": {encode(reviews)}}}\n'


def _outline(conversation: Conversation, leaf: UUID | None) -> tuple[list[UUID], str]:
    """The ids of the messages, the first one first, and the instructions that were sent for the last answer."""
    branch = tree.path(leaf, LONGEST_BRANCH) if leaf else []
    answers = conversation.messages.filter(pk__in=branch[:2], role=Message.Role.ASSISTANT).order_by("created", "pk")
    return branch[::-1], answers.values_list("reply__instructions", flat=True).last() or ""


def _messages(conversation: Conversation, ids: tuple[UUID, ...], instructions: str) -> list[dict[str, object]]:
    """What was sent for an answer stands with it where that was not `instructions`."""
    fields = ("role", "text", "reply__model", "reply__status", "reply__instructions")
    rows = {row["pk"]: row for row in conversation.messages.filter(pk__in=ids).values("pk", *fields)}
    return [_message(rows[pk], instructions) for pk in ids if pk in rows]


def _message(row: dict[str, Any], instructions: str) -> dict[str, object]:
    message = {"id": str(row["pk"]), "role": row["role"], "content": row["text"]}
    if row["role"] == Message.Role.ASSISTANT:
        message |= {"model": row["reply__model"], "status": row["reply__status"]}
        if row["reply__instructions"] != instructions:
            message["instructions"] = row["reply__instructions"]
    return message


def _review(marking: Marking) -> dict[str, object]:
    return {
        "reviewer": marking.reviewer.get_username() if marking.reviewer else None,
        "marks": marking.marks,
        "correction": marking.correction or None,
        "corrects": str(marking.corrected_id) if marking.corrected_id else None,
    }
