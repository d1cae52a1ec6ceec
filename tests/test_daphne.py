"""Daphne with our extensions, over real sockets: large bodies, slow readers, other protocols."""

import asyncio
import socket
from contextlib import suppress

import pytest

from tests.server import Server, Servers
from tests.upstream import Upstream, finish, text
from tests.visitor import CSRF, PATIENCE, Visitor

pytestmark = pytest.mark.any_store

HEAD = "POST /c/ HTTP/1.1\r\nhost: localhost\r\naccept: {}\r\n{}\r\n\r\n"
LARGE = 2_000_000


# Bodies


def answer(server: Server, head: str, body: bytes = b"") -> str:
    """All that the server answers to a request, whose body it may refuse to read."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
        client.sendall(head.encode("latin-1"))
        with suppress(ConnectionError):
            client.sendall(body)
        received = b""
        while data := client.recv(65536):
            received += data
    return received.decode()


def test_a_body_is_refused_by_its_length(server: Server) -> None:
    answered = answer(server, HEAD.format("application/json", f"content-length: {LARGE}"))
    assert answered.startswith("HTTP/1.1 413 ")
    assert '"code": "too_large"' in answered
    assert "too large to send" in answered


def test_a_body_without_a_length_is_refused_at_the_limit(server: Server) -> None:
    chunk = b"3a98\r\n" + b"x" * 15_000 + b"\r\n"
    answered = answer(server, HEAD.format("text/html", "transfer-encoding: chunked"), chunk * (LARGE // 15_000))
    assert answered.startswith("HTTP/1.1 413 ")
    assert "<h1>Too large</h1>" in answered


def test_a_body_announced_as_too_large_is_refused(server: Server) -> None:
    head = HEAD.format("application/json", f"expect: 100-continue\r\ncontent-length: {LARGE}")
    answered = answer(server, head)
    assert answered.startswith("HTTP/1.1 413 ")
    assert "100 Continue" not in answered


async def test_the_longest_question_is_not_refused(server: Server) -> None:
    async with Visitor(server, "alice") as alice:
        await alice.stop(await alice.ask("😀" * 32_000))


# Other protocols


HANDSHAKE = (
    "GET /accounts/login/ HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{}\r\n\r\n"
)


@pytest.mark.parametrize("header", ["origin: http://localhost", "sec-websocket-protocol: \xff"])
def test_a_websocket_handshake_is_refused(server: Server, header: str) -> None:
    answered = answer(server, HANDSHAKE.format(header))
    assert answered.startswith("HTTP/1.1 403 ")
    assert "no WebSockets" in answered
    assert "Traceback" not in server.log()


def test_an_offer_of_another_version_of_http_is_ignored(server: Server) -> None:
    """As Java's client makes it with every request."""
    offer = "connection: upgrade, http2-settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__"
    answered = answer(server, f"GET /accounts/login/ HTTP/1.1\r\nhost: localhost\r\n{offer}\r\n\r\n")
    assert answered.startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize("prefix", ["/elsewhere", "\xff"])
def test_a_client_cannot_name_a_path_prefix(server: Server, prefix: str) -> None:
    head = f"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ndaphne-root-path: {prefix}\r\n\r\n"
    answered = answer(server, head)
    assert answered.startswith("HTTP/1.1 302 ")
    assert "elsewhere" not in answered
    assert "Traceback" not in server.log()


# Readers


class Idler:
    """Opens a stream and does not read it until told to."""

    def __init__(self, server: Server, url: str, session: str) -> None:
        self._socket = socket.socket()
        # What the system buffers for a reader counts as read.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", server.port))
        cookies = f"sessionid={session}; csrftoken={CSRF}"
        head = f"GET {url} HTTP/1.0\r\nhost: localhost\r\ncookie: {cookies}\r\naccept: text/event-stream\r\n\r\n"
        self._socket.sendall(head.encode())

    def read(self) -> bytes:
        """Everything until the connection ends, however it ends."""
        received = b""
        with suppress(ConnectionError):
            while data := self._socket.recv(65536):
                received += data
        self._socket.close()
        return received


@pytest.fixture
def talkative(upstream: Upstream) -> Upstream:
    """A model that writes more than the system buffers for a reader."""
    words = "".join(f"{number} " for number in range(900_000))
    upstream.default = [text(words[start : start + 50_000]) for start in range(0, len(words), 50_000)] + [finish()]
    return upstream


async def test_a_reader_that_stops_reading_is_disconnected(start_server: Servers, talkative: Upstream) -> None:
    server = start_server(
        OPENAI_BASE_URL=talkative.url, OPENAI_MODEL="small", CHAT_REPLY_BYTES="100000000", CHAT_UNREAD_SECONDS="3"
    )
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("Count.")
        idler = Idler(server, reply["events_url"], server.session_cookie("alice"))
        await asyncio.to_thread(server.wait_for_line, "A connection was closed: its client read nothing for 3 s")
        assert b"event: end" not in await asyncio.to_thread(idler.read)
        others = await alice.client.get(reply["events_url"], headers={"accept": "text/event-stream"})
    assert others.content.count(b"event: end") == 1
    assert others.content.count(b"899999 ") == 1


async def test_a_slow_reader_receives_everything(start_server: Servers, talkative: Upstream) -> None:
    server = start_server(OPENAI_BASE_URL=talkative.url, OPENAI_MODEL="small", CHAT_REPLY_BYTES="100000000")
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("Count.")
        idler = Idler(server, reply["events_url"], server.session_cookie("alice"))
        await alice.whole(reply)
        received = await asyncio.to_thread(idler.read)
    assert received.count(b"event: end") == 1
    assert received.count(b"899999 ") == 1
