"""Database work from the event loop: which threads it runs in."""

import threading

import pytest

from chat.database import DatabaseThreads, in_thread
from chat.tasks import spawn

# The threads look after the connections that earlier tests have left in them.
pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 60  # Seconds.


async def test_background_work_does_not_wait_for_other_background_work() -> None:
    done, threads = threading.Event(), DatabaseThreads(2)
    slow = spawn(in_thread(done.wait)(PATIENCE), "slow", threads)
    await spawn(in_thread(done.set)(), "quick", threads)
    assert await slow


async def test_work_of_a_request_stays_in_its_thread() -> None:
    first = await in_thread(threading.get_ident)()
    assert await in_thread(threading.get_ident)() == first
