"""Daphne's connections with limits: of a request's size and time, and of what a client leaves unread.

Daphne has no settings for these. Here are subclasses of its request, and of Twisted's channel, which is one connection.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, ClassVar

from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.csp import build_policy
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection
from twisted.web.http import HTTPChannel

from chat.views.problems import no_websockets, too_large
from config.security import HEADERS

logger = logging.getLogger(__name__)

# A client whose request is refused may continue to send for this long. Closing the connection at once would
# discard the answer before the client has read it.
REFUSED_SECONDS = 5


class Request(WebRequest):
    """A request whose body has a limit, and whose response waits while the client does not read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django parses forms. Twisted would too, and block the event loop meanwhile.
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)
        # Set while the client is behind; done when it has caught up.
        self.unread: asyncio.Future[None] | None = None
        self._refused = False
        self._length = 0
        # The transport pauses us when it holds more than this.
        self.channel.transport.bufferSize = settings.CHAT_UNREAD_BYTES

    # What comes in. Twisted calls these methods in this order; the chunks may be none or many.

    def gotLength(self, length: int | None) -> None:  # noqa: N802 (Twisted's name)
        large = length is not None and length > settings.CHAT_BODY_BYTES
        super().gotLength(0 if large else length)
        if large:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        self._length += len(data)
        if not self._refused and self._length > settings.CHAT_BODY_BYTES:
            self._refuse_body()
        if not self._refused:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802
        if not self._refused:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        if b"websocket" in (self.getHeader(b"upgrade") or b"").lower():
            self._refuse(no_websockets)
            logger.warning("A request was refused: it asks for a WebSocket")
            return
        # HTTP lets a server ignore an offer of another version, which clients make with ordinary requests.
        self.requestHeaders.removeHeader(b"upgrade")
        # Daphne would let any client say that Parley is served below a path of its choice.
        self.requestHeaders.removeHeader(b"daphne-root-path")
        super().process()

    def _refuse_body(self) -> None:
        self._refuse(too_large)
        logger.warning("A request was refused: its body is larger than %d bytes", settings.CHAT_BODY_BYTES)

    def _refuse(self, problem: Callable[[HttpRequest], HttpResponse]) -> None:
        self._refused = True
        # Twisted would answer `Expect: 100-continue` with an invitation.
        self.requestHeaders.removeHeader(b"expect")
        request = HttpRequest()
        request.META["HTTP_ACCEPT"] = (self.getHeader(b"accept") or b"").decode("latin-1")
        response = problem(request)
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
        self.channel.transport.loseWriteConnection()
        asyncio.get_running_loop().call_later(REFUSED_SECONDS, self.channel.transport.abortConnection)

    # What goes out. Twisted calls pauseProducing when the client reads more slowly than we write, and resumeProducing
    # when it has caught up.

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("more_body") and self._response_started and self.channel and not self.finished:
            # Part of a stream: Daphne's own method does much more than such a message needs.
            self._write_now(message["body"])
            return
        if message["type"] == "http.response.start" and not self.producer:
            self.registerProducer(self, True)
            if Channel.closing:
                self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        super().handle_reply(message)

    def _write_now(self, data: bytes) -> None:
        """Write part of a stream without the turn of the event loop and the two calls of epoll that Twisted takes."""
        transport = self.channel.transport
        busy = not isinstance(transport, Connection) or transport.TLS or transport.dataBuffer or transport._tempDataLen
        if busy or not (data and self.chunked and transport.connected):
            self.write(data)
            return
        chunk = b"%x\r\n%b\r\n" % (len(data), data)
        sent = transport.writeSomeData(chunk)
        if not isinstance(sent, int):
            # The connection is lost. Twisted hears of that when it writes.
            sent = 0
        if sent < len(chunk):
            transport.write(chunk[sent:])

    def finish(self) -> None:
        if self.producer:
            self.unregisterProducer()
            self.resumeProducing()
        channel = self.channel
        if Channel.closing:
            channel.persistent = False
        super().finish()
        if not channel.persistent:
            # Twisted closes it when the client has read the rest, which may be never.
            channel.setTimeout(settings.CHAT_UNREAD_SECONDS)

    def pauseProducing(self) -> None:  # noqa: N802
        if self.unread is None:
            loop = asyncio.get_running_loop()
            self.unread = loop.create_future()
            self._patience = loop.call_later(settings.CHAT_UNREAD_SECONDS, self._give_up)

    def resumeProducing(self) -> None:  # noqa: N802
        if self.unread is not None:
            self._patience.cancel()
            # Whatever waited for it may have been cancelled meanwhile.
            if not self.unread.done():
                self.unread.set_result(None)
            self.unread = None

    stopProducing = resumeProducing  # noqa: N815

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self.resumeProducing()
        super().connectionLost(reason)

    def _give_up(self) -> None:
        logger.warning("A connection was closed: its client read nothing for %d s", settings.CHAT_UNREAD_SECONDS)
        if self.channel:
            self.channel.transport.abortConnection()


class Channel(HTTPChannel):
    """A connection on which a request must arrive whole within `timeOut` seconds of its first byte."""

    # All that are open.
    alive: ClassVar[set["Channel"]] = set()
    # Whether each response closes its connection.
    closing = False
    _receiving = False

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return not self.requests

    def connectionMade(self) -> None:  # noqa: N802
        self.alive.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Any = connectionDone) -> None:  # noqa: N802
        self.alive.discard(self)
        super().connectionLost(reason)

    def resetTimeout(self) -> None:  # noqa: N802
        # Twisted calls it with all data, so a client that sends a byte a minute would never run out of time.
        if not self._receiving:
            self._receiving = True
            super().resetTimeout()

    def allContentReceived(self) -> None:  # noqa: N802
        self._receiving = False
        super().allContentReceived()


class Factory(HTTPFactory):
    protocol = Channel

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        channel = super().buildProtocol(addr)
        # Daphne's own method has just set its own.
        channel.requestFactory = Request
        return channel
