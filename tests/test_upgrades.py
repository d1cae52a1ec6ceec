"""What config/server relies on inside Daphne, Twisted, Django, asgiref and WhiteNoise.

None of it is promised by their documentation. When a test fails here after an upgrade, its message says which part of
config/server to look at.
"""

import asyncio
import inspect
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from daphne import server
from daphne.http_protocol import HTTPFactory, WebRequest
from django.contrib.messages.storage import default_storage
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory
from django.utils.deprecation import MiddlewareMixin
from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.web import http
from whitenoise.middleware import WhiteNoiseMiddleware

from config.server import middleware
from config.server.connections import Channel, Factory, Request
from config.server.daphne import _stop_listening as stop_listening
from config.server.staticfiles import StaticFilesMiddleware

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6\r\n\r\n"


def source(thing: Any) -> str:
    return inspect.getsource(thing)


# Daphne


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("run", "HTTPFactory(self)"),
        ("run", "listener.addCallback(self.listen_success)"),
        ("run", '"before", "shutdown", self.kill_all_applications'),
        ("create_application", "send=partial(self.handle_reply, protocol)"),
        ("create_application", 'self.connections[protocol]["application_instance"] ='),
    ],
)
def test_daphne_calls_what_is_replaced(method: str, part: str) -> None:
    assert part in source(getattr(server.Server, method)), "Daphne's server changed: look at config/server/daphne.py"


def test_daphne_notes_that_a_response_has_started() -> None:
    assert "self._response_started = True" in source(WebRequest.handle_reply), (
        "Daphne changed how it begins a response: look at Request.handle_reply in config/server/connections.py"
    )


def test_daphne_makes_its_requests_through_the_factory() -> None:
    assert "requestFactory = WebRequest" in source(HTTPFactory.buildProtocol), (
        "Daphne changed how it makes requests: look at Factory in config/server/connections.py"
    )


# Twisted


class Daphne:
    """As much of Daphne's server as a request needs."""

    def __init__(self) -> None:
        self.connected: list[WebRequest] = []

    def protocol_connected(self, request: WebRequest) -> None:
        self.connected.append(request)

    def protocol_disconnected(self, request: WebRequest) -> None:
        self.connected.remove(request)


class Connection:
    """A connection to our factory without a socket, on a clock that only the test moves."""

    def __init__(self, request: type[Request]) -> None:
        factory = Factory(Daphne())
        self.clock = factory.reactor = Clock()
        self.channel = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        self.channel.requestFactory = request
        self.transport = StringTransport()  # type: ignore[no-untyped-call]
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)


class Noting(Request):
    """Notes which of its methods Twisted calls, and asks no application."""

    calls: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Noting.calls = []

    def gotLength(self, length: int | None) -> None:  # noqa: N802
        self.calls.append(f"gotLength {length}")
        super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        self.calls.append(f"handleContentChunk {data.decode()}")
        super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802
        self.calls.append("requestReceived")
        super().requestReceived(command, path, version)

    def process(self) -> None:
        self.calls.append("process")


@pytest.fixture
def connection() -> Iterator[Connection]:
    connection = Connection(Noting)
    yield connection
    connection.channel.connectionLost()


def test_twisted_keeps_what_is_to_be_sent_in_two_buffers() -> None:
    look = "Twisted changed what it keeps: look at Request._write_now in config/server/connections.py"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = cast("Any", tcp.Connection)(ours, Protocol(), MemoryReactorClock())  # type: ignore[no-untyped-call]
        connection.connected = 1
        assert (connection.TLS, connection.dataBuffer, connection._tempDataLen) == (False, b"", 0), look
        connection.write(b"abc")
        assert connection._tempDataLen == 3, look
        connection.doWrite()
        assert (connection.dataBuffer, connection._tempDataLen, theirs.recv(9)) == (b"", 0, b"abc"), look
        assert (connection.writeSomeData(b"de"), theirs.recv(9)) == (2, b"de"), look


