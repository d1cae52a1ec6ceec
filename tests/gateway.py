"""A gateway in front of a server, as a proxy in the network is: it passes connections on until a test breaks them.

with Gateway(server.port) as gateway:
    page.goto(gateway.url)
    gateway.break_down()  # All that is open is cut, and what comes is answered with 502.
    gateway.mend()
"""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Self

HOST = "127.0.0.1"
PATIENCE = 10  # Seconds.
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 11\r\nconnection: close\r\n\r\nBad Gateway"


class Gateway:
    def __init__(self, port: int) -> None:
        self._target = port
        self._broken = False
        self._connections: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._listening: Future[tuple[asyncio.AbstractEventLoop, int]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="gateway", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop, self.port = self._listening.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def cut(self) -> None:
        """Cut all that is open; what comes after is passed on."""
        self._loop.call_soon_threadsafe(self._cut)

    def break_down(self) -> None:
        """Cut all that is open, and answer with 502 until `mend`."""
        self._broken = True
        self.cut()

    def mend(self) -> None:
        self._broken = False

    def _cut(self) -> None:
        for connection in self._connections:
            connection.cancel()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, HOST, 0)
        self._listening.set_result((asyncio.get_running_loop(), server.sockets[0].getsockname()[1]))
        await self._stopped.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            await (self._refuse(reader, writer) if self._broken else self._pass_on(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(BAD_GATEWAY)
        await writer.drain()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, self._target)
        tasks = [
            asyncio.create_task(_pump(reader, server_writer)),
            asyncio.create_task(_pump(server_reader, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            server_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
