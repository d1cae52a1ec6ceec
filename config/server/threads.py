"""A few threads shared by all requests.

Django gives each request its own thread until the response ends. A thousand open streams would be a thousand threads,
and each thread that has used the database may hold a connection. Here requests share a fixed number of threads, which
limits both, even when a thousand readers reconnect at the same moment.
"""

from asgiref.sync import ThreadSensitiveContext

from chat.database import DatabaseThreads
from config.server.asgi import Application, Message, Receive, Scope, Send

THREADS = 6
# At most this many of them hash passwords, which is slow on purpose. The others serve pages, however many sign in.
PASSWORD_THREADS = 2
# Below this, people sign in and up, and change passwords.
ACCOUNTS = "/accounts/"


class _Thread:
    """A thread, and how many of its requests have not begun to answer: only those are likely to need it."""

    def __init__(self, number: int) -> None:
        self.executor = DatabaseThreads(max_workers=1, thread_name_prefix=f"request-{number}")
        self.waiting = 0


class SharedThreads:
    """ASGI middleware that runs the synchronous parts of a request in the least busy thread."""

    def __init__(self, application: Application, count: int = THREADS) -> None:
        self._application = application
        self._threads = [_Thread(number) for number in range(count)]

    def close(self) -> None:
        """End the threads after what they are doing."""
        for thread in self._threads:
            thread.executor.shutdown(wait=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hashes = scope["method"] == "POST" and scope["path"].startswith(ACCOUNTS)
        threads = self._threads[:PASSWORD_THREADS] if hashes else self._threads
        thread = min(threads, key=lambda thread: thread.waiting)
        thread.waiting += 1
        answering = False

        async def send_and_release(message: Message) -> None:
            nonlocal answering
            if not answering:
                answering = True
                thread.waiting -= 1
            await send(message)

        try:
            async with ThreadSensitiveContext(executor=thread.executor):
                await self._application(scope, receive, send_and_release)
        finally:
            if not answering:
                thread.waiting -= 1
