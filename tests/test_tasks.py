"""Background tasks of the event loop."""

import asyncio
import gc
import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from chat.tasks import background, spawn

of_request: ContextVar[str] = ContextVar("of_request", default="")
THREADS = ThreadPoolExecutor(1)


async def test_a_task_has_a_context_of_its_own() -> None:
    """With its request's, it would query the database in its request's thread."""
    of_request.set("request")

    async def look() -> tuple[str, ThreadPoolExecutor | None]:
        return of_request.get(), background.get()

    assert await spawn(look(), "looking", THREADS) == ("", THREADS)
    assert (of_request.get(), background.get()) == ("request", None)


async def test_a_task_without_references_is_not_collected() -> None:
    woken: list[asyncio.Future[None]] = []

    async def wait() -> None:
        # Only this future refers to the task, and only the task to this future.
        future = asyncio.get_running_loop().create_future()
        woken.append(weakref.proxy(future))
        await future

    task = weakref.ref(spawn(wait(), "waiting", THREADS))
    await asyncio.sleep(0)
    gc.collect()
    found = task()
    assert found
    woken[0].set_result(None)
    await found


async def test_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise LookupError("nothing there")

    await asyncio.wait([spawn(fail(), "failing", THREADS)])
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "The task failing failed")
    assert record.exc_info
    assert isinstance(record.exc_info[1], LookupError)


async def test_a_cancelled_task_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(asyncio.sleep(60), "sleeping", THREADS)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert not caplog.records
