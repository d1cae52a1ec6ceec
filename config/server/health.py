"""Answers load balancers and Prometheus before Django does: without a thread, for any host and scheme.

Programs ask by address and over plain HTTP, and what they ask must be answered when every thread is busy.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

from django.conf import settings
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from chat.metrics import exposition
from chat.process import Process
from chat.replylog import LogUnreachable
from config import __version__
from config.security import HEADERS
from config.server.asgi import Application, Receive, Scope, Send

OWN_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
# The log has this long to answer, in seconds.
LOG_SECONDS = 3

type Answer = tuple[int, str, bytes]


class Health:
    """ASGI middleware for /healthz/, /readyz/ and, with CHAT_METRICS, /metrics/."""

    def __init__(self, application: Application, process: Process) -> None:
        self._application = application
        self._process = process
        self._answers: dict[str, Callable[[], Awaitable[Answer]]] = {"/healthz/": self._live, "/readyz/": self._ready}
        if settings.CHAT_METRICS:
            self._answers["/metrics/"] = self._figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answers.get(scope["path"]) if scope["type"] == "http" else None
        if answer is None:
            await self._application(scope, receive, send)
            return
        status, kind, body = await answer()
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **HEADERS, **OWN_HEADERS}
        head = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async def _live(self) -> Answer:
        """The process is alive."""
        return _json(200, {"status": "ok", "version": __version__})

    async def _ready(self) -> Answer:
        """The process can serve: it is not draining, and both its database and its log take writes."""
        if self._process.draining:
            return _unready("draining", "The process is about to end.")
        lease = self._process.lease
        if lease.has_run_out:
            return _unready("database", "The database does not answer.")
        try:
            async with asyncio.timeout(LOG_SECONDS):
                await self._process.log.check()
        except (LogUnreachable, TimeoutError):
            return _unready("log", "The log of replies takes no writes.")
        if self._process.log.storing_for > lease.length.total_seconds():
            return _unready("log", "The log of replies does not answer.")
        return _json(200, {"status": "ok"})

    async def _figures(self) -> Answer:
        """The figures of this process, for Prometheus."""
        return 200, CONTENT_TYPE_PLAIN_0_0_4, exposition()


def _json(status: int, value: object) -> Answer:
    return status, "application/json", json.dumps(value).encode()


def _unready(code: str, message: str) -> Answer:
    return _json(503, {"error": {"code": code, "message": message}})
