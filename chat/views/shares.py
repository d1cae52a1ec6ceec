"""A person's share of a process: a few pages at a time, the others in turn, and a number of open event streams."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from typing import Any, Concatenate

from django.conf import settings
from django.http import HttpResponseBase

from chat.models import User
from chat.views.problems import Refusal, SignedInRequest

# Half of the threads that all requests share: one person's slow pages leave the others to everybody else.
PAGES_AT_ONCE = 3
# A browser that restores its tabs asks for this many at most.
PAGES = 40
# Seconds after which another page, or another stream, may be let in.
PAGE_RETRY = 5
STREAM_RETRY = 10

type View[**P] = Callable[Concatenate[SignedInRequest, P], Coroutine[Any, Any, HttpResponseBase]]


class _Queue:
    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(PAGES_AT_ONCE)
        self.length = 0


_queues: dict[Any, _Queue] = {}
_streams: Counter[Any] = Counter()


def in_turn[**P](view: View[P]) -> View[P]:
    """Run at most PAGES_AT_ONCE such views at the same time for one person; raises Refusal when too many wait."""

    @wraps(view)
    async def waiting(request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        async with _turn(request.user):
            return await view(request, *args, **kwargs)

    return waiting


@asynccontextmanager
async def _turn(person: User) -> AsyncIterator[None]:
    queue = _queues.setdefault(person.pk, _Queue())
    if queue.length >= PAGES:
        sentence = "You've opened too many pages at once. Wait a few seconds, then reload the page."
        raise Refusal(429, "too_many_pages", sentence, PAGE_RETRY)
    queue.length += 1
    try:
        async with queue.turns:
            yield
    finally:
        queue.length -= 1
        if not queue.length:
            del _queues[person.pk]


def check_streams(person: User) -> None:
    """Raise Refusal when a person has as many event streams open as is allowed. Staff have no limit."""
    most = settings.CHAT_PERSON_STREAMS
    if _streams[person.pk] >= most and not person.is_staff:
        sentence = f"You're following too many replies at once. The limit is {most}. Close some tabs, then try again."
        raise Refusal(429, "too_many_streams", sentence, STREAM_RETRY)


@contextmanager
def open_stream(person: User) -> Iterator[None]:
    """Count the stream until it ends."""
    _streams[person.pk] += 1
    try:
        yield
    finally:
        _streams[person.pk] -= 1
        if not _streams[person.pk]:
            del _streams[person.pk]
