"""Queues of conversations: who gets which, for how long, and what they give."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import chain
from threading import Barrier, Lock
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.db import connections
from django.utils import timezone

from chat.models import Conversation, Marking, ReviewLimit, ReviewQueue, User
from tests.hosts import PATIENCE
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
    assert queue.progress(alice) == {"all": 6, "done": 0}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wanted", [1, 2])
def test_three_reviewers_work_through_a_queue_at_once(alice: User, three: list[User], wanted: int) -> None:
    queue = fill(alice, 12, wanted)
    begin, held, lock = Barrier(3, timeout=PATIENCE), set[UUID](), Lock()

    def work(reviewer: User) -> list[UUID]:
        """The conversations that they mark until nothing is open to them."""
        marked = []
        try:
            begin.wait()
            while marking := claim(queue, reviewer):
                assert claim(queue, reviewer) == marking, "it is resumed"
                with lock:
                    assert marking.pk not in held, "another one has it"
                    held.add(marking.pk)
                marked.append(marking.conversation_id)
                with lock:
                    held.remove(marking.pk)
                assert marking.give(reviewer, {"Correct": "yes"})
        finally:
            connections.close_all()
        return marked

    with ThreadPoolExecutor(3) as threads:
        by_reviewer = list(threads.map(work, three))
    assert queue.progress(alice) == {"all": 12 * wanted, "done": 12 * wanted}
    assert Counter(chain(*by_reviewer)) == dict.fromkeys(Conversation.objects.values_list("pk", flat=True), wanted)
    for marked in by_reviewer:
        assert marked == sorted(set(marked)), "each takes the first that is open, and none twice"


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
    assert queue.progress(alice) == {"all": 1, "done": 1}


def test_what_is_skipped_goes_to_others(alice: User, three: list[User]) -> None:
    queue = fill(alice, 2)
    rob, rae, _ = three
    first = claim(queue, rob)
    assert first
    assert first.skip(rob)
    second = claim(queue, rob)
    assert second
    assert second != first
    assert claim(queue, rae) == first
    assert not first.skip(rob), "it is another one's"
    assert second.skip(rob)
    assert claim(queue, rob) is None
    assert queue.has_skipped(rob)
    assert not queue.has_skipped(rae)
    assert first.give(rae, {"Correct": "yes"})
    assert not first.skip(rae), "it is done"
    # After its time it comes back, and can be skipped again.
    queue.skips.update(until=timezone.now())
    again = claim(queue, rob)
    assert again == second
    assert again.skip(rob)
    assert claim(queue, rob) is None


def test_another_place_of_what_is_skipped_goes_to_others_too(alice: User, three: list[User]) -> None:
    queue = fill(alice, 1, reviewers=2)
    first = claim(queue, three[0])
    assert first
    assert first.skip(three[0])
    assert claim(queue, three[0]) is None
    assert claim(queue, three[1])
    assert claim(queue, three[2])


def test_only_what_nobody_has_is_taken_out(alice: User, three: list[User]) -> None:
    queue = fill(alice, 4)
    done, held, expired, free = queue.markings.order_by("conversation")
    rob, rae, ron = three
    assert [claim(queue, reviewer) for reviewer in three] == [done, held, expired]
    assert done.give(rob, {"Correct": "yes"})
    Marking.objects.filter(pk=expired.pk).update(reserved=timezone.now())
    pks = [marking.conversation_id for marking in (done, held, expired, free)]
    assert queue.take_out(pks[:1]) == 0
    assert queue.take_out(pks) == 2
    assert set(queue.markings.all()) == {done, held}
    assert queue.put(pks) == 2
    assert held.give(rae, {"Correct": "yes"})
    assert not expired.give(ron, {"Correct": "yes"})


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
