"""Several processes of Parley in one event loop, on the test's database, as if each ran on its own host."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from chat import asking, sse
from chat.catalog import Catalog, Model
from chat.completions import Endpoint, Limits
from chat.database import in_thread
from chat.events import Delta, End, Entry
from chat.generation import Run
from chat.models import Reply, ServerProcess, User
from chat.process import Options, Process
from tests.client import AsyncClient
from tests.replylogs import end_threads
from tests.upstream import Upstream
from tests.visitor import Event, written

# No lease runs out and no process looks for claimable replies on its own: the test decides when.
LONG = timedelta(hours=1)
# In seconds: what has not happened by then never will.
PATIENCE = 60
KEY = "sk-secret"

type StartHost = Callable[..., Awaitable["Host"]]


class Host(Process):
    """A process whose model `small` is a scripted endpoint."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # The recurring work that it has done at least once.
        self._done: set[Callable[[], Awaitable[None]]] = set()

    async def has_begun(self) -> None:
        """Return when all recurring work has been done once, so that none of it comes in the middle of a test."""
        async with asyncio.timeout(PATIENCE):
            while len(self._done) < len(self._tasks):  # noqa: ASYNC110 (only that tells)
                await asyncio.sleep(0.01)

    async def _every(
        self, beats: int, work: Callable[[], Awaitable[None]], sooner: asyncio.Event | None = None
    ) -> None:
        async def noted() -> None:
            try:
                await work()
            finally:
                self._done.add(work)

        await super()._every(beats, noted, sooner)

    async def close(self) -> None:
        await super().close()
        await end_threads(self.log, self.threads, self.lease._thread, self.jobs._threads)

    @classmethod
    def asking(cls, upstream: Upstream, continuation: str = "none", **options: Any) -> Self:
        """`continuation` is the one of the model, `options` are those of the process."""
        endpoint = Endpoint(upstream.url, KEY, Limits(connect=10, first_piece=30, gap=30, total=60))
        defaults: dict[str, Any] = {
            "lease": LONG,
            "drain": timedelta(0),
            "running": 100,
            "queued": 100,
            "system_prompt": "",
            "prompt_chars": 10_000,
            "reply_bytes": 10_000,
            "title_model": "",
        }
        return cls(
            Options(**defaults | options),
            settings.REDIS_URL,
            Catalog([Model("small", endpoint, continuation)]),
        )

    async def ask(
        self, person: User, question: str = "Hello?", model: str = "small", *, temporary: bool = False
    ) -> tuple[Reply, Run]:
        """Store the first question of a conversation, and make its reply."""
        reply = await in_thread(asking.begin)(person, question, model, temporary=temporary)
        return reply, self.queue(reply.pk, reply.attempt)

    async def resume(self, reply: Reply) -> Run:
        """Make the rest of a reply that broke off."""
        resumed = await in_thread(asking.resume)(reply, "small")
        assert resumed
        await self.log.hide_end(resumed.pk)
        return self.queue(resumed.pk, resumed.attempt)

    async def until(self, reply: Reply, words: str) -> int:
        """The seq at which these words are in the log, as soon as they are."""
        written = ""
        async with asyncio.timeout(PATIENCE), aclosing(self.log.follow(reply.pk, 0)) as news:
            async for entries in news:
                written += text_of(entries)
                if words in written:
                    return entries[-1][0]
        raise AssertionError(f"The reply ended with {written!r}")

    async def read(self, reply: Reply, after: int = 0) -> tuple[str, End]:
        """The text after a seq and the end of a reply, as a reader at this host gets them."""
        found: list[Entry] = []
        async with asyncio.timeout(PATIENCE):
            async for entries in self.log.follow(reply.pk, after):
                found += entries
        end = found[-1][1]
        assert isinstance(end, End)
        return text_of(found), end

    async def browser(self, person: User) -> AsyncClient:
        """A client whose requests this process answers, signed in as this person."""
        client = AsyncClient()
        client.handler.process = self
        await client.aforce_login(person)
        return client

    async def renew_after(self, outage: timedelta) -> None:
        """Renew the lease as if that had not been possible for this long."""
        assert self.lease.renewed
        self.lease.renewed -= outage.total_seconds()
        await self.lease.renew()

    async def has_granted_slot(self, run: Run) -> None:
        """Return when a queued run has noticed that it has a slot."""
        while not run._has_slot:  # noqa: ASYNC110 (a turn of the loop, before the run has its own)
            await asyncio.sleep(0)

    async def grant_slot(self, run: Run) -> None:
        """Return when a queued run has been given a slot, before it has noticed."""
        self._resources.slots.release()
        while not (run._work and run._work.done()):  # noqa: ASYNC110 (a turn of the loop, before the run has its own)
            await asyncio.sleep(0)

    async def forgets(self, reply: Reply) -> None:
        """Return when the process has no run of this reply, which is a moment after the task of that has ended."""
        async with asyncio.timeout(PATIENCE):
            while self.has(reply.pk):  # noqa: ASYNC110 (only that tells)
                await asyncio.sleep(0.01)

    async def die(self) -> None:
        """End as if killed: nothing is handed over, and the lease has run out."""
        tasks = [*self._tasks, *self.jobs.tasks, *(run.task for run in self._runs.values())]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._tasks = []
        await expire(self)


def text_of(entries: list[Entry]) -> str:
    return "".join(event.text for _, event in entries if isinstance(event, Delta))


async def events(client: AsyncClient, reply: Reply, after: int = 0) -> AsyncGenerator[Event]:
    """The events of a reply's stream, as they come."""
    response: Any = await client.get(reverse("reply_events", args=[reply.pk]), {"after": after})
    assert response.status_code == 200
    decoder = sse.Decoder()
    async with aclosing(response.streaming_content) as chunks:
        async for chunk in chunks:
            for event in decoder.feed(chunk):
                yield Event(event)


async def seen(client: AsyncClient, reply: Reply, words: str = "", after: int = 0) -> list[Event]:
    """What a reader gets of a reply: up to these words, else all of it."""
    found: list[Event] = []
    async with asyncio.timeout(PATIENCE), aclosing(events(client, reply, after)) as stream:
        async for event in stream:
            found.append(event)
            if words and words in written(found):
                return found
    assert not words, f"The stream ended with {written(found)!r}"
    return found


async def expire(process: Process) -> None:
    """Let the lease of a process run out."""
    rows = ServerProcess.objects.filter(name=process.name)
    await rows.aupdate(lease=timezone.now() - timedelta(seconds=1))


async def stored(reply: Reply) -> Reply:
    """The reply with its message, as the database has it now."""
    return await in_thread(Reply.objects.select_related("message__conversation").get)(pk=reply.pk)


async def status(reply: Reply) -> str:
    return (await stored(reply)).status


@asynccontextmanager
async def hosts(*processes: Host) -> AsyncIterator[None]:
    """Start the processes, and close them at the end."""
    for process in processes:
        process.start()
    for process in processes:
        await process.has_begun()
    try:
        yield
    finally:
        for process in processes:
            await process.close()
