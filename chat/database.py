"""Database work from the event loop."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from math import inf
from threading import Thread
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections

from chat import postgresql
from chat.tasks import background

logger = logging.getLogger(__name__)

# What Django raises while the database is away.
AWAY = (OperationalError, InterfaceError)
# Seconds for which work is repeated, so that a restart of the database goes unnoticed.
AWAY_SECONDS = 15.0
# Seconds before work is repeated.
RETRY_PAUSE = 0.1
# Seconds after which a PostgreSQL that has not answered counts as gone. Longer than it lets us wait for a lock: see
# lock_timeout in config/settings.py.
SILENCE = 10.0
# SQLSTATE of the deadlock victim.
DEADLOCK = "40P01"
DEADLOCKS = 3


class DatabaseThreads(ThreadPoolExecutor):
    """Threads that do not wait forever for a PostgreSQL that has fallen silent."""

    def submit[**P, T](self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def run() -> T:
            with _Watched():
                return function(*args, **kwargs)

        return super().submit(run)


def in_thread[**P, T](
    function: Callable[P, T], executor: ThreadPoolExecutor | None = None
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run a function that uses the ORM in a thread, and give the connection back when it is done.

    Streams and background tasks live long, and a connection that they kept could not be used elsewhere. The thread is
    the executor's if there is one, otherwise the request's, or one of those that `spawn` has given to the task.

    Raises OperationalError when PostgreSQL has fallen silent.
    """

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _Watched(SILENCE):
            try:
                return function(*args, **kwargs)
            finally:
                close_old_connections()

    in_request = sync_to_async(run)

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        threads = executor or background.get()
        work = sync_to_async(run, thread_sensitive=False, executor=threads) if threads else in_request
        return await work(*args, **kwargs)

    return call


class _Watched:
    """Work in a thread that uses the database.

    When it takes longer than `seconds` on PostgreSQL, the server counts as silent, and all work that has waited as long
    is disconnected. The operating system notices a host that has vanished. It does not notice a server, or a proxy in
    front of it, that accepts what it is sent and never answers.
    """

    _all: ClassVar[set["_Watched"]] = set()
    _watching: ClassVar[Thread | None] = None

    def __init__(self, seconds: float = inf) -> None:
        self._limit = seconds

    def __enter__(self) -> None:
        self._connection = connections["default"]
        self._began = time.monotonic()
        if self._connection.vendor == "postgresql":
            self._all.add(self)
            if _Watched._watching is None:
                _Watched._watching = Thread(target=self._watch, name="database-watch", daemon=True)
                _Watched._watching.start()

    def __exit__(self, *exception: object) -> None:
        self._all.discard(self)

    @classmethod
    def _watch(cls) -> None:
        while True:
            time.sleep(1)
            try:
                cls._cut_the_silent(time.monotonic())
            except Exception:
                logger.exception("Could not look for a silent PostgreSQL")

    @classmethod
    def _cut_the_silent(cls, now: float) -> None:
        at_work = list(cls._all)
        silences = [work._limit for work in at_work if now - work._began > work._limit]
        for work in at_work if silences else ():
            if now - work._began > min(silences):
                logger.warning("PostgreSQL has not answered for %d seconds", now - work._began)
                work._began = now
                postgresql.disconnect(work._connection)


def retry_while_away[**P, T](work: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Retry work while the database is away. It must do no harm twice: only the answer may have got lost."""

    @wraps(work)
    async def retry(*args: P.args, **kwargs: P.kwargs) -> T:
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return await work(*args, **kwargs)
            except AWAY:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(RETRY_PAUSE)

    return retry


def retry_on_deadlock[**P, T](transaction: Callable[P, T]) -> Callable[P, T]:
    """Repeat a transaction that PostgreSQL has chosen as the victim of a deadlock."""

    @wraps(transaction)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(DEADLOCKS - 1):
            try:
                return transaction(*args, **kwargs)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", "") != DEADLOCK:
                    raise
            # Give the other transaction time to finish.
            time.sleep(RETRY_PAUSE)
        return transaction(*args, **kwargs)

    return run


def close_pool() -> None:
    """End the threads of PostgreSQL's pool: the interpreter would wait five seconds for each."""
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]
