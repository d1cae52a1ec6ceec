"""The endpoint's client against a scripted endpoint on a real socket."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from chat.completions import DEFAULTS, Completion, CompletionError, Endpoint, Event, Limits, Parameters, errors
from chat.completions import endpoint as client
from chat.events import AnyDelta, Delta, Finished, Opened, Reasoning, joined
from tests.programs import free_port
from tests.upstream import (
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

QUESTION = [{"role": "user", "content": "How are you?"}]
BEGUN = [*QUESTION, {"role": "assistant", "content": "Fine, th"}]
KEY = "sk-secret"
UNSUPPORTED = error(400, {"error": {"message": "Unsupported parameter", "code": "unsupported_parameter"}})
PATIENT = Limits(connect=5, first_piece=5, gap=5, total=10)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRY_WAITS", (0.0, 0.0))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@asynccontextmanager
async def connected(url: str, key: str = KEY, limits: Limits = PATIENT) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(url, key, limits)
    try:
        yield endpoint
    finally:
        await endpoint.aclose()


@pytest.fixture
async def endpoint(upstream: Upstream) -> AsyncIterator[Endpoint]:
    async with connected(upstream.url) as endpoint:
        yield endpoint


async def ask(
    endpoint: Endpoint,
    events: list[Event] | None = None,
    messages: list[dict[str, str]] = QUESTION,
    continuation: str = "none",
    parameters: Parameters = DEFAULTS,
) -> list[Event]:
    """All events of one answer; `events` has those that came before an error."""
    events = [] if events is None else events
    async for some in endpoint.stream("small", messages, continuation, parameters):
        events += some
    return events


def deltas(events: list[Event]) -> list[AnyDelta]:
    return [event for event in events if isinstance(event, Delta | Reasoning)]


def words(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def choice(index: Any, content: str, finish_reason: str | None = None) -> Step:
    return chunk({"choices": [{"index": index, "delta": {"content": content}, "finish_reason": finish_reason}]})


# Requests


async def test_it_asks_for_a_stream_with_usage(upstream: Upstream, endpoint: Endpoint) -> None:
    await ask(endpoint)
    request = upstream.next_request()
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.body == {
        "model": "small",
        "messages": QUESTION,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("continuation", "fields", "last"),
    [
        ("continue_final_message", {"continue_final_message": True, "add_generation_prompt": False}, BEGUN[-1]),
        ("prefix", {}, {**BEGUN[-1], "prefix": True}),
        ("assistant", {}, BEGUN[-1]),
    ],
)
async def test_each_endpoint_continues_an_answer_in_its_own_way(
    upstream: Upstream, endpoint: Endpoint, continuation: str, fields: dict[str, bool], last: dict[str, Any]
) -> None:
    await ask(endpoint, messages=BEGUN, continuation=continuation)
    body = upstream.next_request().body
    assert body["messages"] == [*QUESTION, last]
    assert {name: body.get(name) for name in fields} == fields
    assert ("continue_final_message" in body) == (continuation == "continue_final_message")


async def test_a_question_is_the_same_for_all_endpoints(upstream: Upstream, endpoint: Endpoint) -> None:
    for continuation in ("none", "continue_final_message", "prefix"):
        await ask(endpoint, continuation=continuation)
    bodies = [request.body for request in upstream.requests]
    assert bodies[0] == bodies[1] == bodies[2]


async def test_what_is_set_of_the_parameters_is_sent(upstream: Upstream, endpoint: Endpoint) -> None:
    await ask(endpoint, parameters=Parameters(temperature=0.0, max_tokens=50))
    body = upstream.next_request().body
    assert (body["temperature"], body["max_tokens"]) == (0, 50)


async def test_a_model_may_know_the_limit_of_tokens_by_another_name(upstream: Upstream, endpoint: Endpoint) -> None:
    """As OpenAI's reasoning models do. It is remembered."""
    upstream.script(*UNSUPPORTED)
    for _ in range(2):
        assert words(await ask(endpoint, parameters=Parameters(max_tokens=50))) == "Hello world"
    limits = ({name: value for name, value in request.body.items() if value == 50} for request in upstream.requests)
    assert [*limits] == [{"max_tokens": 50}, {"max_completion_tokens": 50}, {"max_completion_tokens": 50}]


