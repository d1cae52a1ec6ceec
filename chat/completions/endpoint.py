"""The client of an endpoint: its connections, its time limits, its retries."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from chat.completions.decoder import Completion, Event
from chat.completions.errors import (
    CompletionError,
    CutOff,
    NotAStream,
    Stalled,
    TooLong,
    TooSlow,
    Unreachable,
    UnsupportedParameter,
    refusal,
    word,
)
from chat.completions.transport import AiohttpTransport

# Seconds before the second and the third attempt.
RETRY_WAITS = (0.5, 2.0)
# An endpoint that asks for a longer wait than this gets no other attempt, in seconds.
LONGEST_RETRY_WAIT = 20.0
# A longer wait than this is not told to people, in seconds.
LONGEST_RETRY_AFTER = 24 * 3600.0
# Seconds to wait for usage and [DONE] after the finish reason.
TRAILER_WAIT = 5.0
# Read no more of the body of an error than this, in bytes.
ERROR_BYTES = 64 * 1024

# Some proxies label streams as plain text or as bytes.
_STREAM_TYPES = ("text/event-stream", "text/plain", "application/octet-stream", "")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for the connection, the first delta, the next delta and the whole answer, in seconds."""

    connect: float
    first_piece: float
    gap: float
    total: float


@dataclass(frozen=True, slots=True)
class Parameters:
    """How the model writes: what is None is left to it. `max_tokens` includes its thinking."""

    temperature: float | None = None
    max_tokens: int | None = None


DEFAULTS = Parameters()


class Endpoint:
    """One endpoint with its connections. Belongs to the event loop of its first request, until `aclose`."""

    def __init__(self, base_url: str, api_key: str, limits: Limits) -> None:
        self._limits = limits
        # Models that know `max_tokens` by its newer name only.
        self._renamed: set[str] = set()
        self._client = httpx.AsyncClient(
            base_url=base_url,
            # Compressed, a small answer could expand into a huge one in a single read.
            headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=httpx.Timeout(None, connect=limits.connect),
            # What the endpoint sets for one person's question must not be sent with another's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            transport=AiohttpTransport(),
        )

    async def stream(
        self,
        model: str,
        messages: list[dict[str, str]],
        continuation: str = "none",
        parameters: Parameters = DEFAULTS,
    ) -> AsyncGenerator[list[Event]]:
        """Yield the answer as it comes, a list of events for each read; a Finished is last. Raises CompletionError.

        Asks at most three times, and only as long as no delta has come. If the last message is the beginning of the
        answer, the model continues it; `continuation` is how this endpoint is asked to (see CHAT_CONTINUE).
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.total
        body = _body(model, messages, continuation) | self._parameters(model, parameters)
        for retry_wait in (*RETRY_WAITS, None):
            begun = False
            try:
                async with aclosing(self._attempt(body, deadline)) as attempt:
                    async for events in attempt:
                        begun = True
                        if "max_completion_tokens" in body:
                            self._renamed.add(model)
                        yield events
                return
            except UnsupportedParameter:
                if begun or retry_wait is None or "max_tokens" not in body:
                    raise
                # It may be the name that it does not know, or another parameter.
                body["max_completion_tokens"] = body.pop("max_tokens")
                continue
            except CompletionError as error:
                wait = error.retry_after or 0
                if begun or retry_wait is None or not error.retryable or wait > LONGEST_RETRY_WAIT:
                    raise
                wait = wait or retry_wait * random.uniform(0.8, 1.2)  # noqa: S311
            await asyncio.sleep(wait)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _parameters(self, model: str, parameters: Parameters) -> dict[str, Any]:
        # Most servers know only the first name. OpenAI's reasoning models refuse it:
        # https://platform.openai.com/docs/api-reference/chat/create
        limit = "max_completion_tokens" if model in self._renamed else "max_tokens"
        fields = {"temperature": parameters.temperature, limit: parameters.max_tokens}
        return {name: value for name, value in fields.items() if value is not None}

    async def _attempt(self, body: dict[str, Any], deadline: float) -> AsyncGenerator[list[Event]]:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._limits.first_piece
        completion = Completion()
        try:
            async with asyncio.timeout_at(min(due, deadline)):
                request = self._client.build_request("POST", "chat/completions", json=body)
                response = await self._client.send(request, stream=True)
            async with aclosing(response):
                async with asyncio.timeout_at(min(due, deadline)):
                    await _check(response)
                chunks = response.aiter_raw()
                while not completion.done:
                    # Only deltas extend the limit: keep-alives would defeat a limit on reads.
                    async with asyncio.timeout_at(min(due, deadline)):
                        chunk = await anext(chunks, b"")
                    if not chunk:
                        break
                    if events := completion.feed(chunk):
                        yield events
                        due = loop.time() + self._limits.gap
                    if completion.finish_reason:
                        due = min(due, loop.time() + TRAILER_WAIT)
        except TimeoutError as error:
            if not completion.finish_reason:
                raise _timed_out(completion, loop.time() >= deadline) from error
        except httpx.HTTPError as error:
            if not completion.finish_reason:
                raise (CutOff if completion.begun else Unreachable) from error
        yield [completion.finished()]


def _timed_out(completion: Completion, total: bool) -> CompletionError:
    if total:
        return TooLong()
    return Stalled() if completion.begun else TooSlow()


def _body(model: str, messages: list[dict[str, str]], continuation: str) -> dict[str, Any]:
    body = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    if messages[-1]["role"] == "assistant":
        match continuation:
            # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
            case "continue_final_message":
                body |= {"continue_final_message": True, "add_generation_prompt": False}
            # https://api-docs.deepseek.com/guides/chat_prefix_completion, https://docs.mistral.ai
            case "prefix":
                body["messages"] = [*messages[:-1], {**messages[-1], "prefix": True}]
    return body


async def _check(response: httpx.Response) -> None:
    """Raise CompletionError unless the response can be a stream of events."""
    if response.status_code != 200:
        raise _refused(response, await _error_code(response))
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if media_type not in _STREAM_TYPES or encoding != "identity":
        raise NotAStream


def _refused(response: httpx.Response, code: str) -> CompletionError:
    kind = refusal(response.status_code, code)
    wait = _retry_after(response.headers.get("retry-after", ""))
    # A person can't use a shorter one: the endpoint has been asked again by then.
    error = kind(retry_after=round(wait)) if wait > LONGEST_RETRY_WAIT else kind()
    error.retry_after = wait
    return error


async def _error_code(response: httpx.Response) -> str:
    """Return the code or the type that the body of an error names, or nothing."""
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= ERROR_BYTES:
            break
    try:
        error = json.loads(body)["error"]
        return word(error.get("code"), 64) or word(error.get("type"), 64)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""


def _retry_after(value: str) -> float:
    """Return the seconds to wait, given as such or as a date (RFC 9110, 10.2.3): 0 to LONGEST_RETRY_AFTER."""
    try:
        wait = float(value)
    except ValueError:
        try:
            wait = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return 0
    # In this order of arguments NaN becomes 0.
    return min(max(0, wait), LONGEST_RETRY_AFTER)
