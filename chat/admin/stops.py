"""Where a reviewer stops in a transcript: at the hits, the flags, or the problems, that the list was filtered by."""

from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Q
from django.http import QueryDict

from chat.models import Conversation, Message, Reply
from chat.search import in_conversation

# In the address of a page, the query of the list that has led to it; the name is Django's.
FILTERS = "_changelist_filters"
# A transcript has at most so many stops of one kind.
MOST = 500

FAULTS = [Reply.Status.FAILED, Reply.Status.INTERRUPTED]
WENT_WRONG = Q(status__in=FAULTS) | Q(feedback=Reply.Feedback.BAD)
# What the list is filtered by, as a field of a reply.
FIELDS = {"status": "status", "error": "error_code", "feedback": "feedback"}


@dataclass(frozen=True, slots=True)
class Stops:
    """Messages in order of time, which may be on different branches; `terms` are what is marked in all texts."""

    messages: list[UUID]
    # What each of them is called: a hit, a flag, an answer or a problem.
    kind: str
    terms: list[dict[str, Any]] = field(default_factory=list)
    # Whether the list was filtered by what they have, so that a transcript opens at the first of them.
    are_sought: bool = False


def stops(conversation: Conversation, listed: QueryDict, *, has_text: bool) -> Stops:
    """Those that the query of the list asks for; otherwise wherever something went wrong. Without text, no hits."""
    words = listed.get(SEARCH_VAR, "")
    if words and has_text:
        found, terms = in_conversation(conversation, words, MOST)
        if found:
            return Stops(found, "hit", terms=[asdict(term) for term in terms], are_sought=True)
    if value := listed.get("flagged"):
        flagged = Message.objects.filter(pk__in=conversation.remarks.open_as(value).values("message"))
        return Stops(
            list(flagged.order_by("created", "pk").values_list("pk", flat=True)[:MOST]), "flag", are_sought=True
        )
    values = {name: value for name in FIELDS if (value := listed.get(name))}
    sought = Q()
    for name, value in values.items():
        sought |= Q(**{FIELDS[name]: value})
    are_problems = all(name == "error" or value in {*FAULTS, Reply.Feedback.BAD} for name, value in values.items())
    replies = Reply.objects.filter(sought or WENT_WRONG, message__conversation=conversation)
    messages = replies.order_by("message__created", "pk").values_list("pk", flat=True)[:MOST]
    return Stops(list(messages), "problem" if are_problems else "answer", are_sought=bool(sought))