@pytest.mark.parametrize("parameters", [DEFAULTS, Parameters(temperature=2.0), Parameters(max_tokens=50)])
async def test_another_parameter_that_is_refused_ends_the_answer(
    upstream: Upstream, endpoint: Endpoint, parameters: Parameters
) -> None:
    upstream.default = UNSUPPORTED
    with pytest.raises(errors.UnsupportedParameter):
        await ask(endpoint, parameters=parameters)
    assert len(upstream.requests) == (2 if parameters.max_tokens else 1)
    upstream.default = answer("Hello world")
    await ask(endpoint, parameters=Parameters(max_tokens=50))
    assert "max_tokens" in upstream.requests[-1].body, "the name was not to blame"


async def test_without_a_key_there_is_no_authorization(upstream: Upstream) -> None:
    async with connected(upstream.url, key="") as endpoint:
        await ask(endpoint)
    assert "authorization" not in upstream.next_request().headers


async def test_a_cookie_is_not_sent_back(upstream: Upstream, endpoint: Endpoint) -> None:
    """It could tie one person's question to another's."""
    for _ in range(2):
        upstream.script(head(headers={"set-cookie": "person=alice; Path=/"}), text("a"), finish(), done())
        await ask(endpoint)
    assert ["cookie" in request.headers for request in upstream.requests] == [False, False]


# Whole answers


