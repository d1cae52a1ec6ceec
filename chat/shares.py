"""A person's share of a process: a few pages at a time, while others are queued, and a number of open event streams."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from django.conf import settings

from chat.limits import OverLimit
from chat.models import User

# Half of the threads that all requests share: one person's slow pages leave the others to everybody else.
PAGES_AT_ONCE = 3
# A browser that restores its tabs asks for this many at most.
PAGES = 40
# Seconds after which to ask again for a page, or for a stream.
PAGE_RETRY = 5
STREAM_RETRY = 10


class _Queue:
    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(PAGES_AT_ONCE)
        self.length = 0


class Shares:
    """What each person uses of one process right now."""

    def __init__(self) -> None:
        self._queues: dict[int, _Queue] = {}
        self._streams: Counter[int] = Counter()

    @asynccontextmanager
    async def page(self, person: User) -> AsyncIterator[None]:
        """Queue for one of the person's PAGES_AT_ONCE slots; raises OverLimit when PAGES of them are queued or open."""
        queue = self._queues.setdefault(person.pk, _Queue())
        if queue.length >= PAGES:
            raise OverLimit("too_many_pages", PAGE_RETRY, most=PAGES)
        queue.length += 1
        try:
            async with queue.slots:
                yield
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[person.pk]

    def check_streams(self, person: User) -> None:
        """Raise OverLimit when a person already has the most streams open that are allowed. Staff have no limit."""
        most = settings.CHAT_PERSON_STREAMS
        if self._streams[person.pk] >= most and not person.is_staff:
            raise OverLimit("too_many_streams", STREAM_RETRY, most=most)

    @contextmanager
    def stream(self, person: User) -> Iterator[None]:
        """Count a stream until it ends."""
        self._streams[person.pk] += 1
        try:
            yield
        finally:
            self._streams[person.pk] -= 1
            if not self._streams[person.pk]:
                del self._streams[person.pk]
