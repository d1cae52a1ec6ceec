"""Queues of conversations: who gets which, for how long, and what they give."""

import asyncio
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from chat.database import in_thread
from chat.models import Conversation, Marking, ReviewLimit, ReviewQueue, User
from tests.test_admin import talk
from tests.test_admin_review import allow

RIGHTS = ("view_conversation", "read_conversation", "review_conversation")


@pytest.fixture
def three(db: None) -> list[User]:
    """Three reviewers."""
    return [allow(User.objects.create_user(name), *RIGHTS) for name in ("rob", "rae", "ron")]


def fill(owner: User, count: int, reviewers: int = 1) -> ReviewQueue:
    queue = ReviewQueue.objects.create(name="Salt", rubric="Correct: yes, no", reviewers=reviewers)
    assert queue.put([talk(owner, "Answer.").pk for _ in range(count)]) == count
    return queue


def claim(queue: ReviewQueue, reviewer: User) -> Marking | None:
    return Marking.objects.claim(queue, reviewer)


def test_a_conversation_is_in_a_queue_once(alice: User) -> None:
    queue = fill(alice, 2, reviewers=3)
    assert queue.put(Conversation.objects.values_list("pk", flat=True)) == 0
    assert queue.progress() == {"all": 6, "done": 0}


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
@pytest.mark.parametrize(("reviewers", "conversations"), [(1, 3), (3, 1)])
async def test_three_reviewers_at_once_get_each_place_once(
    alice: User, three: list[User], reviewers: int, conversations: int
) -> None:
    queue = await in_thread(fill)(alice, conversations, reviewers)
    given = await asyncio.gather(*(in_thread(claim)(queue, reviewer) for reviewer in three))
    assert len({marking.pk for marking in given if marking}) == 3
    assert len({marking.conversation_id for marking in given if marking}) == conversations


def test_a_reviewer_resumes_what_they_have_begun(alice: User, three: list[User]) -> None:
    queue = fill(alice, 3)
    rob, rae, _ = three
    assert claim(queue, rob) == claim(queue, rob)
    assert claim(queue, rae) != claim(queue, rob)


def test_a_reservation_expires(alice: User, three: list[User]) -> None:
    queue = fill(alice, 1)
    rob, rae, _ = three
    begun = claim(queue, rob)
    assert begun
    assert claim(queue, rae) is None
    Marking.objects.update(reserved=timezone.now() - timedelta(minutes=1))
    assert claim(queue, rae) == begun
    assert not begun.give(rob, {"Correct": "yes"})
    assert begun.give(rae, {"Correct": "no"})
    assert claim(queue, rob) is None
    assert queue.progress() == {"all": 1, "done": 1}


def test_nobody_marks_a_conversation_twice(alice: User, three: list[User]) -> None:
    queue = fill(alice, 1, reviewers=2)
    rob, rae, ron = three
    first = claim(queue, rob)
    assert first
    assert first.give(rob, {"Correct": "yes"})
    assert not first.give(rob, {"Correct": "no"})
    assert claim(queue, rob) is None
    second = Marking.objects.get(place=1)
    assert not second.reserve(rob, timedelta(minutes=1))
    assert claim(queue, rae) == second
    assert claim(queue, ron) is None


def test_a_limited_reviewer_gets_nobody_elses(alice: User, bob: User, three: list[User]) -> None:
    queue = fill(alice, 1)
    limit = ReviewLimit.objects.create(reviewer=three[0])
    limit.groups.add(group := Group.objects.create(name="Cooks"))
    limited = User.objects.get(pk=three[0].pk)
    assert claim(queue, limited) is None
    alice.groups.add(group)
    assert claim(queue, limited)


def test_marks_go_with_their_conversation_and_stay_without_their_reviewer(alice: User, three: list[User]) -> None:
    queue = fill(alice, 1)
    marking = claim(queue, three[0])
    assert marking
    assert marking.give(three[0], {"Correct": "yes"}, "Three spoons.", marking.conversation.leaf)
    three[0].delete()
    assert Marking.objects.get().marks == {"Correct": "yes"}
    Conversation.objects.all().erase()
    assert not Marking.objects.exists()
