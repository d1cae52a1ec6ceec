"""The decoder of one streamed answer: bytes in, events out, no I/O.

Endpoints differ in what they send. What this module reads, and why, follows
https://platform.openai.com/docs/api-reference/chat-streaming and what vLLM, llama.cpp, Ollama, Azure, DeepSeek, Mistral
and OpenRouter send besides.
"""

import json
from typing import Any

from chat import sse
from chat.completions import plain
from chat.completions.errors import (
    BY_CODE,
    BY_STATUS,
    CompletionError,
    CutOff,
    NoAnswer,
    NotAStream,
    Refused,
    Reported,
    Unavailable,
    word,
)
from chat.events import AnyDelta, Delta, Finished, Opened, Reasoning

type Event = AnyDelta | Opened | Finished

# Finish reasons that say the answer is not whole, as vLLM, Mistral and OpenRouter, and DeepSeek send them.
_BROKEN: dict[str, type[Refused]] = {
    "abort": Reported,
    "error": Reported,
    "insufficient_system_resource": Unavailable,
}
# Other names for the same: Mistral tells the limit of the model from the limit of the request.
_FINISH_REASONS = {"model_length": "length"}

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


class Completion:
    """One streamed answer as far as its bytes have come.

    `begun` says that there is a delta, `done` that nothing more is to be read.
    """

    def __init__(self) -> None:
        self._decoder = sse.Decoder()
        self._index: int | None = None
        self._upstream_id = ""
        self._usage: dict[str, Any] | None = None
        self._answered = False
        self._error: CompletionError | None = None
        self.finish_reason = ""
        self.begun = False
        self.done = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events in the next bytes; none while only keep-alives and empty chunks come."""
        if self._answered and self._decoder.between_events and (text := plain.text_of(chunk, self._index)):
            return [Delta(text)]
        deltas: list[AnyDelta] = []
        try:
            for event in self._decoder.feed(chunk):
                if event.data == "[DONE]":
                    self.done = True
                    break
                if event.data.strip():
                    self._read(event, deltas)
            if self._decoder.dropped:
                # A reply with a hole in it would be worse than one that ended.
                raise NotAStream
        except CompletionError as error:
            # `finished` raises it, so that people see what came before it.
            self._error = error
            self.done = True
        if not deltas:
            return []
        self._answered = self._answered or any(isinstance(delta, Delta) for delta in deltas)
        opened = [] if self.begun else [Opened(self._upstream_id)]
        self.begun = True
        return [*opened, *deltas]

    def finished(self) -> Finished:
        """Return how the answer ended, or raise CompletionError.

        A finish reason or [DONE] after text means success; the end of a body alone never does.
        """
        if self._error:
            raise self._error
        if self.finish_reason or (self.done and self._answered):
            return Finished(self.finish_reason, self._usage)
        raise CutOff if self.begun else NoAnswer

    def _read(self, event: sse.ServerSentEvent, deltas: list[AnyDelta]) -> None:
        try:
            chunk = json.loads(event.data)
        except (ValueError, RecursionError) as error:
            raise (Reported if event.event == "error" else NotAStream) from error
        if not isinstance(chunk, dict):
            raise NotAStream
        choices = chunk.get("choices")
        if event.event == "error" or chunk.get("error") or (chunk.get("message") and not choices):
            raise _reported(chunk)
        self._upstream_id = self._upstream_id or word(chunk.get("id"), 200)
        self._usage = _usage(chunk.get("usage")) or self._usage
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and self._follows(choice.get("index")):
                self._read_choice(choice, deltas)

    def _follows(self, index: Any) -> bool:
        """Tell the choice that came first from others, which a proxy may have asked for. Some leave the index out."""
        if not isinstance(index, int):
            return True
        if self._index is None:
            self._index = index
        return index == self._index

    def _read_choice(self, choice: dict[str, Any], deltas: list[AnyDelta]) -> None:
        if isinstance(delta := choice.get("delta"), dict):
            self._read_delta(delta, deltas)
        if choice.get("error"):
            raise _reported(choice)
        if reason := word(choice.get("finish_reason"), 64):
            if broken := _BROKEN.get(reason):
                raise broken
            self.finish_reason = _FINISH_REASONS.get(reason, reason)

    def _read_delta(self, delta: dict[str, Any], deltas: list[AnyDelta]) -> None:
        for key in ("reasoning_content", "reasoning"):
            if text := _text(delta.get(key)):
                deltas.append(Reasoning(text))
                break
        content = delta.get("content")
        if isinstance(content, list):
            deltas.extend(_parts(content))
        elif text := _text(content):
            deltas.append(Delta(text))
        if text := _text(delta.get("refusal")):
            deltas.append(Delta(text))


def _reported(chunk: dict[str, Any]) -> Refused:
    """Return what the `error` in a chunk or a choice means."""
    error = chunk.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int):
        return BY_STATUS.get(code, Reported)()
    return BY_CODE.get(word(code, 64), Reported)()


def _usage(value: Any) -> dict[str, int] | None:
    """Return the counts of tokens, without whatever else an endpoint puts there."""
    if not isinstance(value, dict):
        return None
    details = value.get("completion_tokens_details")
    reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
    counts = {name: value.get(name) for name in _USAGE} | {"reasoning_tokens": reasoning}
    return {name: count for name, count in counts.items() if isinstance(count, int) and 0 <= count < 2**53}


def _text(value: Any) -> str:
    """Return text that every database and browser accepts: without NUL and without halves of surrogate pairs."""
    if not isinstance(value, str) or not value:
        return ""
    if value.isascii():
        return value.replace("\0", "")
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _parts(parts: list[Any]) -> list[AnyDelta]:
    """Return the texts of typed parts, as Mistral sends them."""
    deltas: list[AnyDelta] = []
    for part in parts:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            texts = [delta.text for delta in _parts(inner)] if isinstance(inner, list) else [_text(inner)]
            deltas.extend(Reasoning(text) for text in texts if text)
        elif text := _text(part.get("text")):
            deltas.append(Delta(text))
    return deltas
