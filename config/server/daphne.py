"""What Daphne does not do by itself: refuse large bodies, wait for slow readers, and end in good order.

Daphne has no hooks for these. `extend` puts our request in the place of its own and our methods in those of its server,
before that begins to serve; both are imported from there by whatever starts it.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from daphne import server
from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from django.http import HttpRequest
from django.utils.csp import build_policy
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from chat.views.problems import too_large
from config.server.headers import HEADERS

logger = logging.getLogger(__name__)

# Who is refused may go on sending for this long, in seconds: a connection that is closed on it would take the answer
# away before it is read.
LINGER = 5
# A request on a connection that was taken right before the end arrives within this time, in seconds.
ARRIVAL = 0.2
# Streams whose reply has just ended have this long to say so before the process ends, in seconds.
LAST_WORDS = 1


def extend(start: Callable[[], None], drain: Callable[[], Awaitable[None]]) -> None:
    """Call `start` as soon as the server's event loop runs, and wait for `drain` before the server ends."""

    def end(self: server.Server) -> Deferred[None]:
        # Twisted calls this in the context of whatever request it served last.
        return Deferred.fromFuture(asyncio.create_task(_end(self, drain), context=contextvars.Context()))

    def listens(self: server.Server, port: Any) -> None:
        self.ports = [*getattr(self, "ports", []), port]
        _listen_success(self, port)
        # The loop does not run yet.
        reactor.callLater(0, start)  # type: ignore[arg-type]

    server.HTTPFactory = _Factory
    server.Server.handle_reply = _send
    server.Server.listen_success = listens
    # Daphne's own would cancel all requests first, also those that are about to be answered.
    server.Server.kill_all_applications = end


_listen_success = server.Server.listen_success


async def _end(self: server.Server, drain: Callable[[], Awaitable[None]]) -> None:
    # A proxy shall not send a question on a connection that is about to close: it could not know what became of it.
    _Request.last = True
    try:
        await drain()
    except Exception:
        logger.exception("The end of the process was not in good order")
    for port in getattr(self, "ports", []):
        # Who has been let in by the system comes in; who comes next is refused, and tries another process.
        port.doRead()
        port.stopListening()
    await asyncio.sleep(ARRIVAL)
    requests = [task for connection in self.connections.values() if (task := connection.get("application_instance"))]
    if requests:
        _, late = await asyncio.wait(requests, timeout=LAST_WORDS)
        for request in late:
            request.cancel()
        await asyncio.wait(requests)


_handle_reply = server.Server.handle_reply


async def _send(self: server.Server, protocol: Any, message: dict[str, Any]) -> None:
    """Return when there is room for more."""
    if message["type"] != "http.response.body":
        await _handle_reply(self, protocol, message)
        return
    # Daphne looks for the connection, twice, and for headers; a request whose connection is gone takes nothing anyway.
    most = settings.CHAT_UNREAD_BYTES
    while len(body := message.get("body", b"")) > most:
        # In pieces, so that who reads slowly is seen to read.
        protocol.handle_reply({**message, "body": body[:most], "more_body": True})
        message = {**message, "body": body[most:]}
        if protocol.unread:
            await protocol.unread
    protocol.handle_reply(message)
    if protocol.unread:
        await protocol.unread


class _Request(WebRequest):
    """A request whose body has a limit, and whose response waits while the client does not read."""

    # Whether each response shall be the last one of its connection.
    last = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django reads forms; Twisted would do so too, and everything would wait for it.
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)
        self.unread: asyncio.Future[None] | None = None
        self._refused = False
        self._length = 0
        # Counts what the system does not take any more.
        self.channel.transport.bufferSize = settings.CHAT_UNREAD_BYTES

    # What comes in

    def process(self) -> None:
        # Parley speaks no other protocol, and HTTP lets a server ignore what it does not speak.
        self.requestHeaders.removeHeader(b"upgrade")
        # Only the server's own command line may say that Parley is served below a prefix.
        self.requestHeaders.removeHeader(b"daphne-root-path")
        super().process()

    def gotLength(self, length: int | None) -> None:  # noqa: N802 (Twisted's name)
        large = length is not None and length > settings.CHAT_BODY_BYTES
        super().gotLength(0 if large else length)
        if large:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        self._length += len(data)
        if not self._refused and self._length > settings.CHAT_BODY_BYTES:
            self._refuse()
        if not self._refused:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802
        if not self._refused:
            super().requestReceived(command, path, version)

    def _refuse(self) -> None:
        self._refused = True
        # Nobody shall be asked to go on.
        self.requestHeaders.removeHeader(b"expect")
        request = HttpRequest()
        request.META["HTTP_ACCEPT"] = (self.getHeader(b"accept") or b"").decode("latin-1")
        response = too_large(request)
        headers = {
            **response.headers,
            **HEADERS,
            "Content-Security-Policy": build_policy(settings.SECURE_CSP),
            "X-Content-Type-Options": "nosniff",
            "Content-Length": str(len(response.content)),
            "Connection": "close",
        }
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        status, reason = str(response.status_code).encode(), response.reason_phrase.encode()
        self.channel.writeHeaders(b"HTTP/1.1", status, reason, fields)
        self.channel.write(response.content)
        transport = self.channel.transport
        transport.loseWriteConnection()
        asyncio.get_running_loop().call_later(LINGER, transport.abortConnection)
        logger.warning("A request was refused: its body has more than %d bytes", settings.CHAT_BODY_BYTES)

    # What goes out. Twisted says when the client reads more slowly than is written, and when it has caught up.

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("more_body") and self._response_started and self.channel and not self.finished:
            # A piece of a stream, for which Daphne would do much more.
            self.write(message["body"])
            return
        if message["type"] == "http.response.start" and not self.producer:
            self.registerProducer(self, True)
            if self.last:
                self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        super().handle_reply(message)

    def finish(self) -> None:
        if self.producer:
            self.unregisterProducer()
            self.resumeProducing()
        channel = self.channel
        if self.last:
            channel.persistent = False
        super().finish()
        if not channel.persistent:
            # It is closed when the client has read the rest, which may be never.
            channel.setTimeout(settings.CHAT_UNREAD_SECONDS)

    def pauseProducing(self) -> None:  # noqa: N802
        if self.unread is None:
            loop = asyncio.get_running_loop()
            self.unread = loop.create_future()
            self._patience = loop.call_later(settings.CHAT_UNREAD_SECONDS, self._give_up)

    def resumeProducing(self) -> None:  # noqa: N802
        if self.unread is not None:
            self._patience.cancel()
            # Whoever waited for it may have been cancelled meanwhile.
            if not self.unread.done():
                self.unread.set_result(None)
            self.unread = None

    stopProducing = resumeProducing  # noqa: N815

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self.resumeProducing()
        super().connectionLost(reason)

    def _give_up(self) -> None:
        logger.warning("A connection was closed: what was sent was not read for %d s", settings.CHAT_UNREAD_SECONDS)
        if self.channel:
            self.channel.transport.abortConnection()


class _Factory(HTTPFactory):
    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = _Request
        return protocol
