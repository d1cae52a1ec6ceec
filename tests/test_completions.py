"""The endpoint's client against a scripted endpoint on a real socket."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from chat.completions import Completion, CompletionError, Endpoint, Event, Limits, errors
from chat.completions import endpoint as client
from chat.events import Delta, Finished, Opened, Reasoning
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


def choice(index: Any, content: str, finish_reason: str | None = None) -> Step:
    return chunk({"choices": [{"index": index, "delta": {"content": content}, "finish_reason": finish_reason}]})


QUESTION = [{"role": "user", "content": "How are you?"}]
KEY = "sk-secret"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRY_WAITS", (0.0, 0.0))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def endpoint(upstream: Upstream) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(upstream.url, KEY, Limits(connect=5, first_piece=5, gap=5, total=10))
    yield endpoint
    await endpoint.aclose()


async def ask(
    endpoint: Endpoint,
    events: list[Event] | None = None,
    messages: list[dict[str, str]] = QUESTION,
    way: str = "none",
) -> list[Event]:
    """All events of one answer; what came before an error is in `events`."""
    events = [] if events is None else events
    async for some in endpoint.stream("small", messages, way):
        events += some
    return events


def words(events: list[Event], kind: type[Delta] | type[Reasoning] = Delta) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


# What is asked


async def test_it_asks_for_a_stream_with_usage_and_shows_its_key(upstream: Upstream, endpoint: Endpoint) -> None:
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


BEGUN = [*QUESTION, {"role": "assistant", "content": "Fine, th"}]


@pytest.mark.parametrize(
    ("way", "fields", "last"),
    [
        ("continue_final_message", {"continue_final_message": True, "add_generation_prompt": False}, BEGUN[-1]),
        ("prefix", {}, {**BEGUN[-1], "prefix": True}),
        ("assistant", {}, BEGUN[-1]),
    ],
)
async def test_it_goes_on_with_an_answer_in_the_way_of_the_endpoint(
    upstream: Upstream, endpoint: Endpoint, way: str, fields: dict[str, bool], last: dict[str, Any]
) -> None:
    await ask(endpoint, messages=BEGUN, way=way)
    body = upstream.next_request().body
    assert body["messages"] == [*QUESTION, last]
    assert {name: body.get(name) for name in fields} == fields
    assert ("continue_final_message" in body) == (way == "continue_final_message")


async def test_a_question_is_asked_alike_whatever_the_way(upstream: Upstream, endpoint: Endpoint) -> None:
    for way in ("none", "continue_final_message", "prefix"):
        await ask(endpoint, way=way)
    bodies = [request.body for request in upstream.requests]
    assert bodies[0] == bodies[1] == bodies[2]


async def test_without_a_key_it_shows_none(upstream: Upstream) -> None:
    endpoint = Endpoint(upstream.url, "", Limits(5, 5, 5, 10))
    await ask(endpoint)
    assert "authorization" not in upstream.next_request().headers
    await endpoint.aclose()


async def test_a_cookie_is_not_sent_back(upstream: Upstream, endpoint: Endpoint) -> None:
    """It could tie one person's question to another's."""
    for _ in range(2):
        headers = {"set-cookie": "person=alice; Path=/"}
        upstream.script(head(headers={"content-type": "text/event-stream", **headers}), text("a"), finish(), done())
        await ask(endpoint)
    assert ["cookie" in request.headers for request in upstream.requests] == [False, False]


# What endpoints send


async def test_an_answer_arrives_whole_with_its_usage(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(*answer("Fine, thank you.", words=True))
    events = await ask(endpoint)
    assert events[0] == Opened("chatcmpl-1")
    assert words(events) == "Fine, thank you."
    assert events[-1] == Finished("stop", {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})


async def test_a_piece_is_there_before_the_next_one_is_sent(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(text("first"), pause("rest"), text(" second"), finish(), done())
    stream = endpoint.stream("small", QUESTION)
    assert Delta("first") in await anext(stream)
    upstream.release("rest")
    assert [Delta(" second")] in [events async for events in stream]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([chunk({"choices": []}), text("a"), finish()], [Delta("a")], id="no choices at first, as Azure"),
        pytest.param([delta(content=None), text("a"), finish()], [Delta("a")], id="no content"),
        pytest.param(
            [delta(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), finish()],
            [Delta("a"), Delta("b")],
            id="typed parts",
        ),
        pytest.param(
            [delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]), text("a"), finish()],
            [Reasoning("hm"), Delta("a")],
            id="thinking parts, as Mistral",
        ),
        pytest.param([reasoning("hm"), text("a"), finish()], [Reasoning("hm"), Delta("a")], id="reasoning_content"),
        pytest.param([delta(reasoning="hm"), text("a"), finish()], [Reasoning("hm"), Delta("a")], id="reasoning"),
        pytest.param([delta(refusal="No."), finish()], [Delta("No.")], id="a refusal"),
        pytest.param([raw(b": OPENROUTER PROCESSING\n\n:\n\n"), text("a"), finish()], [Delta("a")], id="keep-alives"),
        pytest.param([raw(b"data:\n\n"), text("a"), finish()], [Delta("a")], id="an empty event"),
        pytest.param(
            [raw(b'\xef\xbb\xbfdata:{"choices":[{"delta":{"content":"a"}}]}\r\n\r\ndata:[DONE]\r\n\r\n')],
            [Delta("a")],
            id="a byte order mark, CRLF, no space, no finish reason",
        ),
        pytest.param(
            [raw(b'data: {"choices":[{"delta":{"content":"\xc3'), raw(b'\xa9"}}]}\n\n'), finish()],
            [Delta("é")],
            id="a split character",
        ),
        pytest.param([delta(content="a\0b"), finish()], [Delta("ab")], id="NUL, which PostgreSQL does not take"),
        pytest.param(
            [raw(b'data: {"choices":[{"delta":{"content":"a\\ud800b\\u2028"}}]}\n\n'), finish()],
            [Delta("a?b\u2028")],
            id="half a surrogate pair",
        ),
        pytest.param(
            [delta(tool_calls=[{"function": {"name": "weather", "arguments": "{}"}}]), finish("tool_calls")],
            [],
            id="a tool call without an index",
        ),
        pytest.param(
            [
                head(headers={"content-type": "Text/Event-Stream; Charset=UTF-8", "content-encoding": "Identity"}),
                text("a"),
                finish(),
            ],
            [Delta("a")],
            id="headers in capital letters",
        ),
        pytest.param([text("a"), finish(), cut()], [Delta("a")], id="a cut after the finish reason"),
        pytest.param([text("a"), done(), hang()], [Delta("a")], id="silence after [DONE]"),
        pytest.param([chunk({"choices": [42, {"delta": 7}]}), text("a"), finish()], [Delta("a")], id="odd choices"),
        pytest.param(
            [
                choice(1, "a"),
                choice(0, "X"),
                choice(1, "b"),
                choice(None, "c"),
                choice(0, "Y", "error"),
                choice(1, "", "stop"),
            ],
            [Delta("a"), Delta("b"), Delta("c")],
            id="more choices than one, of which the first counts",
        ),
        pytest.param([choice("first", "a"), finish()], [Delta("a")], id="an index that is no number"),
    ],
)
async def test_it_copes_with(upstream: Upstream, endpoint: Endpoint, steps: list[Step], expected: list[Event]) -> None:
    upstream.script(*steps)
    events = await ask(endpoint)
    assert [event for event in events if isinstance(event, Delta | Reasoning)] == expected
    assert isinstance(events[-1], Finished)


async def test_the_limit_of_the_model_is_a_limit_of_length(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(text("a"), finish("model_length"), done())
    assert (await ask(endpoint))[-1] == Finished("length", None)


async def test_text_beside_a_broken_finish_reason_is_kept(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(text("so "), delta(finish_reason="error", content="far"))
    events: list[Event] = []
    with pytest.raises(errors.Reported):
        await ask(endpoint, events)
    assert words(events) == "so far"


async def test_usage_is_numbers_and_nothing_else(upstream: Upstream, endpoint: Endpoint) -> None:
    odd = {"prompt_tokens": "many", "completion_tokens": 2, "total_tokens": -1, "cost": "<b>", "x_groq": {"id": 1}}
    upstream.script(text("a"), finish(), usage(odd), done())
    assert (await ask(endpoint))[-1] == Finished("stop", {"completion_tokens": 2})


async def test_after_the_finish_reason_it_does_not_wait_long(
    upstream: Upstream, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TRAILER_WAIT", 0.1)
    upstream.script(text("a"), finish(), hang())
    assert (await ask(endpoint))[-1] == Finished("stop", None)


# What goes wrong


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        (error(400, {"error": {"code": "context_length_exceeded"}}), "context_too_long"),
        (error(400, {"error": {"message": "no"}}), "rejected"),
        (error(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "unauthorized"),
        (document(401, "text/plain", b"no"), "unauthorized"),
        (error(403, []), "unauthorized"),
        (error(404, {"error": "no such model"}), "unknown_model"),
        (error(429, {"error": {"code": "insufficient_quota"}}, retry_after=3600), "busy"),
        (html(), "not_a_stream"),
        (html(502), "unavailable"),
        (document(302, "text/html", b"", {"location": "http://elsewhere.example/"}), "not_a_stream"),
        (garbage(), "not_a_stream"),
        (nothing(), "no_answer"),
        ([done()], "no_answer"),
        ([delta(role="assistant", content="")], "no_answer"),
        ([delta(role="assistant", content=""), done()], "no_answer"),
        ([reset()], "unreachable"),
        ([head(), cut()], "unreachable"),
        ([chunk({"error": {"message": "boom", "code": 500}})], "reported"),
        ([chunk({"error": "boom"}), done()], "reported"),
        ([chunk({"error": {"code": 429}})], "busy"),
        ([raw(b'event: error\ndata: {"message": "boom"}\n\n')], "reported"),
        ([raw(b"event: error\ndata: boom\n\n")], "reported"),
        ([chunk({"message": "boom"})], "reported"),
        ([raw(b"data: 42\n\n")], "not_a_stream"),
        ([raw(b"data: " + b"[" * 100_000 + b"\n\n")], "not_a_stream"),
        ([head(headers={"content-encoding": "gzip"}), raw(gzip.compress(b"data: [DONE]\n\n"))], "not_a_stream"),
        ([raw(b"data: " + b"x" * 5_000_000 + b"\n\n")], "not_a_stream"),
    ],
)
async def test_without_an_answer_the_error_says_why(
    upstream: Upstream, endpoint: Endpoint, steps: list[Step], code: str
) -> None:
    for _ in range(3):
        upstream.script(*steps)
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
        ([chunk({"error": {"message": "boom"}}), done()], "reported"),
        ([raw(b"data: {\n\n")], "not_a_stream"),
        ([finish("error"), done()], "reported"),
        ([finish("abort"), done()], "reported"),
        ([finish("insufficient_system_resource"), usage({}), done()], "unavailable"),
        ([chunk({"choices": [{"index": 0, "error": {"code": 429}, "finish_reason": "stop"}]}), done()], "busy"),
    ],
)
async def test_what_came_before_the_error_is_kept_and_nothing_is_asked_again(
    upstream: Upstream, endpoint: Endpoint, steps: list[Step], code: str
) -> None:
    upstream.script(text("so far"), *steps)
    events: list[Event] = []
    with pytest.raises(CompletionError) as raised:
        await ask(endpoint, events)
    assert words(events) == "so far"
    assert raised.value.code == code
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("end", [cut(), reset(), wire(b"zz\r\n")], ids=["cut", "reset", "broken framing"])
async def test_what_arrived_before_the_connection_broke_is_read_although_nobody_waited_for_it(
    upstream: Upstream, endpoint: Endpoint, end: Step
) -> None:
    upstream.script(text("a"), pause("rest"), text("b"), finish(), end)
    stream = endpoint.stream("small", QUESTION)
    assert words(await anext(stream)) == "a"
    upstream.release("rest")
    await asyncio.to_thread(upstream.next_request().wait_closed)
    # Nothing tells when the client has noticed; had it not, this test would pass for another reason.
    await asyncio.sleep(0.1)
    rest = [event async for events in stream for event in events]
    assert rest == [Delta("b"), Finished("stop", None)]


async def test_nobody_listens() -> None:
    nobody = Endpoint(f"http://127.0.0.1:{free_port()}/v1", KEY, Limits(5, 5, 5, 10))
    with pytest.raises(errors.Unreachable):
        await ask(nobody)
    await nobody.aclose()


# Trying again


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_a_passing_fault_is_tried_again(upstream: Upstream, endpoint: Endpoint, status: int) -> None:
    upstream.script(*error(status, {}))
    upstream.script(*error(status, {}, retry_after=0))
    upstream.script(*answer("third time"))
    assert words(await ask(endpoint)) == "third time"


async def test_but_only_twice(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.default = error(503, {})
    with pytest.raises(errors.Unavailable):
        await ask(endpoint)
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_a_lasting_fault_is_not_tried_again(upstream: Upstream, endpoint: Endpoint, status: int) -> None:
    upstream.default = error(status, {})
    with pytest.raises(CompletionError):
        await ask(endpoint)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_who_asks_for_a_long_wait_is_not_asked_again(upstream: Upstream, endpoint: Endpoint, form: str) -> None:
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    upstream.default = error(429, {}, retry_after="3600" if form == "seconds" else in_an_hour)
    with pytest.raises(errors.Busy) as raised:
        await ask(endpoint)
    assert raised.value.params == {"retry_after": pytest.approx(3600, abs=2)}
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "value", ["-inf", "nan", "-5", "", "soon", "1e", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 32 Jan 99999999"]
)
async def test_a_retry_after_that_makes_no_sense_is_ignored(upstream: Upstream, endpoint: Endpoint, value: str) -> None:
    upstream.script(*error(429, {}, retry_after=value))
    upstream.script(*answer("second time"))
    assert words(await ask(endpoint)) == "second time"


@pytest.mark.parametrize("value", ["inf", "1e300", "9" * 400, "172800", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_retry_after_of_more_than_a_day_is_told_as_a_day(
    upstream: Upstream, endpoint: Endpoint, value: str
) -> None:
    upstream.script(*error(503, {}, retry_after=value))
    with pytest.raises(errors.Unavailable) as raised:
        await ask(endpoint)
    assert raised.value.params == {"retry_after": 86_400}


# The limits


@pytest.mark.parametrize(
    ("limits", "steps", "kind"),
    [
        (Limits(5, 0.1, 5, 10), [hang()], errors.TooSlow),
        (Limits(5, 0.1, 5, 10), [head(), *[raw(b":\n\n"), sleep(0.02)] * 20], errors.TooSlow),
        (Limits(5, 5, 0.1, 10), [text("a"), hang()], errors.Stalled),
        (Limits(5, 5, 0.1, 10), [text("a"), *[raw(b": still here\n\n"), sleep(0.02)] * 20], errors.Stalled),
        (Limits(5, 5, 5, 0.2), [text("a"), *[text("b"), sleep(0.02)] * 50], errors.TooLong),
        (Limits(5, 5, 5, 0.1), [hang()], errors.TooLong),
    ],
    ids=["first piece", "first piece, kept alive", "gap", "gap, kept alive", "total", "total without a piece"],
)
async def test_each_limit_holds(
    upstream: Upstream, limits: Limits, steps: list[Step], kind: type[CompletionError]
) -> None:
    endpoint = Endpoint(upstream.url, KEY, limits)
    upstream.script(*steps)
    with pytest.raises(kind):
        await ask(endpoint)
    # On a busy machine a short limit may pass before the request is sent.
    for request in upstream.requests:
        await asyncio.to_thread(request.wait_closed)
    await endpoint.aclose()


async def test_who_stops_reading_closes_the_connection(upstream: Upstream, endpoint: Endpoint) -> None:
    upstream.script(text("a"), hang())
    stream = endpoint.stream("small", QUESTION)
    await anext(stream)
    await stream.aclose()
    await asyncio.to_thread(upstream.next_request().wait_closed)


def test_the_bytes_of_an_answer_may_be_cut_anywhere() -> None:
    chunks = [{"choices": [{"delta": {"content": "Grüße 👋"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]
    body = b"".join(b"data: %b\n\n" % json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks)
    for place in range(len(body)):
        completion = Completion()
        events = completion.feed(body[:place]) + completion.feed(body[place:])
        assert words(events) == "Grüße 👋"
        assert completion.finished() == Finished("stop", None)
