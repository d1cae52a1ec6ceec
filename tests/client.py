"""Test clients that ask as a server does: through the asynchronous handler, whose middleware is asynchronous too."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from http.cookies import SimpleCookie
from threading import Barrier, Thread
from typing import Any

from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import ThreadSensitiveContext
from django import test
from django.test.client import AsyncClientHandler

from chat.models import User
from chat.process import Process
from chat.rendering import Rendering
from config.server.middleware import InlineMiddleware


class Handler(InlineMiddleware, AsyncClientHandler):
    """Django's handler for asynchronous tests, with the middleware of production and its own process."""

    def __init__(self, enforce_csrf_checks: bool = False) -> None:
        super().__init__(enforce_csrf_checks)
        self.process = Process.from_settings()
        self.address = "127.0.0.1"

    async def __call__(self, scope: Any) -> Any:
        # Django's factory sends its own host beside that of the test; of two such headers, the last one counts.
        headers = list(dict(scope["headers"]).items())
        client = [self.address, 0]
        return await super().__call__({**scope, "headers": headers, "client": client, "process": self.process})


class AsyncClient(test.AsyncClient):
    """For asynchronous tests."""

    def __init__(self, enforce_csrf_checks: bool = False) -> None:
        super().__init__(enforce_csrf_checks)
        self.handler: Handler = Handler(enforce_csrf_checks)


class Still(Process):
    """Does no recurring work: its tasks would not outlive the request, but its threads would outlive the test."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.rendering = Forgetful(self.threads)

    def start(self) -> None:
        pass


class Forgetful(Rendering):
    """Keeps no HTML: on SQLite, another thread would wait until the transaction ends in which a test runs."""

    def _keep(self) -> None:
        pass


class Client:
    """For synchronous tests: the same, but each method waits for its answer.

    `headers` go with every request, which comes from this network address.
    """

    def __init__(
        self, enforce_csrf_checks: bool = False, headers: dict[str, str] | None = None, address: str = "127.0.0.1"
    ) -> None:
        self._client = AsyncClient(enforce_csrf_checks)
        self._client.handler.address = address
        self._client.handler.process = Still.from_settings()
        self._headers = headers or {}

    def get(self, path: str, *args: Any, headers: dict[str, str] | None = None, **kwargs: Any) -> Any:
        return self._ask(self._client.get, path, *args, headers=self._headers | (headers or {}), **kwargs)

    def post(self, path: str, *args: Any, headers: dict[str, str] | None = None, **kwargs: Any) -> Any:
        return self._ask(self._client.post, path, *args, headers=self._headers | (headers or {}), **kwargs)

    def _ask(self, method: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
        response = wait_for(method(*args, **kwargs))
        # A reply that the request has begun is cancelled by now, but not what it does in a thread. After the test that
        # may no longer use the database, and could not close its connection.
        await_rest(self._client.handler.process.threads)
        return response

    @property
    def process(self) -> Process:
        """The process that answers its requests."""
        return self._client.handler.process

    def force_login(self, user: User) -> None:
        self._client.force_login(user)

    def logout(self) -> None:
        self._client.logout()

    @property
    def cookies(self) -> SimpleCookie:
        return self._client.cookies

    @property
    def raise_request_exception(self) -> bool:
        """Whether an exception in a view reaches the test instead of the page for errors."""
        return self._client.raise_request_exception

    @raise_request_exception.setter
    def raise_request_exception(self, value: bool) -> None:
        self._client.raise_request_exception = value


def wait_for[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """Its result. What it runs in a request's thread runs in this one, and what it leaves running is cancelled.

    One thread at a time may call this. It is `async_to_sync` with one event loop for all calls: with a loop and three
    threads for each, a request takes 2 ms longer, which is half of it.
    """
    this_thread = CurrentThreadExecutor(None)

    async def run() -> T:
        async with ThreadSensitiveContext(executor=this_thread):
            try:
                return await coroutine
            finally:
                await cancel_others()

    future = asyncio.run_coroutine_threadsafe(run(), event_loop())
    this_thread.run_until_future(future)
    return future.result()


async def cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True).start()
    return loop


def await_rest(pool: ThreadPoolExecutor) -> None:
    """Return when none of the threads does anything."""
    if pool._threads:
        all_free = Barrier(pool._max_workers)
        wait([pool.submit(all_free.wait) for _ in range(pool._max_workers)])
