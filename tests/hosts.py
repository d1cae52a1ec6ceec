"""Several processes of Parley in one event loop, on the database of the test: as if each ran on a host of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.utils import timezone

from chat.catalog import Catalog, Model
from chat.completions import Endpoint, Limits
from chat.database import in_thread
from chat.models import Reply, ServerProcess
from chat.process import Options, Process
from chat.replylog import open_log
from tests.upstream import Upstream

# No lease runs out and nobody looks for orphans by itself: a test says when.
LONG = timedelta(hours=1)
# What has not happened by then does not happen, in seconds.
PATIENCE = 15


class Host(Process):
    """A process that asks a scripted endpoint for the model `small`."""

    @classmethod
    def asking(cls, upstream: Upstream, way: str = "none", **options: Any) -> Self:
        """`way` says how the model is given the beginning of its answer; `options` are those of the process."""
        endpoint = Endpoint(upstream.url, "", Limits(connect=10, first_piece=30, gap=30, total=60))
        defaults: dict[str, Any] = {
            "lease": LONG,
            "drain": timedelta(0),
            "running": 100,
            "queued": 100,
            "system_prompt": "",
            "prompt_chars": 10_000,
            "reply_bytes": 10_000,
        }
        return cls(
            Options(**defaults | options), open_log(settings.REDIS_URL), Catalog([Model("small", endpoint, way)])
        )

    async def die(self) -> None:
        """End as after SIGKILL: nothing is given back. The lease has run out."""
        tasks = [*self._tasks, *(run.task for run in self._runs.values())]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._tasks = []
        await expire(self)


async def expire(process: Process) -> None:
    """Let the lease of a process run out."""
    rows = ServerProcess.objects.filter(name=process.name)
    await rows.aupdate(lease=timezone.now() - timedelta(seconds=1))


async def status(reply: Reply) -> str:
    return str(await in_thread(Reply.objects.values_list("status", flat=True).get)(pk=reply.pk))


@asynccontextmanager
async def hosts(*processes: Host) -> AsyncIterator[None]:
    """Start the processes, and close them at the end."""
    for process in processes:
        process.start()
    async with asyncio.timeout(PATIENCE):
        while any(process.last_beat is None for process in processes):  # noqa: ASYNC110 (only that tells)
            await asyncio.sleep(0.01)
    try:
        yield
    finally:
        for process in processes:
            await process.close()