def test_twisted_calls_the_methods_of_a_request_in_this_order(connection: Connection) -> None:
    connection.send(POST + b"abc")
    connection.send(b"def")
    order = ["gotLength 6", "handleContentChunk abc", "handleContentChunk def", "requestReceived", "process"]
    assert Noting.calls == order, "Twisted changed how it reads a body: look at Request in config/server/connections.py"


def test_a_connection_is_twisteds_channel_with_our_request() -> None:
    channel = Factory(Daphne()).buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    assert (type(channel), channel.requestFactory) == (Channel, Request)


def test_a_dripped_request_is_ended_after_a_minute(connection: Connection) -> None:
    connection.send(GET[:-2])
    for second in range(1, 60):
        connection.clock.advance(1)
        connection.send(f"x-{second}: a\r\n".encode())
    assert not connection.transport.disconnecting
    connection.clock.advance(1)
    assert connection.transport.disconnecting, (
        "Twisted changed how it counts the time of a request: look at Channel in config/server/connections.py"
    )


def test_a_dripped_body_is_ended_after_a_minute(connection: Connection) -> None:
    connection.send(POST)
    for _ in range(4):
        connection.clock.advance(15)
        connection.send(b"x")
    assert connection.transport.disconnecting


def test_each_request_on_a_connection_has_a_minute(connection: Connection) -> None:
    connection.send(GET)
    connection.clock.advance(600)
    connection.channel.requests[0].finish()
    connection.clock.advance(50)
    connection.send(GET[:10])
    connection.clock.advance(50)
    assert not connection.transport.disconnecting
    connection.send(GET[10:])
    connection.clock.advance(600)
    assert not connection.transport.disconnecting, "a response may take as long as it likes"


def test_a_channel_knows_whether_it_is_idle(connection: Connection) -> None:
    assert connection.channel.idle
    connection.send(GET)
    assert not connection.channel.idle
    connection.channel.requests[0].finish()
    assert connection.channel.idle, "Twisted changed HTTPChannel.requests: look at Channel.idle"
    assert connection.channel in Channel.alive


def test_a_channel_writes_the_head_of_a_response(connection: Connection) -> None:
    connection.send(GET)
    connection.channel.writeHeaders(b"HTTP/1.1", b"413", b"Too Large", [(b"X-Name", b"value")])
    written = connection.transport.value()  # type: ignore[no-untyped-call]
    assert written == b"HTTP/1.1 413 Too Large\r\nX-Name: value\r\n\r\n", (
        "Twisted changed HTTPChannel.writeHeaders: look at Request._refuse in config/server/connections.py"
    )


def test_a_channel_that_is_not_persistent_closes_after_its_response(connection: Connection) -> None:
    connection.send(GET)
    connection.channel.persistent = False
    connection.channel.requests[0].finish()
    assert connection.transport.disconnecting, (
        "Twisted changed HTTPChannel.persistent: look at Request.finish in config/server/connections.py"
    )


async def test_twisted_pauses_a_request_whose_client_is_behind(connection: Connection) -> None:
    connection.send(GET)
    request = connection.channel.requests[0]
    request.registerProducer(request, True)
    # The transport does this when its buffer is full.
    connection.channel.pauseProducing()
    unread = request.unread
    assert unread is not None, "Twisted no longer pauses a request: look at Request.pauseProducing"
    connection.channel.resumeProducing()
    assert unread.done()
    assert request.unread is None
    request.finish()


def test_a_full_buffer_pauses_the_producer() -> None:
    assert "self.bufferSize" in source(tcp.Connection._isSendBufferFull), (
        "Twisted changed how it tells a full buffer: look at Request.__init__ in config/server/connections.py"
    )


def test_a_port_accepts_several_connections_at_once() -> None:
    assert "numAccepts = self.numberAccepts" in source(tcp.Port.doRead), (
        "Twisted changed how a port accepts connections: look at config/server/daphne.py"
    )


