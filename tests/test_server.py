"""A server that tests share is as new for each of them."""

import pytest

from chat.models import ReviewLabel, ReviewQueue, ServerProcess, User
from tests.server import forget_everybody


@pytest.mark.django_db(transaction=True)
def test_nothing_is_left_of_those_who_have_used_it(alice: User) -> None:
    ReviewQueue.objects.create(name="Salt", rubric="Correct: yes, no")
    ReviewLabel.objects.create(name="Salt", key="salt")
    ServerProcess.objects.create(name="here", lease="2030-01-01T00:00Z")
    forget_everybody()
    assert [model.objects.count() for model in (User, ReviewQueue, ReviewLabel, ServerProcess)] == [0, 0, 0, 1]
