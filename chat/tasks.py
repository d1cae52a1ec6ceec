"""Background tasks of the event loop."""

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

# The event loop itself only holds weak references.
_running: set[asyncio.Task[Any]] = set()


def spawn[T](work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start a task that outlives the request that caused it; a failure that nobody awaits is logged.

    It gets a context of its own: in a copy of the request's, its database calls would use the request's thread and
    leave connections there that nobody closes.
    """
    task = asyncio.create_task(work, name=name, context=contextvars.Context())
    _running.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()):
        logger.error("The task %s failed", task.get_name(), exc_info=error)
