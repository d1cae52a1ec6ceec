"""One person's pages and streams leave room for everybody else's."""

import asyncio

import pytest
from pytest_django import Settings

from chat.limits import OverLimit
from chat.models import User
from chat.shares import PAGES, PAGES_AT_ONCE, Shares


class Pages:
    """A slow page: it is made when the test says so."""

    def __init__(self) -> None:
        self.running = 0
        self.released = asyncio.Event()
        self._shares = Shares()

    async def ask(self, person: User) -> None:
        async with self._shares.page(person):
            self.running += 1
            try:
                await self.released.wait()
            finally:
                self.running -= 1


async def let_tasks_run() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_persons_pages_run_a_few_at_a_time() -> None:
    pages, alice, bob = Pages(), User(pk=1), User(pk=2)
    asked = [asyncio.create_task(pages.ask(alice)) for _ in range(PAGES)]
    await let_tasks_run()
    assert pages.running == PAGES_AT_ONCE
    others = asyncio.create_task(pages.ask(bob))
    await let_tasks_run()
    assert pages.running == PAGES_AT_ONCE + 1
    with pytest.raises(OverLimit, match="too_many_pages"):
        await pages.ask(alice)
    asked.pop().cancel()
    await let_tasks_run()
    pages.released.set()
    await asyncio.gather(pages.ask(alice), others, *asked)
    assert pages.running == 0


def test_a_persons_streams_are_limited(settings: Settings) -> None:
    settings.CHAT_PERSON_STREAMS = 2
    shares, alice, bob, sam = Shares(), User(pk=1), User(pk=2), User(pk=3, is_staff=True)
    with shares.stream(alice), shares.stream(sam), shares.stream(sam):
        shares.check_streams(alice)
        with shares.stream(alice):
            shares.check_streams(bob)
            shares.check_streams(sam)
            with pytest.raises(OverLimit, match="too_many_streams"):
                shares.check_streams(alice)
        shares.check_streams(alice)
