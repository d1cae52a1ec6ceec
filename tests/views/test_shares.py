"""One person's pages and streams leave room for everybody else's."""

import asyncio
from typing import cast

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from chat.models import User
from chat.views.problems import Refusal, SignedInRequest
from chat.views.shares import PAGES, PAGES_AT_ONCE, check_streams, in_turn, open_stream


class Pages:
    """A slow page: it is answered when the test says so."""

    def __init__(self) -> None:
        self.running = 0
        self.released = asyncio.Event()
        self.ask = in_turn(self._page)

    async def _page(self, request: SignedInRequest) -> HttpResponse:
        self.running += 1
        try:
            await self.released.wait()
        finally:
            self.running -= 1
        return HttpResponse()


def by(person: User) -> SignedInRequest:
    request = RequestFactory().get("/")
    request.user = person
    return cast("SignedInRequest", request)


async def turns() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_persons_pages_run_a_few_at_a_time() -> None:
    pages, alice, bob = Pages(), User(pk=1), User(pk=2)
    asked = [asyncio.create_task(pages.ask(by(alice))) for _ in range(PAGES)]
    await turns()
    assert pages.running == PAGES_AT_ONCE
    others = asyncio.create_task(pages.ask(by(bob)))
    await turns()
    assert pages.running == PAGES_AT_ONCE + 1
    with pytest.raises(Refusal) as refused:
        await pages.ask(by(alice))
    assert (refused.value.status, refused.value.code) == (429, "too_many_pages")
    asked.pop().cancel()
    await turns()
    pages.released.set()
    answers = await asyncio.gather(pages.ask(by(alice)), others, *asked)
    assert len(answers) == PAGES + 1


async def test_a_persons_streams_are_limited(settings: Settings) -> None:
    settings.CHAT_PERSON_STREAMS = 2
    alice, bob, sam = User(pk=1), User(pk=2), User(pk=3, is_staff=True)
    with open_stream(alice), open_stream(sam), open_stream(sam):
        check_streams(alice)
        with open_stream(alice):
            check_streams(bob)
            check_streams(sam)
            with pytest.raises(Refusal) as refused:
                check_streams(alice)
            assert (refused.value.status, refused.value.code) == (429, "too_many_streams")
        check_streams(alice)
