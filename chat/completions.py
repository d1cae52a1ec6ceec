"""An OpenAI-compatible endpoint: asks `POST {base_url}/chat/completions` and turns its stream into events.

Endpoints differ in what they send; what is read here, and why, follows
https://platform.openai.com/docs/api-reference/chat-streaming and what vLLM, llama.cpp, Ollama, Azure, DeepSeek, Mistral
and OpenRouter do beside it. Nothing that an endpoint says in an error reaches a person: it may hold keys or addresses.
"""

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

from chat import sse
from chat.events import Delta, Finished, Opened, Piece, Reasoning

type Event = Piece | Opened | Finished

# Waits before the second and the third try, in seconds.
PAUSES = (0.5, 2.0)
# An endpoint that asks for a longer wait gets no second try, in seconds.
LONGEST_PAUSE = 20.0
# What may come after the finish reason (usage, [DONE]) is waited for this long, in seconds.
AFTERTHOUGHT = 5.0

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for the connection, the first piece, the next piece and the whole, in seconds."""

    connect: float
    first_piece: float
    gap: float
    total: float


class CompletionError(Exception):
    """The endpoint gave no whole answer; `message` tells a person what to do.

    `told` says that the endpoint itself reported the error, `retryable` that the same question may succeed in a moment.
    """

    code = "failed"
    message = "The model could not answer. Try again."
    told = False
    retryable = False
    retry_after: float | None = None

    def __init__(self, message: str = "") -> None:
        if message:
            self.message = message
        super().__init__(self.code)


class Unreachable(CompletionError):
    code = "unreachable"
    message = "The model's server cannot be reached. Try again; if it stays so, tell your administrator."
    retryable = True


class TooSlow(CompletionError):
    code = "too_slow"
    message = "The model did not begin to answer in time. Try again."


class Stalled(CompletionError):
    code = "stalled"
    message = "The model stopped writing in the middle. Try again."


class TooLong(CompletionError):
    code = "too_long"
    message = "The reply took longer than is allowed here and was cut off."


class TooLarge(CompletionError):
    code = "too_large"
    message = "The reply became longer than is allowed here and was cut off."


class CutOff(CompletionError):
    code = "cut_off"
    message = "The connection to the model ended before the reply did. Try again."


class NoAnswer(CompletionError):
    code = "no_answer"
    message = "The model ended without an answer. Try again."


class NotAStream(CompletionError):
    code = "not_a_stream"
    message = (
        "The model's server answered with something that is not a reply."
        " Tell your administrator to check OPENAI_BASE_URL."
    )


class Refused(CompletionError):
    """The endpoint answered with an error."""

    told = True


class Unauthorized(Refused):
    code = "unauthorized"
    message = "The model's server did not accept our key. Tell your administrator to check OPENAI_API_KEY."


class UnknownModel(Refused):
    code = "unknown_model"
    message = (
        "The model's server does not know this model or address."
        " Tell your administrator to check OPENAI_MODEL and OPENAI_BASE_URL."
    )


class Busy(Refused):
    code = "busy"
    message = "The model has too many requests or its quota is used up. Try again in a few minutes."
    retryable = True


class ContextTooLong(Refused):
    code = "context_too_long"
    message = "This conversation is too long for the model. Start a new one, or ask a shorter question."


class Rejected(Refused):
    code = "rejected"
    message = "The model's server rejected the question. Ask it differently, or tell your administrator."


class Unavailable(Refused):
    code = "unavailable"
    message = "The model's server has a problem of its own. Try again in a few minutes."
    retryable = True


class Reported(Refused):
    code = "reported"
    message = "The model's server reported an error while it answered. Try again."


_BY_STATUS: dict[int, type[Refused]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: UnknownModel,
    408: Unavailable,
    409: Unavailable,
    429: Busy,
}
_BY_CODE: dict[str, type[Refused]] = {
    "context_length_exceeded": ContextTooLong,
    "insufficient_quota": Busy,
    "invalid_api_key": Unauthorized,
    "model_not_found": UnknownModel,
    "rate_limit_exceeded": Busy,
}


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

    def _timed_out(self, completion: "Completion", total: bool) -> CompletionError:
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


class Completion:
    """Decodes one streamed answer: bytes in, events out, no I/O."""

    def __init__(self) -> None:
        self._decoder = sse.Decoder()
        self._upstream_id = ""
        self._usage: dict[str, Any] | None = None
        self._answered = False
        self._error: CompletionError | None = None
        self.finish_reason = ""
        self.begun = False
        self.done = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events in the next bytes: none, as long as only keep-alives and empty chunks come."""
        pieces: list[Piece] = []
        try:
            for event in self._decoder.feed(chunk):
                if event.data == "[DONE]":
                    self.done = True
                    break
                if event.data.strip():
                    self._read(event, pieces)
            if self._decoder.dropped:
                # A reply with a hole in it would be worse than one that ended.
                raise NotAStream
        except CompletionError as error:
            # Raised by `finished`: what came before it shall be shown.
            self._error = error
            self.done = True
        if not pieces:
            return []
        self._answered = self._answered or any(isinstance(piece, Delta) for piece in pieces)
        opened = [] if self.begun else [Opened(self._upstream_id)]
        self.begun = True
        return [*opened, *pieces]

    def finished(self) -> Finished:
        """Success is a finish reason, or [DONE] after text; the end of a body alone never is.

        Raises CompletionError.
        """
        if self._error:
            raise self._error
        if self.finish_reason or (self.done and self._answered):
            return Finished(self.finish_reason, self._usage)
        raise CutOff if self.begun else NoAnswer

    def _read(self, event: sse.ServerSentEvent, pieces: list[Piece]) -> None:
        try:
            chunk = json.loads(event.data)
        except (ValueError, RecursionError) as error:
            raise (Reported if event.event == "error" else NotAStream) from error
        if not isinstance(chunk, dict):
            raise NotAStream
        choices = chunk.get("choices")
        if event.event == "error" or chunk.get("error") or (chunk.get("message") and not choices):
            raise _reported(chunk)
        self._upstream_id = self._upstream_id or _word(chunk.get("id"), 200)
        self._usage = _usage(chunk.get("usage")) or self._usage
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                self._read_choice(choice, pieces)

    def _read_choice(self, choice: dict[str, Any], pieces: list[Piece]) -> None:
        self.finish_reason = _word(choice.get("finish_reason"), 64) or self.finish_reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        for key in ("reasoning_content", "reasoning"):
            if text := _text(delta.get(key)):
                pieces.append(Reasoning(text))
                break
        content = delta.get("content")
        if isinstance(content, list):
            pieces.extend(_parts(content))
        elif text := _text(content):
            pieces.append(Delta(text))
        if text := _text(delta.get("refusal")):
            pieces.append(Delta(text))


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
    kinds = _BY_CODE.get(code) or _BY_STATUS.get(response.status_code)
    if kinds is None:
        kinds = Unavailable if response.status_code >= 500 else Rejected if response.status_code >= 400 else None
    if kinds is None:
        raise NotAStream
    error = kinds()
    error.retry_after = _retry_after(response.headers.get("retry-after", ""))
    if error.retry_after is not None and error.retry_after > LONGEST_PAUSE:
        error.message = f"The model is not available now. Try again in {_duration(error.retry_after)}."
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
        return _word(error.get("code"), 64) or _word(error.get("type"), 64)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""


