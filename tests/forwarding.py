"""An HTTP proxy as companies have them, and TLS in front of a scripted endpoint, each on a real socket."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def forward_proxy(port: int) -> Iterator["Forwarder"]:
    """A proxy that connects to `port` whatever host it is asked for; `heads` holds the requests it got."""
    with _running(Forwarder(port, _forward)) as forwarder:
        yield forwarder


@contextmanager
def tls(port: int, context: ssl.SSLContext) -> Iterator["Forwarder"]:
    """A listener that ends TLS and passes the rest on to `port`."""

    def forward(forwarder: Forwarder, client: socket.socket) -> None:
        try:
            with context.wrap_socket(client, server_side=True) as inner:
                _pipe(inner, forwarder.connect(), b"")
        except ssl.SSLError:
            pass

    with _running(Forwarder(port, forward)) as forwarder:
        yield forwarder


class Forwarder(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, target: int, forward: Callable[["Forwarder", socket.socket], None]) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.heads: list[str] = []
        self._target = target
        self._forward = forward

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._target))

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._forward(self, request)


@contextmanager
def _running(forwarder: Forwarder) -> Iterator[Forwarder]:
    thread = threading.Thread(target=forwarder.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield forwarder
    finally:
        forwarder.shutdown()
        forwarder.server_close()
        thread.join()


def _forward(forwarder: Forwarder, client: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65_536)
    forwarder.heads.append(data.partition(b"\r\n\r\n")[0].decode())
    method, address, rest = data.split(b" ", 2)
    if method == b"CONNECT":
        client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        _pipe(client, forwarder.connect(), b"")
    else:
        path = address.split(b"/", 3)[3]
        _pipe(client, forwarder.connect(), b" ".join([method, b"/" + path, rest]))


def _pipe(client: socket.socket, server: socket.socket, first: bytes) -> None:
    """Copy bytes both ways until one side closes."""

    def copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    server.sendall(first)
    back = threading.Thread(target=copy, args=(server, client))
    back.start()
    copy(client, server)
    back.join()
    server.close()
