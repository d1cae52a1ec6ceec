"""Where a reviewer stops in a transcript: at the hits, the flags, or the problems, that the list was filtered by."""

from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import F, Q
from django.http import QueryDict

from chat.models import Conversation, Reply
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
    """Messages in order of time, which may be on different branches; `terms` are what is marked in all texts.

    None, instead of a message, is the whole conversation.
    """

    messages: list[UUID | None]
    # What each of them is called: a hit, a flag, an answer or a problem.
    kind: str
    terms: list[dict[str, Any]] = field(default_factory=list)
    # Whether the list was filtered by what they have, so that a transcript opens at the first of them.
    are_sought: bool = False
    # The ids of elements to which ways lead, for messages whose own element is not the place.
    places: dict[UUID | None, str] = field(default_factory=dict)


def stops(conversation: Conversation, listed: QueryDict, *, has_text: bool) -> Stops:
    """Those that the query of the list asks for; otherwise wherever something went wrong. Without text, no hits."""
    words = listed.get(SEARCH_VAR, "")
    if words and has_text:
        found, terms = in_conversation(conversation, words, MOST)
        if found:
            return Stops([*found], "hit", terms=[asdict(term) for term in terms], are_sought=True)
    if value := listed.get("flagged"):
        return _flags(conversation, value, has_text=has_text)
    values = {name: value for name in FIELDS if (value := listed.get(name))}
    sought = Q()
    for name, value in values.items():
        sought |= Q(**{FIELDS[name]: value})
    are_problems = all(name == "error" or value in {*FAULTS, Reply.Feedback.BAD} for name, value in values.items())
    replies = Reply.objects.filter(sought or WENT_WRONG, message__conversation=conversation)
    messages = replies.order_by("message__created", "pk").values_list("pk", flat=True)[:MOST]
    return Stops(list(messages), "problem" if are_problems else "answer", are_sought=bool(sought))


def _flags(conversation: Conversation, value: str, *, has_text: bool) -> Stops:
    """Each message at its first flag. Without text no flag is on the page, and none is about all of it."""
    flags = conversation.remarks.open_as(value)
    # Of several flags of a message, the last one here is kept: the first that was raised.
    in_order = flags.order_by(F("message__created").asc(nulls_first=True), "message_id", "-pk")[:MOST]
    places = {flag.message_id: f"remark-{flag.pk}" for flag in in_order.only("message")}
    if has_text:
        return Stops([*places], "flag", are_sought=True, places=places)
    return Stops([message for message in places if message], "flag", are_sought=True)