def test_a_closing_port_serves_or_refuses_each_connection() -> None:
    """The system would reset those that come between the last look for some and the closing."""
    accepted: list[Any] = []

    class Accepting(Protocol):
        def connectionMade(self) -> None:  # noqa: N802
            accepted.append(self.transport)

    reactor = MemoryReactorClock()  # type: ignore[no-untyped-call]
    factory: Any = ServerFactory.forProtocol(Accepting)
    port: Any = tcp.Port(0, factory, interface="127.0.0.1", reactor=reactor)
    port.startListening()
    address = ("127.0.0.1", port.getHost().port)
    with socket.create_connection(address):
        stop_listening(SimpleNamespace(ports=[port]))
        [transport] = accepted
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        transport.connectionLost(connectionDone)


def test_a_request_has_the_form_parser_switched_off() -> None:
    assert "parsePOSTFormSubmission" in inspect.signature(http.Request.__init__).parameters


# Django


def test_djangos_handler_reads_the_settings_of_the_middleware() -> None:
    assert "reversed(settings.MIDDLEWARE)" in source(BaseHandler.load_middleware), (
        "Django changed how it loads middleware: look at InlineMiddleware in config/server/middleware.py"
    )


def test_djangos_middleware_has_one_asynchronous_method() -> None:
    assert "return self.__acall__(request)" in source(MiddlewareMixin.__call__), (
        "Django changed how it calls middleware: look at Inline in config/server/middleware.py"
    )
    for inline in middleware.Inline.__subclasses__():
        assert "__acall__" not in vars(inline.__bases__[1]), f"Django made {inline.__name__} asynchronous: drop ours"
    assert not inspect.iscoroutinefunction(CsrfViewMiddleware.process_view), "drop ours"


def answered(session: SessionBase) -> HttpRequest:
    request = RequestFactory().get("/")
    request.session = session
    return request


def test_a_session_that_was_not_modified_needs_no_database() -> None:
    """The test has no access to the database."""
    session = SessionMiddleware(lambda _: HttpResponse())
    session.process_response(answered(session.SessionStore("some-key")), HttpResponse())


def test_messages_say_whether_they_have_to_be_stored() -> None:
    storage = default_storage(answered(SessionMiddleware(lambda _: HttpResponse()).SessionStore()))
    assert (storage.used, storage.added_new) == (False, False), (
        "Django changed its messages: look at MessageMiddleware in config/server/middleware.py"
    )


# asgiref


async def test_synchronous_code_runs_in_the_thread_of_the_outer_context() -> None:
    """Django opens a context for each request. Inside another context that must change nothing."""
    with ThreadPoolExecutor(1, thread_name_prefix="ours") as ours:
        async with ThreadSensitiveContext(executor=ours):
            async with ThreadSensitiveContext():
                name = await sync_to_async(lambda: __import__("threading").current_thread().name)()
            assert name.startswith("ours"), "asgiref changed ThreadSensitiveContext: look at config/server/threads.py"
            await asyncio.sleep(0)
            assert await sync_to_async(lambda: True)(), "the inner context closed the executor"
    assert SyncToAsync.thread_sensitive_context.get(None) is None


# WhiteNoise


def test_whitenoise_serves_by_the_methods_that_are_used() -> None:
    called = source(WhiteNoiseMiddleware.__call__)
    for part in (
        "self.autorefresh",
        "self.find_file(request.path_info)",
        "self.files.get(request.path_info)",
        "self.get_response(request)",
    ):
        assert part in called, "WhiteNoise changed: look at config/server/staticfiles.py"


async def test_whitenoises_answer_can_be_read_whole() -> None:
    async def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse("a page")

    static = StaticFilesMiddleware(page)
    static.autorefresh = True
    request = RequestFactory().get("/static/css/tokens.css")
    response: Any = await static(request)
    assert b"light-dark" in response.content, "WhiteNoise changed: look at StaticFilesMiddleware._read"
    assert response["content-type"].startswith("text/css")
    part: Any = await static(RequestFactory().get("/static/css/tokens.css", headers={"range": "bytes=0-9"}))
    assert (part.status_code, part.content) == (206, response.content[:10])
    other: Any = await static(RequestFactory().get("/"))
    assert other.content == b"a page"
