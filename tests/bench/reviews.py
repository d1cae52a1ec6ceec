"""What is made of the conversations of tests.bench.data: reviews, labels, flags, reports, and what is in the trash.

A reviewer beside these may see the conversations of one group of people, another one those of a smaller group.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from chat.models import Conversation, Remark, Review, ReviewLabel, ReviewLabelling, ReviewLimit, User
from chat.models.labels import key_of

# One of so many conversations each. Primes: so these meet, and the shares of persons and models, as if by chance.
ONE_TRASHED = 47
ONE_REVIEWED = 19
# A fifth of these is settled.
ONE_FLAGGED = 401
REVIEWERS = ["ann", "ben", "cleo"]
STATES = [Review.State.DONE, Review.State.DONE, Review.State.IN_REVIEW, Review.State.NEW]
# One of so many reviews has the label.
LABELS = {"clear": 2, "wrong": 7, "unsafe": 101}
# One of so many people is in the group.
GROUPS = {"sales": 5, "lawyers": 100}
DAY = timedelta(days=1)


def limited_to(group: str) -> str:
    """The name of the reviewer who sees the people of this group only."""
    return f"reviewer-of-{group}"


class Desk:
    """Reviewers, their labels, and groups of these people."""

    def __init__(self, people: list[User], now: datetime) -> None:
        self._now = now
        self._reviewers = [_reviewer(name) for name in REVIEWERS]
        self._labels = ReviewLabel.objects.bulk_create(ReviewLabel(name=name, key=key_of(name)) for name in LABELS)
        for name, one in GROUPS.items():
            group = Group.objects.create(name=name)
            group.user_set.set(people[::one])
            ReviewLimit.objects.create(reviewer=_reviewer(limited_to(name))).groups.add(group)

    def trashed(self, number: int, created: datetime) -> datetime | None:
        """Since when the conversation of this number is in the trash, which keeps it for 30 days."""
        if number % ONE_TRASHED:
            return None
        return max(created, self._now - timedelta(hours=number % (30 * 24)))

    @transaction.atomic
    def store(self, conversations: Iterable[tuple[int, Conversation]]) -> None:
        """Store what is made of conversations, which are stored, by their numbers."""
        reviews: list[Review] = []
        labellings: list[ReviewLabelling] = []
        remarks: list[Remark] = []
        for number, conversation in conversations:
            if number % ONE_REVIEWED == 0:
                turn = number // ONE_REVIEWED
                review = self._review(turn, conversation)
                reviews.append(review)
                given = [label for label in self._labels if turn % LABELS[label.name] == 0]
                labellings += [ReviewLabelling(review=review, label=label) for label in given]
            if number % ONE_FLAGGED == 0:
                remarks.append(self._remark(number // ONE_FLAGGED, conversation))
        Review.objects.bulk_create(reviews)
        ReviewLabelling.objects.bulk_create(labellings)
        Remark.objects.bulk_create(remarks)

    def _review(self, turn: int, conversation: Conversation) -> Review:
        by = self._in_turn(turn)
        return Review(
            conversation=conversation,
            state=STATES[turn % len(STATES)],
            assignee=by if turn % 5 else None,
            version=1,
            changed=conversation.updated + DAY,
            changed_by=by,
        )

    def _remark(self, turn: int, conversation: Conversation) -> Remark:
        is_flag, is_settled, by = turn % 2 == 0, turn % 5 == 4, self._in_turn(turn)
        return Remark(
            conversation=conversation,
            message=conversation.leaf,
            kind=Remark.Kind.FLAG if is_flag else Remark.Kind.REPORT,
            by=by if is_flag else conversation.owner,
            text="Look at this.",
            created=conversation.updated + DAY,
            settled=conversation.updated + 2 * DAY if is_settled else None,
            settled_by=by if is_settled else None,
        )

    def _in_turn(self, turn: int) -> User:
        return self._reviewers[turn % len(self._reviewers)]


def _reviewer(name: str) -> User:
    reviewer = User.objects.create_user(name, is_staff=True)
    rights = ["view_conversation", "read_conversation", "review_conversation"]
    reviewer.user_permissions.set(Permission.objects.filter(codename__in=rights))
    return reviewer
