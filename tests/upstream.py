"""An OpenAI-compatible endpoint on a real socket, which answers as a test scripts it.

    with Upstream() as upstream:
        upstream.script(text("Hello"), pause("middle"), text(" world"), finish(), done())
        ...  # Ask upstream.url and see "Hello".
        upstream.release("middle")

A script is a sequence of steps and answers one request. Each step is one write. The head is sent before the first
bytes unless `head` sends it earlier, and the body ends cleanly after the last step unless that step breaks it off.

The endpoint runs its own event loop in a thread, so that synchronous tests, asynchronous tests and other processes can
all use it. Its methods may be called from any thread. Those that wait block, so an asynchronous test calls them with
`asyncio.to_thread`.
"""

import asyncio
import json
import os
import queue
import re
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from http.client import responses
from pathlib import Path
from typing import Any, Self

MODEL = "scripted"
PATIENCE = 60  # Seconds to wait for what a test expects.


@dataclass(frozen=True)
class Request:
    """A request as it arrived: the names of headers in lower case, `body` as parsed JSON, or None without one."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    closed: Future[float]

    def wait_closed(self, timeout: float = PATIENCE) -> float:
        """Wait until the request's connection ends, and return when that was on the monotonic clock."""
        return self.closed.result(timeout)


class Response:
    """One response, which the steps of a script write."""

    def __init__(self, writer: asyncio.StreamWriter, gates: Mapping[str, asyncio.Event]) -> None:
        self._writer = writer
        self._gates = gates
        self._headers: dict[str, str] = {}

    @property
    def _chunked(self) -> bool:
        return "transfer-encoding" in self._headers

    async def head(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._headers = {"content-type": "text/event-stream", **(headers or {})}
        if not {"content-length", "connection"} & self._headers.keys():
            self._headers["transfer-encoding"] = "chunked"
        lines = [f"HTTP/1.1 {status} {responses.get(status, '')}"]
        lines += [f"{name}: {value}" for name, value in self._headers.items()]
        await self._write("\r\n".join([*lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        if not self._headers:
            await self.head()
        if data:
            await self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def wire(self, data: bytes) -> None:
        await self._write(data)

    async def wait(self, gate: str) -> None:
        await self._gates[gate].wait()

    async def end(self) -> None:
        if not self._headers:
            await self.head()
        if self._chunked:
            await self._write(b"0\r\n\r\n")
        elif self._headers.get("connection") == "close":
            self._writer.close()

    async def cut(self) -> None:
        self._writer.close()
        await asyncio.Event().wait()

    async def reset(self) -> None:
        # With a linger time of zero closing sends RST instead of FIN.
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        await asyncio.Event().wait()

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


type Step = Callable[[Response], Awaitable[None]]


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> Step:
    """Send the head now. The body is chunked unless the headers have `content-length` or `connection: close`."""
    return lambda response: response.head(status, headers)


def raw(data: bytes) -> Step:
    return lambda response: response.send(data)


def wire(data: bytes) -> Step:
    """Send bytes outside the framing of the body."""
    return lambda response: response.wire(data)


def chunk(value: Any) -> Step:
    """An event with any JSON."""
    return raw(b"data: %b\n\n" % json.dumps(value).encode())


def delta(finish_reason: str | None = None, **fields: Any) -> Step:
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return chunk({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice]})


def text(content: str) -> Step:
    return delta(content=content)


def reasoning(content: str) -> Step:
    return delta(reasoning_content=content)


def finish(reason: str = "stop") -> Step:
    return delta(finish_reason=reason)


def usage(value: Mapping[str, Any]) -> Step:
    return chunk({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": MODEL, "choices": [], "usage": value})


def done() -> Step:
    return raw(b"data: [DONE]\n\n")


def pause(name: str) -> Step:
    """Wait until the test calls `release(name)`, which it may have done before."""
    return lambda response: response.wait(name)


def sleep(seconds: float) -> Step:
    """Wait this long. Only for tests of time; others use `pause`."""
    return lambda _response: asyncio.sleep(seconds)


def cut() -> Step:
    """Close the connection in the middle of the body."""
    return lambda response: response.cut()


def reset() -> Step:
    """End the connection with a TCP reset."""
    return lambda response: response.reset()


def hang() -> Step:
    """Send nothing more until the client leaves."""
    return lambda response: response.hang()


def answer(content: str, words: bool = False) -> list[Step]:
    """A whole answer, in one piece or word by word."""
    pieces = re.findall(r"\s*\S+\s*$|\s*\S+", content) if words else [content]
    figures = {"prompt_tokens": 5, "completion_tokens": len(pieces), "total_tokens": 5 + len(pieces)}
    return [delta(role="assistant", content=""), *map(text, pieces), finish(), usage(figures), done()]


def document(status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> list[Step]:
    """A response that is not a stream."""
    fields = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    return [head(status, fields), raw(body)]


def error(status: int, body: Any, retry_after: int | str | None = None) -> list[Step]:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return document(status, "application/json", json.dumps(body).encode(), headers)


def html(status: int = 200) -> list[Step]:
    """What a proxy or a captive portal answers instead of the endpoint."""
    return document(status, "text/html", b"<!doctype html><title>Welcome</title><h1>Please sign in</h1>")


def garbage() -> list[Step]:
    """A stream of anything but the API's events."""
    return [raw(b'\xff\xfe\0\x1b[2J\ndata: {"choices": [\n\ndata: 42\n\ndata: \xe2\x82\n\n'), raw(bytes(range(256)))]


def nothing() -> list[Step]:
    """A stream without a single byte."""
    return [head()]


def recording(name: str) -> list[Step]:
    """A recorded answer of a real endpoint, for tests with the mark `wire`."""
    lines = Path(os.environ["WIRE_RECORDINGS"], f"{name}.jsonl").read_bytes().splitlines()
    return [*(raw(b"data: %b\n\n" % line) for line in lines), done()]


class Upstream:
    """The endpoint. `default`, a script or a function from request to script, answers when no script is queued."""

    def __init__(self) -> None:
        self.default: list[Step] | Callable[[Request], list[Step]] = answer("Hello world", words=True)
        self.requests: list[Request] = []
        self._arrivals: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._scripts: deque[tuple[Step, ...]] = deque()
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="upstream", daemon=True)
        self._listening: Future[tuple[asyncio.AbstractEventLoop, int]] = Future()
        self._stopped = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop, self.port = self._listening.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *steps: Step) -> None:
        """Queue the answer to the next request for a completion that has none yet."""
        self._scripts.append(steps)

    def release(self, name: str) -> None:
        """Let all scripts pass `pause(name)`, now and later."""
        self._loop.call_soon_threadsafe(self._open, name)

    def forget(self) -> None:
        """Start afresh for the next test: no scripts, no requests, all gates closed. Begun answers continue."""
        # In the loop, so that a gate that the last test released does not open for the next one.
        asyncio.run_coroutine_threadsafe(self._forget(), self._loop).result(PATIENCE)

    async def _forget(self) -> None:
        self.default = answer("Hello world", words=True)
        self.requests = []
        self._arrivals = queue.SimpleQueue()
        self._scripts = deque()
        self._gates = defaultdict(asyncio.Event)

    def stop(self) -> None:
        """Refuse new connections and end the open ones. A test may call it to let the endpoint go down."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def next_request(self, timeout: float = PATIENCE) -> Request:
        """Wait for the next request that this method has not returned yet."""
        return self._arrivals.get(timeout=timeout)

    def _open(self, name: str) -> None:
        self._gates[name].set()

    async def _serve(self) -> None:
        # A task that is cancelled before it starts would leave its connection open.
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._listening.set_result((asyncio.get_running_loop(), server.sockets[0].getsockname()[1]))
        await self._stopped.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closed: Future[float] = Future()
        closed.set_running_or_notify_cancel()  # From now on, a waiter that gives up cannot cancel it.
        answering: asyncio.Task[None] | None = None
        try:
            # The byte read ahead starts the next request; without one, the client has left.
            while start := await reader.read(1):
                if answering:
                    await answering
                request = await self._read(start, reader, closed)
                self.requests.append(request)
                self._arrivals.put(request)
                answering = asyncio.create_task(self._answer(request, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            closed.set_result(time.monotonic())
            if answering:
                answering.cancel()
            writer.transport.abort()

    async def _read(self, start: bytes, reader: asyncio.StreamReader, closed: Future[float]) -> Request:
        lines = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, path, headers, json.loads(body) if body else None, closed)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        response = Response(writer, self._gates)
        try:
            for step in self._steps(request):
                await step(response)
            await response.end()
        except ConnectionError:
            pass
        except Exception:
            # The script is wrong: don't make the client wait.
            writer.transport.abort()
            raise

    def _steps(self, request: Request) -> tuple[Step, ...] | list[Step]:
        match request.method, request.path:
            case "POST", "/v1/chat/completions":
                if self._scripts:
                    return self._scripts.popleft()
                return self.default(request) if callable(self.default) else self.default
            case "GET", "/v1/models":
                return error(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
            case _:
                return error(404, {"error": {"message": f"There is no {request.method} {request.path}."}})
