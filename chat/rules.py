"""Fills queues by their rules: a share of the new conversations that meet the conditions of each.

A rule goes round: from the conversation at which it was last to the newest, and then again from the start, as one may
fail or be judged long after it was begun. Whether one is in the share never changes, and none comes into a queue twice,
also if somebody has taken it out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from chat.conditions import CONDITIONS
from chat.models import Conversation, Job, QueueRule
from chat.models.conversations import ConversationQuerySet
from chat.models.ids import first_of

# By one job: so many conversations are looked at, and so many come into the queue, in one transaction.
LOOKED_AT = 1000
PUT = 100
# What a preview looks back at: so long, and so many that meet the conditions.
PREVIEW = timedelta(days=7)
PREVIEWED = 5000


def add_jobs() -> None:
    """Have the rules looked after that are due. Every process does so; a rule has one job at a time."""
    for queue in QueueRule.objects.due().values_list("pk", flat=True):
        Job.objects.add(Job.Kind.FILL, queue)


def fill(queue: str) -> Callable[[], None]:
    """Look for conversations for a queue; returns what puts them into it, unless its rule has changed meanwhile."""
    rule = QueueRule.objects.select_related("queue", "owner").filter(pk=UUID(queue)).first()
    if rule is None:
        return lambda: None
    start = rule.start
    ids = Conversation.objects.filter(pk__gt=start).order_by("pk").values_list("pk", flat=True)
    # The index alone tells, however few of them meet the conditions.
    end = ids[LOOKED_AT - 1 : LOOKED_AT].first()
    span = Conversation.objects.filter(pk__gt=start, **({"pk__lte": end} if end else {}))
    new = _new(rule, span)
    if len(new) > PUT:
        end = new[PUT - 1]

    def store() -> None:
        # After the last one comes the first again.
        changed = {"looked": timezone.now(), "reached": end or UUID(int=0)}
        if QueueRule.objects.filter(pk=rule.pk, since=rule.since).update(**changed):
            rule.queue.put(new[:PUT])

    return store


def _new(rule: QueueRule, among: ConversationQuerySet) -> list[UUID]:
    """Those among these that the rule chooses and that have not been in its queue, in order of their ids."""
    chosen = list(filter(rule.chooses, meeting(rule, among).order_by("pk").values_list("pk", flat=True)))
    there = rule.queue.markings.filter(conversation__in=chosen).values_list("conversation", flat=True)
    taken_out = rule.queue.taken_out.filter(conversation__in=chosen).values_list("conversation", flat=True)
    known = {*there, *taken_out}
    return [pk for pk in chosen if pk not in known]


def meeting(rule: QueueRule, among: ConversationQuerySet) -> ConversationQuerySet:
    """Those among these that meet the conditions, as far as the rule's owner may see and read them.

    One counts when its first reply has ended.
    """
    if not rule.can_choose:
        return among.none()
    rows: QuerySet[Conversation] = Conversation.objects.for_reviewer(rule.owner).kept().lasting().exclude(statuses="")
    for name, value in rule.conditions.items():
        rows = CONDITIONS[name](rows, value)
    # Each is looked up by its id. Otherwise SQLite finds all that meet a condition first, however few these are.
    return among.filter(Exists(rows.filter(pk=OuterRef("pk"))))


@dataclass(frozen=True, slots=True)
class Preview:
    """How many a rule would have chosen, of how many that met its conditions; there may be more of both."""

    chosen: int
    of: int
    is_part: bool


def preview(rule: QueueRule) -> Preview:
    """For the conversations that were begun within the last days, the newest first."""
    recent = Conversation.objects.filter(pk__gt=first_of(timezone.now() - PREVIEW))
    ids = list(meeting(rule, recent).order_by("-pk").values_list("pk", flat=True)[: PREVIEWED + 1])
    looked_at = ids[:PREVIEWED]
    return Preview(sum(map(rule.chooses, looked_at)), len(looked_at), len(ids) > PREVIEWED)
