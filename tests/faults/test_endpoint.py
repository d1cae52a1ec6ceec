"""What endpoints send instead of a plain answer, and what networks do to it on the way.

Each misbehaviour goes through a real server to a real reader. Whatever it is, the reader sees one end with its reason,
what is stored is what was seen, and neither the key nor an address reaches the page or the log.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from html import unescape
from typing import Any

import pytest

from chat import sentences
from chat.events import Error
from chat.models import Reply
from tests.faults.proxy import Proxy
from tests.server import Databases, Server, Servers
from tests.upstream import (
    Response,
    Step,
    Upstream,
    answer,
    chunk,
    cut,
    delta,
    document,
    done,
    error,
    finish,
    garbage,
    hang,
    head,
    html,
    nothing,
    pause,
    raw,
    reasoning,
    reset,
    sleep,
    text,
    usage,
    wire,
)
from tests.visitor import Event, Visitor, written

KEY = "sk-secret"
INTERNAL = "http://models.internal:4000"
# What endpoints say in errors, and nobody may read here.
REVEALING = {"error": {"message": f"Incorrect API key provided: {KEY}. Asked {INTERNAL}."}}

# A short limit is one of its own server; elsewhere a busy machine could reach it before the endpoint does.
PATIENT = ""
GAP = "CHAT_GAP_SECONDS"
FIRST_PIECE = "CHAT_FIRST_PIECE_SECONDS"
TOTAL = "CHAT_TOTAL_SECONDS"


@dataclass(frozen=True)
class Outcome:
    """How a reply ends; `why` is the code of its error, with "for an hour" if the endpoint said so."""

    status: str
    text: str = ""
    why: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    requests: int = 1


def complete(text: str, finish_reason: str = "stop", **more: Any) -> Outcome:
    return Outcome("complete", text, finish_reason=finish_reason, **more)


def failed(why: str, text: str = "", **more: Any) -> Outcome:
    return Outcome("failed", text, why, **more)


def interrupted(why: str, text: str = "so far", **more: Any) -> Outcome:
    return Outcome("interrupted", text, why, **more)


@dataclass(frozen=True)
class Scene:
    """Alice asks a server for the answer of the scripted endpoint, to which it talks through the proxy."""

    server: Server
    upstream: Upstream
    proxy: Proxy
    alice: Visitor

    async def expect(self, outcome: Outcome, *steps: Step) -> None:
        """Ask, be answered so, and see the reply end as expected."""
        self.upstream.script(*steps)
        reply = await self.alice.ask("Hello?")
        await self.expect_end(reply, await self.alice.whole(reply), outcome)

    async def expect_end(self, reply: dict[str, Any], seen: list[Event], outcome: Outcome) -> None:
        end = seen[-1].data
        assert [event.name for event in seen].count("end") == 1
        assert seen[-1].name == "end"
        assert (end["status"], written(seen), thought(seen)) == (outcome.status, outcome.text, outcome.reasoning)
        assert end["error"] == expected_error(outcome)
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
        assert (error := expected_error(outcome)) is None or error["message"] in page
        log = self.server.log()
        for secret in (KEY, INTERNAL, f":{self.proxy.port}", f":{self.upstream.port}"):
            assert secret not in page
            assert secret not in log
        assert "Traceback" not in log


def thought(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "reasoning")


def expected_error(outcome: Outcome) -> dict[str, str] | None:
    if not outcome.why:
        return None
    code, _, wait = outcome.why.partition(" ")
    return {"code": code, "message": sentences.of(Error(code, {"retry_after": 3600} if wait else {}))}


# The tests share the endpoint, the proxy and the servers.


@pytest.fixture(scope="module")
def between(endpoint: Upstream) -> Iterator[Proxy]:
    with Proxy(endpoint.port) as between:
        yield between


@pytest.fixture(scope="module")
def server_with(databases: Databases, between: Proxy) -> Iterator[Callable[[str], Server]]:
    """The server with this short limit, which all tests share."""
    with Servers(databases) as start:

        @cache
        def server_with(limit: str) -> Server:
            model = {"OPENAI_BASE_URL": f"{between.url}/v1", "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "scripted"}
            return start(None, **model, **({limit: "1"} if limit else {}))

        yield server_with


@pytest.fixture
async def scene(
    request: pytest.FixtureRequest, server_with: Callable[[str], Server], endpoint: Upstream, between: Proxy
) -> AsyncIterator[Scene]:
    """The scene at the server with the short limit that the test names, if it names one."""
    endpoint.forget()
    server = server_with(getattr(request, "param", PATIENT))
    async with Visitor(server, "alice") as alice:
        yield Scene(server, endpoint, between, alice)
    # Nothing that was held up may reach the next test.
    between.cut()
    between.mend()


# What is odd and yet a whole answer


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        pytest.param([delta(role="assistant"), text("a"), finish()], complete("a"), id="a role alone comes first"),
        pytest.param(
            [chunk({"choices": [], "prompt_filter_results": []}), text("a"), finish()],
            complete("a"),
            id="no choices come first, as Azure does",
        ),
        pytest.param(
            [text("a"), usage({"total_tokens": 1}), text("b"), finish()],
            complete("ab"),
            id="usage comes in between",
        ),
        pytest.param([text("a"), finish(), usage({}), done()], complete("a"), id="usage is empty"),
        pytest.param(
            [text("a"), finish(), usage({"total_tokens": "many", "cost": KEY}), done()],
            complete("a"),
            id="usage is no numbers",
        ),
        pytest.param([delta(content=None), text("a"), finish()], complete("a"), id="content is null"),
        pytest.param(
            [delta(content=[{"type": "text", "text": "a"}, {"type": "image_url"}, "b"]), finish()],
            complete("a"),
            id="content is a list of typed parts",
        ),
        pytest.param(
            [delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]), text("a"), finish()],
            complete("a", reasoning="hm"),
            id="thinking is a typed part, as Mistral does",
        ),
        pytest.param(
            [reasoning("h"), reasoning("m"), text("a"), finish()],
            complete("a", reasoning="hm"),
            id="reasoning_content comes first, as DeepSeek does",
        ),
        pytest.param(
            [delta(reasoning="hm", content=""), text("a"), finish()],
            complete("a", reasoning="hm"),
            id="reasoning comes first, as OpenRouter does",
        ),
        pytest.param([delta(refusal="I will not."), finish()], complete("I will not."), id="the model refuses"),
        pytest.param(
            [delta(tool_calls=[{"function": {"name": "weather", "arguments": "{}"}}]), finish("tool_calls")],
            complete("", "tool_calls"),
            id="a tool is called without an index",
        ),
        pytest.param([text("a"), finish("length"), done()], complete("a", "length"), id="the length was limited"),
        pytest.param(
            [raw(b": OPENROUTER PROCESSING\n\n"), raw(b":\n\n"), text("a"), raw(b":\n\n"), finish()],
            complete("a"),
            id="comments keep the connection alive",
        ),
        pytest.param(
            [raw(b'\xef\xbb\xbfdata:{"choices":[{"delta":{"content":"a"}}]}\r\n\r\ndata:[DONE]\r\n\r\n')],
            complete("a", ""),
            id="a byte order mark, CRLF, no space and no finish reason",
        ),
        pytest.param(
            [
                raw(bytes([byte]))
                for byte in 'data: {"choices":[{"delta":{"content":"é👋"}}]}\n\ndata: [DONE]\n\n'.encode()
            ],
            complete("é👋", ""),
            id="each byte comes by itself",
        ),
        pytest.param(
            [raw(b'data: {"choices":[{"delta":{"content":"a\\u0000b\\ud800c\\u2028d"}}]}\n\n'), finish()],
            complete("ab?c\u2028d"),
            id="NUL, half a surrogate pair and a line separator are in the text",
        ),
        pytest.param(
            [chunk({"choices": [{"delta": {"content": "a"}}], "padding": "x" * 1_000_000}), finish()],
            complete("a"),
            id="an event has a megabyte",
        ),
        pytest.param(
            [chunk({"choices": [42, {"delta": 7}]}), text("a"), finish()], complete("a"), id="choices are odd"
        ),
        pytest.param([raw(b"data:\n\nid: 7\n\n"), text("a"), finish()], complete("a"), id="events are empty"),
        pytest.param([text("a"), done(), text("b"), hang()], complete("a", ""), id="more comes after [DONE]"),
        pytest.param([text("a"), finish(), cut()], complete("a"), id="it is cut after the finish reason"),
        pytest.param([text("a"), finish(), reset()], complete("a"), id="it is reset after the finish reason"),
        pytest.param(
            [head(headers={"connection": "close"}), text("a"), finish()],
            complete("a"),
            id="only the end of the connection ends the body",
        ),
        pytest.param(
            [head(headers={"content-type": "text/plain"}), text("a"), finish()],
            complete("a"),
            id="the stream says it is plain text",
        ),
    ],
)
async def test_an_odd_answer_is_whole_although(scene: Scene, steps: list[Step], outcome: Outcome) -> None:
    await scene.expect(outcome, *steps)


# What is no answer


def for_an_hour(status: int) -> Step:
    """An error that asks for patience until a date."""

    async def step(response: Response) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        for part in error(status, REVEALING, date):
            await part(response)

    return step


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        pytest.param(error(401, REVEALING), failed("unauthorized"), id="the key is wrong and repeated"),
        pytest.param(document(401, "text/plain", KEY.encode()), failed("unauthorized"), id="a 401 is not JSON"),
        pytest.param(error(403, []), failed("unauthorized"), id="a 403 is a list"),
        pytest.param(error(404, REVEALING), failed("unknown_model"), id="the model is unknown"),
        pytest.param(error(400, {"error": {"code": "model_not_found"}}), failed("unknown_model"), id="a 400 says so"),
        pytest.param(
            error(400, {"error": {"code": "context_length_exceeded"}}),
            failed("context_too_long"),
            id="the conversation is too long",
        ),
        pytest.param(error(400, REVEALING), failed("rejected"), id="the question is rejected"),
        pytest.param(error(429, REVEALING, 3600), failed("busy for an hour"), id="a 429 asks for an hour in seconds"),
        pytest.param([for_an_hour(429)], failed("busy for an hour"), id="a 429 asks for an hour by a date"),
        pytest.param(error(503, REVEALING, 3600), failed("unavailable for an hour"), id="a 503 asks for an hour"),
        pytest.param(html(), failed("not_a_stream"), id="a captive portal answers"),
        pytest.param(
            document(302, "text/html", b"", {"location": f"{INTERNAL}/login"}),
            failed("not_a_stream"),
            id="it sends elsewhere",
        ),
        pytest.param(
            document(200, "application/json", json.dumps({"choices": [{"message": {"content": "a"}}]}).encode()),
            failed("not_a_stream"),
            id="the answer is whole and no stream",
        ),
        pytest.param(garbage(), failed("not_a_stream"), id="the stream is garbage"),
        pytest.param([raw(b"data: 42\n\n")], failed("not_a_stream"), id="an event is a number"),
        pytest.param([raw(b"data: " + b"[" * 100_000 + b"\n\n")], failed("not_a_stream"), id="JSON is nested deeply"),
        pytest.param(
            [raw(b"data: " + b"x" * 5_000_000 + b"\n\n")], failed("not_a_stream"), id="an event has five megabytes"
        ),
        pytest.param(
            [head(headers={"content-encoding": "gzip"}), raw(gzip.compress(b"data: [DONE]\n\n"))],
            failed("not_a_stream"),
            id="the stream is compressed without being asked to",
        ),
        pytest.param(nothing(), failed("no_answer"), id="the stream is empty"),
        pytest.param([done()], failed("no_answer"), id="only [DONE] comes"),
        pytest.param(
            [delta(role="assistant", content="")], failed("no_answer"), id="an empty chunk and a clean end, as Ollama"
        ),
        pytest.param([chunk(REVEALING)], failed("reported"), id="the stream is an error"),
    ],
)
async def test_a_reply_fails_without_a_word_when(scene: Scene, steps: list[Step], outcome: Outcome) -> None:
    await scene.expect(outcome, *steps)


# What breaks off


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        pytest.param([cut()], interrupted("cut_off"), id="it is cut"),
        pytest.param([reset()], interrupted("cut_off"), id="it is reset"),
        pytest.param([], interrupted("cut_off"), id="it ends cleanly without a finish reason"),
        pytest.param([raw(b"data: {\n\n")], interrupted("not_a_stream"), id="JSON is broken"),
        pytest.param([html()[1]], interrupted("cut_off"), id="a proxy adds its page to the stream"),
        pytest.param(
            [raw(b"data: " + b"x" * 5_000_000 + b"\n\n")], interrupted("not_a_stream"), id="an event is too large"
        ),
        pytest.param([chunk(REVEALING), done()], failed("reported", "so far"), id="an error is reported before [DONE]"),
        pytest.param([chunk({"error": KEY})], failed("reported", "so far"), id="the error is a string"),
        pytest.param(
            [raw(b"event: error\ndata: %b\n\n" % KEY.encode())],
            failed("reported", "so far"),
            id="the event is an error",
        ),
        pytest.param([chunk({"message": KEY})], failed("reported", "so far"), id="there is a message and no choices"),
        pytest.param([chunk({"error": {"code": 429}})], failed("busy", "so far"), id="the error is one of status 429"),
    ],
)
async def test_what_was_written_is_kept_and_nothing_asked_again_when(
    scene: Scene, steps: list[Step], outcome: Outcome
) -> None:
    await scene.expect(outcome, text("so far"), *steps)


async def test_what_was_thought_is_kept_too(scene: Scene) -> None:
    await scene.expect(interrupted("cut_off", "", reasoning="hm"), reasoning("hm"), cut())


@pytest.mark.parametrize("scene", [GAP], indirect=True)
async def test_nonsense_in_the_framing_breaks_it_off(scene: Scene) -> None:
    scene.upstream.script(text("so far"), pause("nonsense"), wire(b"zz\r\n"), hang())
    reply = await scene.alice.ask("Hello?")
    await scene.alice.until(reply, "so far")
    scene.upstream.release("nonsense")
    seen = await scene.alice.whole(reply)
    why = seen[-1].data["error"]["code"]
    # Who already waits for more is not told of it by aiohttp.
    assert why in ("cut_off", "stalled")
    await scene.expect_end(reply, seen, interrupted(why))


async def test_a_body_shorter_than_promised_is_cut_off(scene: Scene) -> None:
    await scene.expect(interrupted("cut_off"), head(headers={"content-length": "1000"}), text("so far"), cut())


# What is tried again


SOON = "0.1"


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(error(429, REVEALING, SOON), id="429"),
        pytest.param(error(503, REVEALING, SOON), id="503"),
        pytest.param(error(408, {}, SOON), id="408"),
        pytest.param(error(409, {}, SOON), id="409"),
        pytest.param(document(500, "text/html", b"<h1>Sorry</h1>", {"retry-after": SOON}), id="a 500 that is not JSON"),
        pytest.param([chunk({"error": {"code": 429}})], id="an error of status 429 in the stream"),
        pytest.param([reset()], id="a reset"),
        pytest.param([cut()], id="a cut"),
        pytest.param([head(), cut()], id="a cut behind the head"),
        pytest.param([wire(b"SSH-2.0-OpenSSH_9.2\r\n"), cut()], id="another protocol"),
    ],
)
async def test_before_the_first_piece_is_tried_again(scene: Scene, steps: list[Step]) -> None:
    scene.upstream.script(*steps)
    await scene.expect(complete("Fine.", requests=2), text("Fine."), finish())


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        pytest.param(error(429, REVEALING, SOON), "busy", id="429"),
        pytest.param(error(503, REVEALING, SOON), "unavailable", id="503"),
        pytest.param([reset()], "unreachable", id="a reset"),
    ],
)
async def test_three_times_in_a_row_is_the_end(scene: Scene, steps: list[Step], why: str) -> None:
    scene.upstream.default = steps
    await scene.expect(failed(why, requests=3), *steps)


# What takes too long


KEEP_ALIVE = [raw(b": still here\n\n"), sleep(0.1)] * 100


@pytest.mark.parametrize(
    ("scene", "steps", "outcome"),
    [
        pytest.param(FIRST_PIECE, [hang()], failed("too_slow"), id="nothing comes"),
        pytest.param(FIRST_PIECE, [head(), hang()], failed("too_slow"), id="only a head comes"),
        pytest.param(FIRST_PIECE, [delta(role="assistant"), hang()], failed("too_slow"), id="only a role comes"),
        pytest.param(FIRST_PIECE, KEEP_ALIVE, failed("too_slow"), id="only comments come"),
        pytest.param(GAP, [text("so far"), hang()], interrupted("stalled"), id="it falls silent"),
        pytest.param(GAP, [text("so far"), *KEEP_ALIVE], interrupted("stalled"), id="only comments go on"),
        pytest.param(GAP, [text("a"), finish(), hang()], complete("a"), id="it falls silent after the finish reason"),
        pytest.param(TOTAL, [text("so far"), *KEEP_ALIVE], interrupted("too_long"), id="it does not end"),
    ],
    indirect=["scene"],
)
async def test_it_is_not_waited_for_longer_than_allowed_when(scene: Scene, steps: list[Step], outcome: Outcome) -> None:
    await scene.expect(outcome, *steps)
    await asyncio.to_thread(scene.upstream.next_request().wait_closed)


# What the network does


SO_FAR = [text("so far"), hang()]


@pytest.mark.parametrize("impairment", [{"latency": 0.1}, {"rate": 3000}], ids=["far away", "slow"])
async def test_an_answer_is_whole_although_the_endpoint_is(scene: Scene, impairment: dict[str, Any]) -> None:
    scene.proxy.impair(**impairment)
    spoken = "It is not the speed that counts."
    outcome = complete(spoken)
    scene.upstream.script(*answer(spoken, words=True))
    reply = await scene.alice.ask("Hello?")
    await scene.expect_end(reply, await scene.alice.whole(reply), outcome)


@pytest.mark.parametrize("impairment", [{"limit": 0}, {"limit": 0, "reset": True}, {"limit": 40}])
async def test_a_connection_that_ends_in_the_head_is_tried_again(scene: Scene, impairment: dict[str, Any]) -> None:
    scene.proxy.impair(**impairment)
    scene.upstream.default = SO_FAR
    await scene.expect(failed("unreachable", requests=3), *SO_FAR)


@pytest.mark.parametrize("limit", range(300, 900, 75))
async def test_wherever_the_bytes_end_all_that_came_is_kept(scene: Scene, limit: int) -> None:
    scene.proxy.impair(limit=limit)
    scene.upstream.script(*[text(f"{number} ") for number in range(100)], finish())
    reply = await scene.alice.ask("Count.")
    seen = await scene.alice.whole(reply)
    assert written(seen)
    whole = "".join(f"{number} " for number in range(100))
    assert whole.startswith(written(seen))
    await scene.expect_end(reply, seen, interrupted("cut_off", written(seen)))


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.reset, Proxy.break_down])
async def test_a_connection_that_breaks_in_the_middle_leaves_what_came(
    scene: Scene, fault: Callable[[Proxy], None]
) -> None:
    scene.upstream.script(*SO_FAR)
    reply = await scene.alice.ask("Hello?")
    await scene.alice.until(reply, "so far")
    fault(scene.proxy)
    await scene.expect_end(reply, await scene.alice.whole(reply), interrupted("cut_off"))


async def test_an_endpoint_that_refuses_connections_cannot_be_reached(scene: Scene) -> None:
    scene.proxy.cut()
    scene.proxy.refuse()
    await scene.expect(failed("unreachable", requests=0))


async def test_a_proxy_that_does_not_reach_the_endpoint_is_asked_three_times(scene: Scene) -> None:
    scene.proxy.break_down()
    await scene.expect(failed("unavailable", requests=0))


async def test_an_endpoint_that_comes_back_between_two_tries_answers(scene: Scene) -> None:
    scene.proxy.impair(limit=0, reset=True)
    scene.upstream.script(*SO_FAR)
    reply = await scene.alice.ask("Hello?")
    await asyncio.to_thread(scene.upstream.next_request)
    await asyncio.to_thread(scene.upstream.requests[0].wait_closed)
    scene.proxy.mend()
    await scene.expect_end(reply, await scene.alice.whole(reply), complete("Hello world", requests=2))


@pytest.mark.parametrize("scene", [FIRST_PIECE], indirect=True)
async def test_a_network_that_swallows_the_question_is_not_waited_for(scene: Scene) -> None:
    scene.proxy.impair(black_hole=True)
    await scene.expect(failed("too_slow", requests=0))


@pytest.mark.parametrize("scene", [GAP], indirect=True)
async def test_a_network_that_swallows_the_rest_is_not_waited_for(scene: Scene) -> None:
    scene.upstream.script(*SO_FAR)
    reply = await scene.alice.ask("Hello?")
    await asyncio.to_thread(scene.upstream.next_request)
    await scene.alice.until(reply, "so far")
    scene.proxy.impair(black_hole=True)
    await scene.expect_end(reply, await scene.alice.whole(reply), interrupted("stalled"))
