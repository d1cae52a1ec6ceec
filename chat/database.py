"""Database work from the event loop."""

import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps

from asgiref.sync import sync_to_async
from django.db import OperationalError, close_old_connections, connection

# PostgreSQL's code for the one of two transactions waiting for each other that it has ended: it may come again.
DEADLOCK = "40P01"
TRIES = 3
# The time between two tries, in seconds.
PAUSE = 0.05


def in_thread[**P, T](
    function: Callable[P, T], executor: ThreadPoolExecutor | None = None
) -> Callable[P, Awaitable[T]]:
    """Run a function that uses the ORM in a thread, and give the connection back when it is done.

    Streams and background tasks live long; a connection that one of them kept would be missing elsewhere. The thread is
    that of the request, or one that all background tasks share, or the executor's.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return sync_to_async(run, thread_sensitive=executor is None, executor=executor)


def outliving_deadlocks[**P, T](transaction: Callable[P, T]) -> Callable[P, T]:
    """Make a transaction come again when it was the one that a deadlock has ended."""

    @wraps(transaction)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(TRIES - 1):
            try:
                return transaction(*args, **kwargs)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", "") != DEADLOCK:
                    raise
            # Meanwhile the other one takes what it has waited for.
            time.sleep(PAUSE)
        return transaction(*args, **kwargs)

    return run


def close_pool() -> None:
    """End the threads of PostgreSQL's pool. The end of the interpreter would wait for them, five seconds for each."""
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]
