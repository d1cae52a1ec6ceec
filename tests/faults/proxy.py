"""A TCP proxy between two parties that does on command what networks do.

    with Proxy(server.port) as proxy:
        ...  # Talk to proxy.url instead of the server.
        proxy.impair(latency=0.1, rate=10_000)  # Open and new connections, until the next order.
        proxy.impair(limit=500, only_new=True)  # Open connections stay as they are.
        proxy.reset()  # Resets all open connections; new ones are impaired as before.
        proxy.mend()

Each `impair` replaces the one before. When a method returns, it has taken effect.

The proxy runs an event loop in its own thread, so that its methods may be called from any other.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

HOST = "127.0.0.1"
PATIENCE = 10  # Seconds after which the proxy itself counts as broken.
CHUNK = 65_536
# With more chunks than this under way, the sender has to wait.
UNDER_WAY = 16
# A slow connection passes something on this often, in seconds.
TICK = 0.05
# With a linger time of zero closing sends RST instead of FIN.
NO_LINGER = struct.pack("ii", 1, 0)
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 11\r\nconnection: close\r\n\r\nBad Gateway"


@dataclass(frozen=True)
class Line:
    """How a connection passes bytes on.

    Each way they take `latency` seconds, and at most `rate` of them pass in a second. When the target sends more than
    `limit` bytes from now on, the rest is lost: the connection is cut, or broken off with `reset`. A `black_hole` takes
    what comes and passes nothing on, neither bytes nor ends; when it is gone, they are passed on.
    """

    latency: float = 0.0
    rate: int | None = None
    limit: int | None = None
    reset: bool = False
    black_hole: bool = False


class Proxy:
    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._line = Line()
        self._broken_down = False
        self._connections: set[Connection] = set()
        self._stopped = asyncio.Event()
        self._listening: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop = self._listening.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def impair(
        self,
        *,
        latency: float = 0.0,
        rate: int | None = None,
        limit: int | None = None,
        reset: bool = False,
        black_hole: bool = False,
        only_new: bool = False,
    ) -> None:
        """Pass on as `Line` says, on all connections or only on new ones."""
        self._order(self._impair(Line(latency, rate, limit, reset, black_hole), only_new))

    def cut(self) -> None:
        """Close all open connections, both ways."""
        self._order(self._end(reset=False))

    def reset(self) -> None:
        """Reset all open connections."""
        self._order(self._end(reset=True))

    def swallow(self) -> None:
        """Swallow everything on open connections, as if the host had vanished; new connections work."""
        self._order(self._swallow())

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        self._order(self._refuse())

    def break_down(self) -> None:
        """Close all open connections and answer new ones with 502, as a proxy without its server does."""
        self._broken_down = True
        self.cut()

    def mend(self) -> None:
        """Pass everything on again, on open and on new connections."""
        self._broken_down = False
        self._order(self._mend())

    def _order(self, done: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(done, self._loop).result(PATIENCE)

    async def _impair(self, line: Line, only_new: bool) -> None:
        self._line = line
        for connection in () if only_new else self._connections:
            connection.change(line)

    async def _swallow(self) -> None:
        for connection in self._connections:
            connection.change(Line(black_hole=True))

    async def _end(self, reset: bool) -> None:
        ended = [connection.end(reset) for connection in self._connections]
        for event in ended:
            await event.wait()

    async def _refuse(self) -> None:
        self._accepting.cancel()
        await asyncio.wait([self._accepting])

    async def _mend(self) -> None:
        await self._impair(Line(), only_new=False)
        if self._accepting.done():
            self._listen()

    async def _serve(self) -> None:
        self._listen()
        self._listening.set_result(asyncio.get_running_loop())
        await self._stopped.wait()

    def _listen(self) -> None:
        listener = socket.create_server((HOST, self.port))
        self.port = listener.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            listener.setblocking(False)
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
                connection = Connection(client, None if self._broken_down else self._target, self._line)
                self._connections.add(connection)
                connection.task.add_done_callback(partial(self._forget, connection))

    def _forget(self, connection: "Connection", _: asyncio.Task[None]) -> None:
        self._connections.discard(connection)


# When they are due, and bytes: none for an end, None for a reset.
type UnderWay = asyncio.Queue[tuple[float, bytes | None]]


class Connection:
    """What a client has opened, and the proxy's own connection to the target; without a target it answers with 502."""

    def __init__(self, client: socket.socket, target: int | None, line: Line) -> None:
        self._client = client
        self._server = socket.socket()
        for side in (self._client, self._server):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = asyncio.get_running_loop()
        self._open = asyncio.Event()
        self._reset = False
        self._ended = asyncio.Event()
        self.change(line)
        self._passing = asyncio.create_task(self._pass_on(target) if target else self._answer())
        self.task = asyncio.create_task(self._run())

    def change(self, line: Line) -> None:
        self._line = line
        self._left = line.limit
        if line.black_hole:
            self._open.clear()
        else:
            self._open.set()

    def end(self, reset: bool) -> asyncio.Event:
        """Pass nothing on from now; the event tells when both sides have been told."""
        self._reset = reset
        self._passing.cancel()
        return self._ended

    async def _run(self) -> None:
        with self._client, self._server:
            await asyncio.wait([self._passing])
            for side in (self._client, self._server):
                if self._reset:
                    _break_off(side)
                else:
                    _finish(side)
            self._ended.set()
            if not self._reset:
                await asyncio.gather(self._swallow(self._client), self._swallow(self._server))

    async def _pass_on(self, target: int) -> None:
        try:
            await self._open.wait()
            await self._loop.sock_connect(self._server, (HOST, target))
            async with asyncio.TaskGroup() as group:
                for source, sink in ((self._client, self._server), (self._server, self._client)):
                    under_way: UnderWay = asyncio.Queue(UNDER_WAY)
                    group.create_task(self._take(source, under_way))
                    group.create_task(self._give(under_way, sink))
        except* OSError:
            self._reset = True

    async def _take(self, source: socket.socket, under_way: UnderWay) -> None:
        while True:
            try:
                data = await self._loop.sock_recv(source, CHUNK)
            except ConnectionError:
                data = None
            await under_way.put((self._loop.time() + self._line.latency, data))
            if not data:
                return

    async def _give(self, under_way: UnderWay, sink: socket.socket) -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - self._loop.time())
            await self._open.wait()
            if data is None:
                self.end(reset=True)
                return
            if not data:
                _finish(sink)
                return
            within = data if sink is self._server else self._within_limit(data)
            await self._send(within, sink)
            if within != data:
                self.end(self._line.reset)

    def _within_limit(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        within = data[: self._left]
        self._left -= len(within)
        return within

    async def _send(self, data: bytes, sink: socket.socket) -> None:
        while data:
            await self._open.wait()
            size = len(data) if self._line.rate is None else max(1, int(self._line.rate * TICK))
            await self._loop.sock_sendall(sink, data[:size])
            if self._line.rate is not None:
                await asyncio.sleep(size / self._line.rate)
            data = data[size:]

    async def _answer(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = await self._loop.sock_recv(self._client, CHUNK)
            if not data:
                return
            head += data
        await self._loop.sock_sendall(self._client, BAD_GATEWAY)

    async def _swallow(self, side: socket.socket) -> None:
        """Take what still comes: closing a connection with something unread would break it off."""
        with suppress(OSError):
            while await self._loop.sock_recv(side, CHUNK):
                pass


def _finish(side: socket.socket) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_WR)


def _break_off(side: socket.socket) -> None:
    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    side.close()
