"""Background tasks of the event loop."""

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

logger = logging.getLogger(__name__)

# The threads for blocking work of the code that runs in a task of `spawn`, or in one that such a task has started.
background: contextvars.ContextVar[ThreadPoolExecutor | None] = contextvars.ContextVar("background", default=None)

# The event loop itself only holds weak references.
_running: set[asyncio.Task[Any]] = set()


def spawn[T](work: Coroutine[Any, Any, T], name: str, threads: ThreadPoolExecutor) -> asyncio.Task[T]:
    """Start a task that outlives the request that caused it; a failure that nobody awaits is logged.

    It gets a context of its own, and uses the database in `threads`. In a copy of the request's context, it would do
    that in the request's thread and leave connections there that nobody closes.
    """
    context = contextvars.Context()
    context.run(background.set, threads)
    task = asyncio.create_task(work, name=name, context=context)
    _running.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()):
        logger.error("The task %s failed", task.get_name(), exc_info=error)
