"""How much one person may ask for."""

import math
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from chat.models import LedgerEntry, Reply, User

PERIOD = timedelta(minutes=1)
# Seconds after which to ask again, as nobody knows when a running reply ends.
RUNNING_RETRY = 10


class OverLimit(Exception):
    """A person asks for more than is allowed.

    `code` and `params` are for `sentences.limit`; the same request may succeed after `retry_after` seconds.
    """

    def __init__(self, code: str, retry_after: int, **params: int) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after
        self.params = params


def check_person(person_id: int) -> User:
    """The person, locked; raises OverLimit when they may not ask for another reply.

    Called in the transaction that stores it.
    """
    # With the lock, the later of two questions asked at the same moment sees the earlier one.
    person = User.lock(person_id)
    if person.is_staff:
        return person
    most = settings.CHAT_PERSON_RUNNING
    if Reply.objects.running_of(person.pk) >= most:
        raise OverLimit("too_many_running", RUNNING_RETRY, most=most)
    check_questions(person)
    return person


def check_questions(person: User) -> None:
    """Raise OverLimit when a person has asked as many questions in the last minute as they may."""
    if person.is_staff:
        return
    now, most = timezone.now(), settings.CHAT_PERSON_QUESTIONS
    since = now - PERIOD
    if LedgerEntry.objects.count_since(person.pk, since) < most:
        return
    asked = LedgerEntry.objects.asked_since(person.pk, since).order_by("-asked").values_list("asked", flat=True)
    if oldest := asked[most - 1 : most].first():
        wait = math.ceil((oldest + PERIOD - now).total_seconds())
        raise OverLimit("too_many_questions", wait, most=most, wait=wait)
