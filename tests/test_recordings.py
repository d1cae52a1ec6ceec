"""Recorded answers of real endpoints: whole, broken off after any chunk, split at any byte."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chat.completions import Completion, CompletionError, Event
from chat.events import Delta, Finished, Reasoning
from chat.models import Reply
from tests.server import Server, SharedServers
from tests.upstream import Upstream, cut, recording
from tests.visitor import Visitor, written

pytestmark = pytest.mark.wire

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Recorded:
    """A recording, and what people must see of it."""

    name: str
    beginning: str
    thought: str
    reason: str
    # Tokens in the question, in the answer, in both, and in the thinking.
    tokens: tuple[int, ...]

    @property
    def lines(self) -> list[bytes]:
        return Path(os.environ["WIRE_RECORDINGS"], f"{self.name}.jsonl").read_bytes().splitlines()

    @property
    def usage(self) -> dict[str, int]:
        names = ("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens")
        return dict(zip(names, self.tokens, strict=False))


RECORDED = [
    Recorded("alibaba-tool-call", "", "", "tool_calls", (295, 22, 317)),
    Recorded("azure-model-router", "Capital of Denmark.", "", "stop", (15, 78, 93, 64)),
    Recorded("deepseek-reasoning", 'The word "strawberry"', "We need to count", "stop", (18, 219, 237, 205)),
    Recorded("groq-text", 'Introducing "Luminaria"', "", "stop", (45, 662, 707)),
    Recorded("mistral-text", "Hello, world! This is a test response.", "", "stop", (13, 8, 21)),
    Recorded("openai-text", "**Holiday Name:** Harmony Day", "", "stop", (16, 300, 316, 0)),
    Recorded("perplexity-citations", "The current population", "", "stop", (10, 336, 346)),
    Recorded("xai-text", "Grok", "First, the user said", "stop", (12, 2, 354, 340)),
]

each = pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
# Enough for the way through a server: a call of a tool, an answer with a thought, and a plain one.
some = pytest.mark.parametrize("recorded", RECORDED[:1] + RECORDED[2:5:2], ids=lambda recorded: recorded.name)


def read_plainly(lines: list[bytes]) -> tuple[str, str, str]:
    """Text, reasoning and finish reason. In these recordings each is always in the same field."""
    choices: list[dict[str, Any]] = [choice for line in lines for choice in json.loads(line)["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    thought = "".join(choice["delta"].get("reasoning_content") or "" for choice in choices)
    return text, thought, "".join(choice.get("finish_reason") or "" for choice in choices[-1:])


def words(events: list[Event]) -> tuple[str, str]:
    text = "".join(event.text for event in events if isinstance(event, Delta))
    return text, "".join(event.text for event in events if isinstance(event, Reasoning))


def as_sent(lines: list[bytes]) -> bytes:
    return b"".join(b"data: %b\n\n" % line for line in lines)


# The decoder


@each
def test_a_recording_is_read_whole(recorded: Recorded) -> None:
    completion = Completion()
    text, thought = words(completion.feed(as_sent(recorded.lines) + DONE))
    assert (text, thought, recorded.reason) == read_plainly(recorded.lines)
    assert text.startswith(recorded.beginning)
    assert thought.startswith(recorded.thought)
    assert completion.finished() == Finished(recorded.reason, recorded.usage)


@each
def test_a_recording_cut_after_any_chunk_keeps_what_came(recorded: Recorded) -> None:
    completion = Completion()
    seen: list[Event] = []
    for number, line in enumerate(recorded.lines, 1):
        seen += completion.feed(as_sent([line]))
        *said, reason = read_plainly(recorded.lines[:number])
        assert words(seen) == tuple(said)
        if reason:
            assert completion.finished().finish_reason == reason
        else:
            with pytest.raises(CompletionError) as raised:
                completion.finished()
            assert raised.value.code == ("cut_off" if any(said) else "no_answer")


@each
def test_a_recording_may_be_split_at_any_byte(recorded: Recorded) -> None:
    lines = [*recorded.lines[:2], max(recorded.lines, key=len), *recorded.lines[-2:]]
    body = as_sent(lines) + DONE
    *said, _ = read_plainly(lines)
    whole = Completion()
    whole.feed(body)
    for place in range(len(body)):
        completion = Completion()
        assert words(completion.feed(body[:place]) + completion.feed(body[place:])) == tuple(said)
        assert completion.finished() == whole.finished()


# A real server


@pytest.fixture
def server(share_server: SharedServers, upstream: Upstream) -> Server:
    return share_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="recorded")


async def ask(server: Server) -> tuple[str, Reply]:
    """The text that a reader sees, and the row."""
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("Hello?")
        events = await alice.whole(reply)
    row = server.database.run(lambda: Reply.objects.select_related("message").get(pk=reply["id"]))
    assert events[-1].name == "end"
    assert events[-1].data["status"] == row.status
    return written(events), row


@some
async def test_a_reader_gets_the_whole_recording(recorded: Recorded, server: Server, upstream: Upstream) -> None:
    upstream.script(*recording(recorded.name))
    seen, row = await ask(server)
    assert (row.message.text, row.reasoning, row.finish_reason) == read_plainly(recorded.lines)
    assert seen == row.message.text
    assert (row.status, row.usage, row.error_code) == ("complete", recorded.usage, "")


def places_to_cut(lines: list[bytes]) -> list[int]:
    """After the first word, in the middle, right before the finish reason, and right after it."""
    read = [read_plainly(lines[:place]) for place in range(len(lines) + 1)]
    begun = next((place for place, (text, thought, _) in enumerate(read) if text or thought), len(lines))
    finished = next(place for place, (_, _, reason) in enumerate(read) if reason)
    return sorted({place for place in (begun, (begun + finished) // 2, finished - 1) if begun <= place} | {finished})


@some
async def test_a_reader_of_a_cut_recording_gets_what_came(
    recorded: Recorded, server: Server, upstream: Upstream
) -> None:
    for place in places_to_cut(recorded.lines):
        upstream.script(*recording(recorded.name)[:place], cut())
        seen, row = await ask(server)
        *said, reason = read_plainly(recorded.lines[:place])
        assert [row.message.text, row.reasoning] == said
        assert seen == row.message.text
        ended = ("complete", reason, "") if reason else ("interrupted", "", "cut_off")
        assert (row.status, row.finish_reason, row.error_code) == ended
