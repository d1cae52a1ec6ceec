"""The client of an endpoint: its connections, its limits of time, its retries."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from chat.completions.decoder import Completion, Event
from chat.completions.errors import (
    BY_CODE,
    BY_STATUS,
    CompletionError,
    CutOff,
    NotAStream,
    Rejected,
    Stalled,
    TooLong,
    TooSlow,
    Unavailable,
    Unreachable,
    word,
)

# Waits before the second and the third try, in seconds.
PAUSES = (0.5, 2.0)
# An endpoint that asks for a longer wait gets no second try, in seconds.
LONGEST_PAUSE = 20.0
# What may come after the finish reason (usage, [DONE]) is waited for this long, in seconds.
AFTERTHOUGHT = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for the connection, the first piece, the next piece and the whole, in seconds."""

    connect: float
    first_piece: float
    gap: float
    total: float


class Endpoint:
    """One endpoint with its connections; belongs to the event loop that first uses it."""

    def __init__(self, base_url: str, api_key: str, limits: Limits) -> None:
        self._limits = limits
        self._client = httpx.AsyncClient(
            base_url=base_url,
            # Compressed, a small answer could expand into a huge one in a single read.
            headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=httpx.Timeout(None, connect=limits.connect),
            # httpx's own transport reads chunk by chunk in Python and searches its whole pool for each request.
            transport=_Transport(client=_session),
        )

    async def stream(
        self, model: str, messages: list[dict[str, str]], way: str = "none"
    ) -> AsyncGenerator[list[Event]]:
        """The answer as it comes, a list of events for each read; a Finished is last. Raises CompletionError.

        Tries again, at most twice, as long as nothing has come. If the last message is the beginning of the answer,
        what comes goes on from there; `way` says how this endpoint is asked to do so.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.total
        body = _body(model, messages, way)
        for pause in (*PAUSES, None):
            begun = False
            try:
                async with aclosing(self._attempt(body, deadline)) as attempt:
                    async for events in attempt:
                        begun = True
                        yield events
                return
            except CompletionError as error:
                if begun or pause is None or not error.retryable or (error.retry_after or 0) > LONGEST_PAUSE:
                    raise
                wait = error.retry_after or pause * random.uniform(0.8, 1.2)  # noqa: S311
            await asyncio.sleep(wait)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _attempt(self, body: dict[str, Any], deadline: float) -> AsyncGenerator[list[Event]]:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._limits.first_piece
        completion = Completion()
        try:
            async with asyncio.timeout_at(min(due, deadline)):
                request = self._client.build_request("POST", "chat/completions", json=body)
                response = await self._client.send(request, stream=True)
            async with aclosing(response):
                await _check(response, min(due, deadline))
                chunks = response.aiter_raw()
                while not completion.done:
                    # Only pieces count: keep-alives would defeat a limit on reads.
                    async with asyncio.timeout_at(min(due, deadline)):
                        chunk = await anext(chunks, b"")
                    if not chunk:
                        break
                    if events := completion.feed(chunk):
                        yield events
                        due = loop.time() + self._limits.gap
                    if completion.finish_reason:
                        due = min(due, loop.time() + AFTERTHOUGHT)
        except TimeoutError as error:
            if not completion.finish_reason:
                raise self._timed_out(completion, loop.time() >= deadline) from error
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            if not completion.finish_reason:
                raise (CutOff if completion.begun else Unreachable) from error
        yield [completion.finished()]

    def _timed_out(self, completion: Completion, total: bool) -> CompletionError:
        if total:
            return TooLong()
        return Stalled() if completion.begun else TooSlow()


class _Transport(AiohttpTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if isinstance(response.stream, AiohttpResponseStream):
            response.stream = _Stream(response.stream._aiohttp_response)
        return response


class _Stream(AiohttpResponseStream):
    """The bytes of a response, down to the last one that has arrived before its connection broke."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._aiohttp_response.content
        try:
            async for chunk in content.iter_chunked(self.CHUNK_SIZE):
                yield chunk
        # Behind a chunk of nonsense length aiohttp knows only that the connection is closed: a RuntimeError.
        except (aiohttp.ClientError, RuntimeError) as error:
            # As long as it has an exception, it keeps what it has not handed out yet.
            content.set_exception(None)  # type: ignore[arg-type]
            if rest := content.read_nowait():
                yield rest
            raise aiohttp.ClientPayloadError from error


def _session() -> aiohttp.ClientSession:
    # Without a limit on connections: a reply must not wait for another one to end. No cookies: what an endpoint sets
    # for one person's question must not come along with another's.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )


def _body(model: str, messages: list[dict[str, str]], way: str) -> dict[str, Any]:
    body = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    if messages[-1]["role"] == "assistant":
        match way:
            # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
            case "continue_final_message":
                body |= {"continue_final_message": True, "add_generation_prompt": False}
            # https://api-docs.deepseek.com/guides/chat_prefix_completion, https://docs.mistral.ai
            case "prefix":
                body["messages"] = [*messages[:-1], {**messages[-1], "prefix": True}]
    return body


async def _check(response: httpx.Response, deadline: float) -> None:
    """Raise unless the response can be a stream of events."""
    if response.status_code == 200:
        kind = response.headers.get("content-type", "text/event-stream").partition(";")[0].strip()
        if kind not in ("text/event-stream", "text/plain", "application/octet-stream", ""):
            raise NotAStream
        if response.headers.get("content-encoding", "identity") != "identity":
            raise NotAStream
        return
    async with asyncio.timeout_at(deadline):
        code = _error_code(await _beginning(response))
    kinds = BY_CODE.get(code) or BY_STATUS.get(response.status_code)
    if kinds is None:
        kinds = Unavailable if response.status_code >= 500 else Rejected if response.status_code >= 400 else None
    if kinds is None:
        raise NotAStream
    wait = _retry_after(response.headers.get("retry-after", ""))
    error = kinds(retry_after=round(wait)) if wait and wait > LONGEST_PAUSE else kinds()
    error.retry_after = wait
    raise error


async def _beginning(response: httpx.Response, limit: int = 64 * 1024) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= limit:
            break
    return body


def _error_code(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return word(error.get("code"), 64) or word(error.get("type"), 64)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""


def _retry_after(value: str) -> float | None:
    """Seconds, given as such or as a date (RFC 9110, 10.2.3)."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