def _reported(chunk: dict[str, Any]) -> Refused:
    error = chunk.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int):
        return _BY_STATUS.get(code, Reported)()
    return _BY_CODE.get(_word(code, 64), Reported)()


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


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes > 1 else f"{round(seconds)} seconds"


def _usage(value: Any) -> dict[str, int] | None:
    """The counts of tokens; what else endpoints put there is theirs."""
    if not isinstance(value, dict):
        return None
    details = value.get("completion_tokens_details")
    reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
    counts = {name: value.get(name) for name in _USAGE} | {"reasoning_tokens": reasoning}
    return {name: count for name, count in counts.items() if isinstance(count, int) and 0 <= count < 2**53}


def _word(value: Any, limit: int) -> str:
    return "".join(filter(str.isprintable, value))[:limit] if isinstance(value, str) else ""


def _text(value: Any) -> str:
    """Text that every database and browser takes: without NUL and without halves of surrogate pairs."""
    if not isinstance(value, str) or not value:
        return ""
    if value.isascii():
        return value.replace("\0", "")
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _parts(parts: list[Any]) -> list[Piece]:
    pieces: list[Piece] = []
    for part in parts:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            texts = [piece.text for piece in _parts(inner)] if isinstance(inner, list) else [_text(inner)]
            pieces.extend(Reasoning(text) for text in texts if text)
        elif text := _text(part.get("text")):
            pieces.append(Delta(text))
    return pieces
