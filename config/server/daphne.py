"""Daphne, which learns to start and drain the process, and to wait for slow readers.

Daphne has no hooks for these. `extend` replaces its factory of connections and some methods of its server before the
server runs: whatever starts Daphne, its command or `runserver`, has imported both from there.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from typing import Any

from daphne import server
from django.conf import settings
from django.db import Error as DatabaseAway
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone

from chat.process import Process
from config.server.connections import Channel, Factory

logger = logging.getLogger(__name__)

# The database has this long to tell whether other processes are alive.
ALONE_SECONDS = 1
# At the end, requests may still arrive on connections that a client keeps open. A proxy that has another process to ask
# closes those that it does not use for a second (docs/nginx.conf), on a busy machine somewhat later; then it is over.
ARRIVAL_SECONDS = 0.2
PROXY_ARRIVAL_SECONDS = 3.0
# Requests that have arrived are answered within this time.
ANSWER_SECONDS = 5
# A stream whose reply has just ended has this long to say so before the process exits.
STREAM_END_SECONDS = 1


def extend(process: Process) -> None:
    """Start the process as soon as the server's event loop runs, and end it before the server ends."""

    def listens(self: server.Server, port: Any) -> None:
        self.ports = [*getattr(self, "ports", []), port]
        _listen_success(self, port)
        # The loop does not run yet.
        reactor.callLater(0, process.start)  # type: ignore[arg-type]

    def end(self: server.Server) -> Deferred[None]:
        # In a fresh context: Twisted calls this in that of the request that it served last.
        return Deferred.fromFuture(asyncio.create_task(_end(self, process), context=contextvars.Context()))

    server.HTTPFactory = Factory
    server.Server.handle_reply = _send
    server.Server.listen_success = listens
    # Daphne's own would first cancel all requests, also those that are about to be answered.
    server.Server.kill_all_applications = end


_listen_success = server.Server.listen_success
_handle_reply = server.Server.handle_reply


async def _end(self: server.Server, process: Process) -> None:
    # A proxy that keeps connections open could send a question on one that is about to close, and not learn its fate.
    Channel.closing = True
    draining = asyncio.create_task(process.drain())
    if not (alone := await _is_alone(process)):
        _stop_listening(self)
    try:
        await draining
    except Exception:
        logger.exception("The process could not drain")
    _stop_listening(self)
    # Closing a connection while a request is on its way would leave the client without an answer.
    arrival = ARRIVAL_SECONDS if alone else PROXY_ARRIVAL_SECONDS
    await _until(lambda: not any(channel.idle for channel in Channel.alive), arrival)
    await _until(lambda: all(protocol._response_started for protocol, _ in _requests(self)), ANSWER_SECONDS)
    await _end_streams(self)
    await process.close()


async def _is_alone(process: Process) -> bool:
    try:
        async with asyncio.timeout(ALONE_SECONDS):
            return await process.is_alone()
    except (DatabaseAway, TimeoutError):
        return True


def _stop_listening(self: server.Server) -> None:
    """Serve the connections that the system has accepted, and refuse new ones: a proxy then tries another process."""
    ports, self.ports = getattr(self, "ports", []), []
    for port in ports:
        port.numberAccepts = 2 * port.backlog
        port.doRead()
        # Twisted's own method closes the socket a turn of the loop later. What came until then would be reset.
        port.connectionLost(connectionDone)


def _requests(self: server.Server) -> list[tuple[Any, asyncio.Task[None]]]:
    """The requests that are being handled, and their tasks."""
    tasks = ((protocol, details.get("application_instance")) for protocol, details in self.connections.items())
    return [(protocol, task) for protocol, task in tasks if task and not task.done()]


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for the condition, at most this long."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0.05)


async def _end_streams(self: server.Server) -> None:
    if tasks := [task for _, task in _requests(self)]:
        _, late = await asyncio.wait(tasks, timeout=STREAM_END_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.wait(tasks)


async def _send(self: server.Server, protocol: Any, message: dict[str, Any]) -> None:
    """Return when there is room for more."""
    if message["type"] != "http.response.body":
        await _handle_reply(self, protocol, message)
        return
    # Without Daphne's own method, which looks for the connection twice and for headers: a request whose connection is
    # gone takes nothing anyway.
    most = settings.CHAT_UNREAD_BYTES
    while len(body := message.get("body", b"")) > most:
        # In parts, so that a client that reads slowly is seen to read.
        protocol.handle_reply({**message, "body": body[:most], "more_body": True})
        message = {**message, "body": body[most:]}
        if protocol.unread:
            await protocol.unread
    protocol.handle_reply(message)
    if protocol.unread:
        await protocol.unread
