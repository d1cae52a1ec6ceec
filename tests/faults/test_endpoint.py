"""Each kind of end that an endpoint or a network can bring about, from the endpoint's socket to the reader and the row.

Whatever happens, the reader sees one end with its reason, the row holds what the reader saw, and neither the key nor an
address reaches the page or the log. What endpoints send in detail is in `tests/test_completions.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest

from chat import sentences
from chat.events import Error
from chat.models import Reply
from tests.faults.proxy import Proxy
from tests.server import Server, SharedServers
from tests.upstream import (
    Step,
    Upstream,
    answer,
    chunk,
    cut,
    delta,
    done,
    error,
    finish,
    hang,
    html,
    nothing,
    pause,
    raw,
    reasoning,
    reset,
    text,
    usage,
)
from tests.visitor import Event, Visitor, written

KEY = "sk-secret"
INTERNAL = "http://models.internal:4000"
# Endpoints say such things in errors, and nobody may read them here.
REVEALING = {"error": {"message": f"Incorrect API key provided: {KEY}. Asked {INTERNAL}."}}
# The limits of the server for the first delta and the gap, in seconds: a busy machine must not reach them by itself.
LIMIT = "5"
SO_FAR = [text("so far"), hang()]


@dataclass(frozen=True)
class Outcome:
    """How a reply ends; `why` is the code of its error."""

    status: str
    text: str = ""
    why: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    requests: int = 1
    retry_after: int | None = None

    @property
    def error(self) -> dict[str, str] | None:
        if not self.why:
            return None
        params: dict[str, int | str] = {} if self.retry_after is None else {"retry_after": self.retry_after}
        return {"code": self.why, "message": sentences.of(Error(self.why, params))}


def complete(text: str, finish_reason: str = "stop", **more: Any) -> Outcome:
    return Outcome("complete", text, finish_reason=finish_reason, **more)


def failed(why: str, text: str = "", **more: Any) -> Outcome:
    return Outcome("failed", text, why, **more)


def interrupted(why: str, text: str = "so far", **more: Any) -> Outcome:
    return Outcome("interrupted", text, why, **more)


@dataclass(frozen=True)
class Scene:
    """Alice asks a server, which reaches the scripted endpoint through the proxy."""

    server: Server
    upstream: Upstream
    proxy: Proxy
    alice: Visitor

    async def expect(self, outcome: Outcome, *steps: Step) -> None:
        """Ask, answer with these steps, and see the reply end as expected."""
        self.upstream.script(*steps)
        reply = await self.alice.ask("Hello?")
        await self.expect_end(reply, await self.alice.whole(reply), outcome)

    async def expect_end(self, reply: dict[str, Any], seen: list[Event], outcome: Outcome) -> None:
        end = seen[-1].data
        assert [event.name for event in seen].count("end") == 1
        assert seen[-1].name == "end"
        assert (end["status"], written(seen), thought(seen)) == (outcome.status, outcome.text, outcome.reasoning)
        assert end["error"] == outcome.error
        assert end["finish_reason"] == outcome.finish_reason
        assert len(self.upstream.requests) == outcome.requests
        self.expect_stored(reply, seen)
        late = await self.alice.whole(reply)
        assert (written(late), thought(late), late[-1].data) == (outcome.text, outcome.reasoning, end)
        await self.expect_no_secrets(reply, outcome)

    def expect_stored(self, reply: dict[str, Any], seen: list[Event]) -> None:
        row = self.server.database.run(lambda: Reply.objects.select_related("message").get(pk=reply["id"]))
        error = {"code": row.error.code, "message": sentences.of(row.error)} if row.error else None
        end = {"status": row.status, "finish_reason": row.finish_reason, "usage": row.usage, "error": error}
        assert (row.message.text, row.reasoning, row.last_seq) == (written(seen), thought(seen), seen[-1].id)
        assert end == seen[-1].data
        assert row.ended

    async def expect_no_secrets(self, reply: dict[str, Any], outcome: Outcome) -> None:
        page = unescape((await self.alice.client.get(reply["conversation"]["url"])).text)
        assert outcome.error is None or outcome.error["message"] in page
        log = self.server.log()
        for secret in (KEY, INTERNAL, f":{self.proxy.port}", f":{self.upstream.port}"):
            assert secret not in page
            assert secret not in log
        assert "Traceback" not in log


def thought(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "reasoning")


@pytest.fixture(scope="module")
def between(endpoint: Upstream) -> Iterator[Proxy]:
    with Proxy(endpoint.port) as between:
        yield between


@pytest.fixture
async def scene(share_server: SharedServers, upstream: Upstream, between: Proxy) -> AsyncIterator[Scene]:
    server = share_server(
        OPENAI_BASE_URL=f"{between.url}/v1",
        OPENAI_API_KEY=KEY,
        OPENAI_MODEL="scripted",
        CHAT_FIRST_PIECE_SECONDS=LIMIT,
        CHAT_GAP_SECONDS=LIMIT,
    )
    async with Visitor(server, "alice") as alice:
        yield Scene(server, upstream, between, alice)
    # Nothing that was held up may reach the next test.
    between.cut()
    between.mend()


# What the endpoint sends


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        pytest.param(
            [raw(b":\n\n"), reasoning("hm"), delta(content="a\0b"), finish(), usage({"total_tokens": 1}), done()],
            complete("ab", reasoning="hm"),
            id="a thought, an answer and usage",
        ),
        pytest.param([text("a"), finish("model_length"), done()], complete("a", "length"), id="the limit of the model"),
        pytest.param(
            [delta(tool_calls=[{"function": {"name": "weather", "arguments": "{}"}}]), finish("tool_calls")],
            complete("", "tool_calls"),
            id="a call of a tool",
        ),
        pytest.param([text("a"), finish(), cut()], complete("a"), id="a cut after the finish reason"),
    ],
)
async def test_an_answer_is_complete(scene: Scene, steps: list[Step], outcome: Outcome) -> None:
    await scene.expect(outcome, *steps)


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        pytest.param(error(401, REVEALING), failed("unauthorized"), id="an error that repeats the key"),
        pytest.param(error(429, REVEALING, 3600), failed("busy", retry_after=3600), id="an hour to wait"),
        pytest.param(error(503, {}, "inf"), failed("unavailable", retry_after=86_400), id="for ever to wait"),
        pytest.param(html(), failed("not_a_stream"), id="a page"),
        pytest.param(nothing(), failed("no_answer"), id="an empty stream"),
        pytest.param([chunk(REVEALING)], failed("reported"), id="an error in the stream"),
    ],
)
async def test_a_reply_without_an_answer_fails(scene: Scene, steps: list[Step], outcome: Outcome) -> None:
    await scene.expect(outcome, *steps)


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        pytest.param([cut()], interrupted("cut_off"), id="a cut"),
        pytest.param([raw(b"data: {\n\n")], interrupted("not_a_stream"), id="broken JSON"),
        pytest.param([hang()], interrupted("stalled"), id="silence"),
        pytest.param([chunk(REVEALING), done()], failed("reported", "so far"), id="an error in the stream"),
        pytest.param([finish("error"), done()], failed("reported", "so far"), id="a finish reason that is an error"),
    ],
)
async def test_a_reply_that_breaks_off_keeps_its_text(scene: Scene, steps: list[Step], outcome: Outcome) -> None:
    await scene.expect(outcome, text("so far"), *steps)


async def test_a_reply_that_breaks_off_keeps_its_reasoning(scene: Scene) -> None:
    await scene.expect(interrupted("cut_off", "", reasoning="hm"), reasoning("hm"), cut())


async def test_a_passing_fault_is_not_seen(scene: Scene) -> None:
    scene.upstream.script(*error(503, REVEALING, "0.1"))
    await scene.expect(complete("Fine.", requests=2), text("Fine."), finish())


async def test_a_lasting_fault_ends_the_reply(scene: Scene) -> None:
    scene.upstream.default = [reset()]
    await scene.expect(failed("unreachable", requests=3), reset())


# What the network does


async def test_an_answer_over_a_slow_line_is_whole(scene: Scene) -> None:
    scene.proxy.impair(latency=0.1, rate=3000)
    await scene.expect(complete("Slow and steady."), *answer("Slow and steady.", words=True))


@pytest.mark.parametrize("limit", [300, 525, 825])
async def test_text_before_a_cut_is_kept_wherever_it_comes(scene: Scene, limit: int) -> None:
    scene.proxy.impair(limit=limit)
    scene.upstream.script(*[text(f"{number} ") for number in range(100)], finish())
    reply = await scene.alice.ask("Count.")
    seen = await scene.alice.whole(reply)
    assert written(seen)
    assert "".join(f"{number} " for number in range(100)).startswith(written(seen))
    await scene.expect_end(reply, seen, interrupted("cut_off", written(seen)))


@pytest.mark.parametrize("fault", [Proxy.reset, Proxy.break_down])
async def test_a_connection_that_breaks_leaves_what_came(scene: Scene, fault: Callable[[Proxy], None]) -> None:
    scene.upstream.script(*SO_FAR)
    reply = await scene.alice.ask("Hello?")
    await scene.alice.until(reply, "so far")
    fault(scene.proxy)
    await scene.expect_end(reply, await scene.alice.whole(reply), interrupted("cut_off"))


async def test_an_endpoint_that_refuses_connections_is_unreachable(scene: Scene) -> None:
    scene.proxy.cut()
    scene.proxy.refuse()
    await scene.expect(failed("unreachable", requests=0))


async def test_an_endpoint_that_comes_back_between_attempts_answers(scene: Scene) -> None:
    scene.proxy.impair(limit=0, reset=True)
    scene.upstream.script(pause("first"), *SO_FAR)
    reply = await scene.alice.ask("Hello?")
    await asyncio.to_thread(scene.upstream.next_request)
    # The first connection stays as it is.
    scene.proxy.impair(only_new=True)
    scene.upstream.release("first")
    await scene.expect_end(reply, await scene.alice.whole(reply), complete("Hello world", requests=2))


async def test_a_network_that_swallows_the_question_is_too_slow(scene: Scene) -> None:
    scene.proxy.impair(black_hole=True)
    await scene.expect(failed("too_slow", requests=0))