async def test_an_answer_arrives_whole_with_its_usage(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(*answer("Fine, thank you.", words=True))
    events = await ask(endpoint)
    assert events[0] == Opened("chatcmpl-1")
    assert words(events) == "Fine, thank you."
    assert events[-1] == Finished("stop", {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})


async def test_a_piece_arrives_before_the_next_is_sent(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(text("first"), pause("rest"), text(" second"), finish(), done())
    stream = endpoint.stream("small", QUESTION)
    assert Delta("first") in await anext(stream)
    upstream.release("rest")
    assert [Delta(" second")] in [events async for events in stream]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # Pieces
        pytest.param([delta(role="assistant"), text("a"), finish()], [Delta("a")], id="a role alone"),
        pytest.param([delta(content=None), text("a"), finish()], [Delta("a")], id="no content"),
        pytest.param(
            [delta(content=[{"type": "text", "text": "a"}, {"type": "image_url"}, "b", {"text": "c"}]), finish()],
            [Delta("a"), Delta("c")],
            id="typed parts",
        ),
        pytest.param(
            [delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]), text("a"), finish()],
            [Reasoning("hm"), Delta("a")],
            id="thinking parts, as Mistral",
        ),
        pytest.param(
            [reasoning("hm"), text("a"), finish()], [Reasoning("hm"), Delta("a")], id="reasoning_content, as DeepSeek"
        ),
        pytest.param(
            [delta(reasoning="hm", content=""), text("a"), finish()],
            [Reasoning("hm"), Delta("a")],
            id="reasoning, as OpenRouter",
        ),
        pytest.param([delta(refusal="No."), finish()], [Delta("No.")], id="a refusal"),
        pytest.param(
            [delta(tool_calls=[{"function": {"name": "weather", "arguments": "{}"}}]), finish("tool_calls")],
            [],
            id="a tool call without an index",
        ),
        # Choices
        pytest.param([chunk({"choices": []}), text("a"), finish()], [Delta("a")], id="no choices at first, as Azure"),
        pytest.param([chunk({"choices": [42, {"delta": 7}]}), text("a"), finish()], [Delta("a")], id="odd choices"),
        pytest.param([choice("first", "a"), finish()], [Delta("a")], id="an index that is no number"),
        pytest.param(
            [choice(1, "a"), choice(0, "X"), choice(None, "b"), choice(0, "Y", "error"), choice(1, "", "stop")],
            [Delta("a"), Delta("b")],
            id="several choices, of which the first counts",
        ),
        pytest.param(
            [text("a"), usage({"total_tokens": 1}), text("b"), finish()],
            [Delta("a"), Delta("b")],
            id="usage in between",
        ),
        # Characters
        pytest.param(
            [raw(b'data: {"choices":[{"delta":{"content":"\xc3'), raw(b'\xa9"}}]}\n\n'), finish()],
            [Delta("é")],
            id="a split character",
        ),
        pytest.param([delta(content="a\0b"), finish()], [Delta("ab")], id="NUL, which PostgreSQL refuses"),
        pytest.param(
            [raw(b'data: {"choices":[{"delta":{"content":"a\\ud800b\\u2028"}}]}\n\n'), finish()],
            [Delta("a?b\u2028")],
            id="half a surrogate pair",
        ),
        # Events
        pytest.param([raw(b": OPENROUTER PROCESSING\n\n:\n\n"), text("a"), finish()], [Delta("a")], id="keep-alives"),
        pytest.param([raw(b"data:\n\nid: 7\n\n"), text("a"), finish()], [Delta("a")], id="empty events"),
        pytest.param(
            [raw(b'\xef\xbb\xbfdata:{"choices":[{"delta":{"content":"a"}}]}\r\n\r\ndata:[DONE]\r\n\r\n')],
            [Delta("a")],
            id="a byte order mark, CRLF, no space, no finish reason",
        ),
        pytest.param(
            [chunk({"choices": [{"delta": {"content": "a"}}], "padding": "x" * 1_000_000}), finish()],
            [Delta("a")],
            id="an event of a megabyte",
        ),
        # Responses
        pytest.param(
            [
                head(headers={"content-type": "Text/Event-Stream; Charset=UTF-8", "content-encoding": "Identity"}),
                text("a"),
                finish(),
            ],
            [Delta("a")],
            id="headers in capital letters",
        ),
        pytest.param(
            [head(headers={"content-type": "text/plain"}), text("a"), finish()], [Delta("a")], id="labelled plain text"
        ),
        pytest.param(
            [head(headers={"connection": "close"}), text("a"), finish()],
            [Delta("a")],
            id="a body that ends with the connection",
        ),
        # Ends
        pytest.param([text("a"), finish(), cut()], [Delta("a")], id="a cut after the finish reason"),
        pytest.param([text("a"), finish(), reset()], [Delta("a")], id="a reset after the finish reason"),
        pytest.param([text("a"), done(), hang()], [Delta("a")], id="silence after [DONE]"),
        pytest.param([text("a"), done(), text("b"), hang()], [Delta("a")], id="more after [DONE]"),
    ],
)
async def test_it_copes_with(upstream: Upstream, endpoint: Endpoint, steps: list[Step], expected: list[Event]) -> None:
    upstream.script(*steps)
    events = await ask(endpoint)
    assert deltas(events) == expected
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize("given", [{}, {"prompt_tokens": "many", "total_tokens": -1, "cost": "<b>", "x_groq": {}}])
async def test_usage_is_counts_and_nothing_else(upstream: Upstream, endpoint: Endpoint, given: dict[str, Any]) -> None:
    upstream.script(text("a"), finish(), usage({**given, "completion_tokens": 2}), done())
    assert (await ask(endpoint))[-1] == Finished("stop", {"completion_tokens": 2})


