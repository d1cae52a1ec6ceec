"""Background tasks of the event loop."""

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

# Whether the code runs in a task of `spawn`, or in one that such a task has started.
in_background: contextvars.ContextVar[bool] = contextvars.ContextVar("in_background", default=False)

# The event loop itself only holds weak references.
_running: set[asyncio.Task[Any]] = set()


def spawn[T](work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start a task that outlives the request that caused it; a failure that nobody awaits is logged.

    It gets a context of its own: in a copy of the request's, its database calls would use the request's thread and
    leave connections there that nobody closes.
    """
    context = contextvars.Context()
    context.run(in_background.set, True)
    task = asyncio.create_task(work, name=name, context=context)
    _running.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()):
        logger.error("The task %s failed", task.get_name(), exc_info=error)
