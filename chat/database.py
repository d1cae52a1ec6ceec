"""Database work from the event loop."""

from collections.abc import Awaitable, Callable
from functools import wraps

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connection


def in_thread[**P, T](function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a function that uses the ORM in a thread, and give the connection back when it is done.

    Streams and background tasks live long; a connection that one of them kept would be missing elsewhere.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return sync_to_async(run)


def close_pool() -> None:
    """End the threads of PostgreSQL's pool. The end of the interpreter would wait for them, five seconds for each."""
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]