async def test_the_limit_of_the_model_is_a_limit_of_length(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(text("a"), finish("model_length"), done())
    assert (await ask(endpoint))[-1] == Finished("length", None)


async def test_it_waits_a_moment_after_the_finish_reason(
    upstream: Upstream, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TRAILER_WAIT", 0.1)
    upstream.script(text("a"), finish(), hang())
    assert (await ask(endpoint))[-1] == Finished("stop", None)


def test_the_bytes_of_an_answer_may_be_cut_anywhere() -> None:
    chunks = [{"choices": [{"delta": {"content": "Grüße 👋"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]
    body = b"".join(b"data: %b\n\n" % json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks)
    for place in range(len(body)):
        completion = Completion()
        events = completion.feed(body[:place]) + completion.feed(body[place:])
        assert words(events) == "Grüße 👋"
        assert completion.finished() == Finished("stop", None)


CHUNK = {"id": "1", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "usage": None}
# Parts of an answer as they are sent: plain, or with something that the quick way must leave alone.
PARTS = [
    json.dumps(CHUNK),
    json.dumps(CHUNK, ensure_ascii=False).replace('"a"', '"ü👋"'),
    *(
        json.dumps(CHUNK).replace(old, new)
        for old, new in [
            ('"a"', '""'),
            ('"a"', "null"),
            ('"a"', "7"),
            ('"a"', r'"\u0000"'),
            ('"a"', r'"\ud800"'),
            ('"a"', '[{"type": "text", "text": "p"}]'),
            ('"a"', '"a", "reasoning": "r"'),
            ('"a"', '"a", "refusal": "no"'),
            ('"a"', '"a", "content": "b"'),
            ('"index": 0', '"index": 1'),
            ('"index": 0', '"index": null'),
            ('"index": 0, ', ""),
            ('"finish_reason": null', '"finish_reason": "stop"'),
            ('"finish_reason": null', '"error": {"code": 429}'),
            ('"usage": null', '"usage": {"total_tokens": 3}'),
            ('"usage": null', '"error": {"code": 500}'),
            ('"usage": null', '"message": "m"'),
            ('"usage": null', '"usage": NaN'),
            ('"choices"', '"none"'),
            ("}]", "}, {}]"),
        ]
    ),
    "[DONE]",
    "[" * 2000,
]
ENDS = ["\n\n", "\n\n\n", "\r\n\r\n", "\n: comment\n\n", "\nevent: error\n\n", "\ndata: \n\n", "\nid: 1\n\n", "\n"]


@pytest.mark.parametrize("end", ENDS)
def test_an_answer_is_the_same_in_whole_events_and_in_single_bytes(end: str) -> None:
    plain = f"data: {PARTS[0]}\n\n".encode()
    for part in PARTS:
        chunks = [plain, plain + f"data: {part}{end}".encode(), plain]
        single_bytes = [bytes([byte]) for byte in b"".join(chunks)]
        assert read(chunks) == read(single_bytes), part


def read(chunks: Iterable[bytes]) -> tuple[list[AnyDelta], Finished | str]:
    """The text in these bytes, and how it ended."""
    completion, events = Completion(), list[Event]()
    for some in chunks:
        if not completion.done:
            events += completion.feed(some)
    try:
        return joined(deltas(events)), completion.finished()
    except CompletionError as error:
        return joined(deltas(events)), error.code


# Errors


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        # The status and the body of a response
        (error(400, {"error": {"code": "context_length_exceeded"}}), "context_too_long"),
        (error(400, {"error": {"code": "model_not_found"}}), "unknown_model"),
        (error(400, {"error": {"message": "no"}}), "rejected"),
        (error(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "unauthorized"),
        (document(401, "text/plain", b"no"), "unauthorized"),
        (error(403, []), "unauthorized"),
        (error(404, {"error": "no such model"}), "unknown_model"),
        (error(429, {"error": {"code": "insufficient_quota"}}, retry_after=3600), "busy"),
        (html(), "not_a_stream"),
        (html(502), "unavailable"),
        (document(302, "text/html", b"", {"location": "http://elsewhere.example/"}), "not_a_stream"),
        (document(200, "application/json", b'{"choices": [{"message": {"content": "a"}}]}'), "not_a_stream"),
        ([head(headers={"content-encoding": "gzip"}), raw(gzip.compress(b"data: [DONE]\n\n"))], "not_a_stream"),
        # A stream without an answer
        (nothing(), "no_answer"),
        ([done()], "no_answer"),
        ([delta(role="assistant", content="")], "no_answer"),
        ([delta(role="assistant", content=""), done()], "no_answer"),
        ([reset()], "unreachable"),
        ([head(), cut()], "unreachable"),
        ([wire(b"SSH-2.0-OpenSSH_9.2\r\n"), cut()], "unreachable"),
        # An error in the stream
        ([chunk({"error": {"message": "boom", "code": 500}})], "reported"),
        ([chunk({"error": "boom"}), done()], "reported"),
        ([chunk({"error": {"code": 429}})], "busy"),
        ([raw(b'event: error\ndata: {"message": "boom"}\n\n')], "reported"),
        ([raw(b"event: error\ndata: boom\n\n")], "reported"),
        ([chunk({"message": "boom"})], "reported"),
        # Nonsense
        (garbage(), "not_a_stream"),
        ([raw(b"data: 42\n\n")], "not_a_stream"),
        ([raw(b"data: " + b"[" * 100_000 + b"\n\n")], "not_a_stream"),
        ([raw(b"data: " + b"x" * 5_000_000 + b"\n\n")], "not_a_stream"),
    ],
)
async def test_an_error_without_an_answer_has_a_code(
    upstream: Upstream, endpoint: Endpoint, steps: list[Step], code: str
) -> None:
    upstream.default = steps
    with pytest.raises(CompletionError) as raised:
        await ask(endpoint)
    assert raised.value.code == code
    assert KEY not in str(raised.value)
    assert upstream.url not in str(raised.value)


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([cut()], "cut_off"),
        ([reset()], "cut_off"),
        ([], "cut_off"),
        ([html()[1]], "cut_off"),
        ([chunk({"error": {"message": "boom"}}), done()], "reported"),
        ([chunk({"error": {"code": 429}})], "busy"),
        ([finish("error"), done()], "reported"),
        ([finish("abort"), done()], "reported"),
        ([finish("insufficient_system_resource"), usage({}), done()], "unavailable"),
        ([chunk({"choices": [{"index": 0, "error": {"code": 429}, "finish_reason": "stop"}]}), done()], "busy"),
        ([raw(b"data: {\n\n")], "not_a_stream"),
        ([raw(b"data: " + b"x" * 5_000_000 + b"\n\n")], "not_a_stream"),
    ],
)
async def test_an_error_keeps_what_came_and_asks_no_more(
    upstream: Upstream, endpoint: Endpoint, steps: list[Step], code: str
) -> None:
    upstream.script(text("so far"), *steps)
    events: list[Event] = []
    with pytest.raises(CompletionError) as raised:
        await ask(endpoint, events)
    assert words(events) == "so far"
    assert raised.value.code == code
    assert len(upstream.requests) == 1


async def test_a_body_shorter_than_promised_is_cut_off(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(head(headers={"content-length": "1000"}), text("so far"), cut())
    events: list[Event] = []
    with pytest.raises(errors.CutOff):
        await ask(endpoint, events)
    assert words(events) == "so far"


async def test_text_beside_a_broken_finish_reason_is_kept(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(text("so "), delta(finish_reason="error", content="far"))
    events: list[Event] = []
    with pytest.raises(errors.Reported):
        await ask(endpoint, events)
    assert words(events) == "so far"


@pytest.mark.parametrize("end", [[cut()], [reset()], [wire(b"zz\r\n"), cut()]], ids=["cut", "reset", "framing"])
async def test_the_last_bytes_before_a_break_are_read(
    upstream: Upstream, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, end: list[Step]
) -> None:
    # aiohttp keeps broken framing to itself, so the endpoint is given up only after this.
    monkeypatch.setattr(client, "TRAILER_WAIT", 0.1)
    upstream.script(text("a"), pause("rest"), text("b"), finish(), *end)
    stream = endpoint.stream("small", QUESTION)
    assert words(await anext(stream)) == "a"
    upstream.release("rest")
    await asyncio.to_thread(upstream.next_request().wait_closed)
    assert [event async for events in stream for event in events] == [Delta("b"), Finished("stop", None)]


async def test_an_endpoint_that_refuses_connections_is_unreachable() -> None:
    async with connected(f"http://127.0.0.1:{free_port()}/v1") as nobody:
        with pytest.raises(errors.Unreachable):
            await ask(nobody)


# Retries


@pytest.mark.parametrize(
    "steps",
    [
        *[pytest.param(error(status, {}), id=str(status)) for status in (408, 409, 429, 500, 502, 503, 504)],
        pytest.param(error(503, {}, retry_after=0), id="503 with Retry-After"),
        pytest.param(document(500, "text/html", b"<h1>Sorry</h1>"), id="a 500 that is not JSON"),
        pytest.param([chunk({"error": {"code": 429}})], id="an error of status 429 in the stream"),
        pytest.param([finish("insufficient_system_resource")], id="a finish reason"),
        pytest.param([reset()], id="a reset"),
        pytest.param([cut()], id="a cut"),
        pytest.param([head(), cut()], id="a cut after the head"),
    ],
)
async def test_a_passing_fault_is_retried_twice(upstream: Upstream, endpoint: Endpoint, steps: list[Step]) -> None:
    upstream.script(*steps)
    upstream.script(*steps)
    upstream.script(*answer("third time"))
    assert words(await ask(endpoint)) == "third time"
    upstream.default = steps
    with pytest.raises(CompletionError):
        await ask(endpoint)
    assert len(upstream.requests) == 6


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_a_lasting_fault_is_not_retried(upstream: Upstream, endpoint: Endpoint, status: int) -> None:
    upstream.default = error(status, {})
    with pytest.raises(CompletionError):
        await ask(endpoint)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_long_retry_after_is_told_instead(upstream: Upstream, endpoint: Endpoint, form: str) -> None:
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    upstream.default = error(429, {}, retry_after="3600" if form == "seconds" else in_an_hour)
    with pytest.raises(errors.Busy) as raised:
        await ask(endpoint)
    assert raised.value.params == {"retry_after": pytest.approx(3600, abs=10)}
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("value", ["inf", "1e300", "9" * 400, "172800", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_retry_after_is_at_most_a_day(upstream: Upstream, endpoint: Endpoint, value: str) -> None:
    upstream.script(*error(503, {}, retry_after=value))
    with pytest.raises(errors.Unavailable) as raised:
        await ask(endpoint)
    assert raised.value.params == {"retry_after": 86_400}


@pytest.mark.parametrize(
    "value", ["-inf", "nan", "-5", "", "soon", "1e", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 32 Jan 99999999"]
)
async def test_a_retry_after_without_sense_is_ignored(upstream: Upstream, endpoint: Endpoint, value: str) -> None:
    upstream.script(*error(429, {}, retry_after=value))
    upstream.script(*answer("second time"))
    assert words(await ask(endpoint)) == "second time"


# Limits


FIRST_PIECE = Limits(connect=5, first_piece=0.1, gap=5, total=10)
GAP = Limits(connect=5, first_piece=5, gap=0.1, total=10)
TOTAL = Limits(connect=5, first_piece=5, gap=5, total=0.2)
KEEP_ALIVE = [raw(b": still here\n\n"), sleep(0.02)] * 20


@pytest.mark.parametrize(
    ("limits", "steps", "kind"),
    [
        pytest.param(FIRST_PIECE, [hang()], errors.TooSlow, id="first delta, nothing"),
        pytest.param(FIRST_PIECE, [head(), hang()], errors.TooSlow, id="first delta, a head"),
        pytest.param(FIRST_PIECE, [delta(role="assistant"), hang()], errors.TooSlow, id="first delta, a role"),
        pytest.param(FIRST_PIECE, [head(), *KEEP_ALIVE], errors.TooSlow, id="first delta, keep-alives"),
        pytest.param(GAP, [text("a"), hang()], errors.Stalled, id="gap, nothing"),
        pytest.param(GAP, [text("a"), *KEEP_ALIVE], errors.Stalled, id="gap, keep-alives"),
        pytest.param(TOTAL, [text("a"), *[text("b"), sleep(0.02)] * 50], errors.TooLong, id="total, deltas"),
        pytest.param(TOTAL, [hang()], errors.TooLong, id="total, nothing"),
    ],
)
async def test_each_limit_holds(
    upstream: Upstream, limits: Limits, steps: list[Step], kind: type[CompletionError]
) -> None:
    upstream.script(*steps)
    async with connected(upstream.url, limits=limits) as endpoint:
        with pytest.raises(kind):
            await ask(endpoint)
        # On a busy machine a short limit may pass before the request is sent.
        for request in upstream.requests:
            await asyncio.to_thread(request.wait_closed)


async def test_closing_the_stream_closes_the_connection(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(text("a"), hang())
    stream = endpoint.stream("small", QUESTION)
    await anext(stream)
    await stream.aclose()
    await asyncio.to_thread(upstream.next_request().wait_closed)
