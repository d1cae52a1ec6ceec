"""A signed-in person without a browser: asks, follows and stops over a real socket."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self

import httpx

from chat import sse
from tests.server import Server

CSRF = "c" * 32
# In seconds: what has not happened by then does not happen.
PATIENCE = 60


class Visitor:
    """`follow` and `whole` read streams of events; all else is one request and its answer."""

    def __init__(self, server: Server, username: str) -> None:
        cookies = {"sessionid": server.session_cookie(username), "csrftoken": CSRF}
        self.client = httpx.AsyncClient(
            base_url=server.url,
            cookies=cookies,
            headers={"x-csrftoken": CSRF},
            timeout=PATIENCE,
            # A server that ends may close a kept connection just as it is used. What nginx keeps has tests of its own.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )
        self._reading: list[asyncio.Task[list[Event]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A test that fails leaves readers behind.
        for reading in self._reading:
            reading.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        await self.client.aclose()

    async def post(self, url: str, accept: str = "application/json", **fields: str) -> httpx.Response:
        return await self.client.post(url, data=fields, headers={"accept": accept})

    async def ask(self, text: str, url: str = "/c/") -> dict[str, Any]:
        """The reply part of the answer to a question that is accepted."""
        response = await self.post(url, text=text)
        assert response.status_code == 201, response.text
        accepted = response.json()
        return {**accepted["reply"], "conversation": accepted["conversation"]}

    async def stop(self, reply: dict[str, Any]) -> str:
        response = await self.post(reply["stop_url"])
        assert response.status_code == 200, response.text
        return str(response.json()["status"])

    @asynccontextmanager
    async def stream(self, url: str, **headers: str) -> AsyncIterator[httpx.Response]:
        async with self.client.stream("GET", url, headers={"accept": "text/event-stream", **headers}) as response:
            yield response

    async def follow(self, reply: dict[str, Any], after: int = 0) -> AsyncGenerator["Event"]:
        """The reply's events, as they come, until the body ends."""
        decoder = sse.Decoder()
        async with self.stream(f"{reply['events_url']}?after={after}") as response:
            assert response.status_code == 200, await response.aread()
            async for chunk in response.aiter_raw():
                for event in decoder.feed(chunk):
                    yield Event(event)

    async def whole(self, reply: dict[str, Any], after: int = 0) -> list["Event"]:
        return [event async for event in self.follow(reply, after)]

    async def read_on(self, reply: dict[str, Any], seen: list["Event"]) -> None:
        """Add to `seen` what follows it, until the stream ends or breaks."""
        with suppress(httpx.TransportError):
            async for event in self.follow(reply, after=place(seen)):
                seen.append(event)  # noqa: PERF401 (what came before a break was seen)

    async def return_until_the_end(self, reply: dict[str, Any], seen: list["Event"]) -> list["Event"]:
        """`seen` and all that follows it, come back for whenever the stream closes, as the page does."""
        seen = list(seen)
        async with asyncio.timeout(PATIENCE):
            while not has_ended(seen):
                seen += await self.whole(reply, after=place(seen))
                await asyncio.sleep(0.05)
        return seen

    async def until(self, reply: dict[str, Any], text: str) -> list["Event"]:
        """Read until `text` has been written, then leave."""
        async with aclosing(self.follow(reply)) as events:
            return await read_until(events, text)

    async def until_draining(self) -> None:
        """Return when the process has begun to drain."""
        async with asyncio.timeout(PATIENCE):
            while "draining" not in (await self.client.get("/readyz/")).text:  # noqa: ASYNC110 (only the answer tells)
                await asyncio.sleep(0.05)

    async def read_past(self, reply: dict[str, Any], text: str) -> asyncio.Task[list["Event"]]:
        """Read until `text` has been written, and continue to the end in the task that this returns."""
        has_read = asyncio.Event()

        async def read() -> list[Event]:
            seen: list[Event] = []
            async for event in self.follow(reply):
                seen.append(event)
                if text in written(seen):
                    has_read.set()
            return seen

        reading = asyncio.create_task(read())
        reading.add_done_callback(lambda _: has_read.set())
        self._reading.append(reading)
        await has_read.wait()
        return reading


class Event:
    """`seq` is the place in the reply that its reader has come to: 0 for a status, which is not stored."""

    def __init__(self, event: sse.ServerSentEvent) -> None:
        self.name = event.event
        self.id = int(event.id or 0)
        self.data: dict[str, Any] = json.loads(event.data)
        self.seq: int = self.data.get("seq", self.id)

    def __repr__(self) -> str:
        return f"{self.id} {self.name} {self.data}"


async def read_until(events: AsyncGenerator[Event], text: str) -> list[Event]:
    """The next events, up to the one with which they have written `text`; a busy server begins with a status."""
    seen: list[Event] = []
    async for event in events:
        seen.append(event)
        if text in written(seen):
            return seen
    raise AssertionError(f"The stream ended with {written(seen)!r}")


def place(seen: list[Event]) -> int:
    """Up to where a reader of these events has seen the reply."""
    return max((event.seq for event in seen), default=0)


def has_ended(seen: list[Event]) -> bool:
    return bool(seen) and seen[-1].name == "end"


def written(events: list[Event]) -> str:
    """The text that a reader of these events has on screen."""
    text = ""
    for event in events:
        if event.name == "delta":
            text += event.data["text"]
        elif event.name == "snapshot":
            text = event.data["text"]
    return text
