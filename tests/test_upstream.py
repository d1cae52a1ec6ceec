"""The scripted endpoint itself."""

import asyncio
import http.client
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.upstream import (
    Response,
    Step,
    Upstream,
    answer,
    chunk,
    cut,
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
    recording,
    reset,
    text,
    usage,
)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An endpoint for one test, which may stop it."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def client(upstream: Upstream) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=10)
    yield client
    client.close()


def ask(client: http.client.HTTPConnection, question: str = "Hi") -> http.client.HTTPResponse:
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": question}]}
    client.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return client.getresponse()


def chunks(body: bytes) -> list[Any]:
    events = body.decode().removesuffix("data: [DONE]\n\n").split("\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in events if event]


def content(body: bytes) -> list[str]:
    deltas = [choice["delta"] for event in chunks(body) for choice in event["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


def test_an_answer_comes_word_by_word_and_ends_with_done(client: http.client.HTTPConnection) -> None:
    response = ask(client)
    body = response.read()
    assert response.getheader("Content-Type") == "text/event-stream"
    assert content(body) == ["Hello", " world"]
    assert chunks(body)[-1]["usage"]["completion_tokens"] == 2
    assert body.endswith(b"data: [DONE]\n\n")


def test_each_step_is_what_an_endpoint_sends(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    steps = (
        reasoning("Hm."),
        text("Hi"),
        finish("length"),
        usage({"total_tokens": 3}),
        chunk({"error": "x"}),
        raw(b": y\n\n"),
    )
    upstream.script(*steps)
    *events, comment, _ = ask(client).read().decode().split("\n\n")
    thought, said, end, figures, failure = chunks("\n\n".join(events).encode())
    assert thought["choices"][0]["delta"] == {"reasoning_content": "Hm."}
    assert said["choices"][0] == {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}
    assert end["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "length"}
    assert (figures["choices"], figures["usage"]) == ([], {"total_tokens": 3})
    assert failure == {"error": "x"}
    assert comment == ": y"


def test_each_script_answers_one_request_in_order(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.script(*answer("first"))
    upstream.script(*answer("second"))
    bodies = [ask(client).read() for _ in range(3)]
    assert [content(body) for body in bodies] == [["first"], ["second"], ["Hello", " world"]]
    assert len({request.closed for request in upstream.requests}) == 1


def test_an_answer_may_depend_on_the_question(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.default = lambda request: answer(f"You said {request.body['messages'][-1]['content']}.")
    assert content(ask(client, "this").read()) == ["You said this."]
    assert content(ask(client, "that").read()) == ["You said that."]


def test_requests_are_recorded(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    ask(client, "How are you?").read()
    request = upstream.next_request()
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["content-type"] == "application/json"
    assert request.body["messages"] == [{"role": "user", "content": "How are you?"}]
    assert upstream.requests == [request]


def test_a_pause_holds_the_answer_until_released(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.script(text("Hello"), pause("middle"), text(" world"), done())
    response = ask(client)
    assert content(response.readline()) == ["Hello"]
    assert not upstream.next_request().closed.done()
    upstream.release("middle")
    assert content(response.read().lstrip()) == [" world"]


def test_a_pause_released_before_does_not_wait(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.release("start")
    upstream.script(pause("start"), *answer("Hello"))
    assert content(ask(client).read()) == ["Hello"]


def test_a_request_tells_when_its_client_leaves(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.script(head(), hang())
    response = ask(client)
    request = upstream.next_request()
    assert not request.closed.done()
    response.close()
    client.close()
    request.wait_closed()


def test_a_reset_comes_after_what_was_sent(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.script(text("Hello"), reset())
    response = ask(client)
    assert content(response.readline()) == ["Hello"]
    with pytest.raises(ConnectionResetError):
        response.read()


def test_a_cut_body_is_incomplete(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.script(text("Hello"), cut())
    with pytest.raises(http.client.IncompleteRead):
        ask(client).read()


def test_a_body_without_framing_ends_with_the_connection(
    upstream: Upstream, client: http.client.HTTPConnection
) -> None:
    upstream.script(head(headers={"connection": "close"}), raw(b"all"))
    response = ask(client)
    assert response.getheader("Transfer-Encoding") is None
    assert response.read() == b"all"


def test_an_error_can_have_a_retry_after(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.script(*error(429, {"error": {"message": "Slow down."}}, retry_after=2))
    response = ask(client)
    assert (response.status, response.getheader("Retry-After")) == (429, "2")
    assert json.load(response) == {"error": {"message": "Slow down."}}


@pytest.mark.parametrize(("steps", "start"), [(html(), b"<!doctype html>"), (garbage(), b"\xff\xfe"), (nothing(), b"")])
def test_a_response_can_be_no_answer(
    upstream: Upstream, client: http.client.HTTPConnection, steps: list[Step], start: bytes
) -> None:
    upstream.script(*steps)
    response = ask(client)
    assert (response.status, response.read()[: len(start) or None]) == (200, start)


def test_a_wrong_script_ends_the_connection(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    async def fail(_response: Response) -> None:
        raise AssertionError

    upstream.script(fail)
    with pytest.raises(ConnectionError):
        ask(client)


def test_the_models_can_be_listed(upstream: Upstream) -> None:
    assert httpx.get(f"{upstream.url}/models").json()["data"][0]["id"] == "scripted"


async def test_an_asynchronous_test_can_wait(upstream: Upstream) -> None:
    upstream.script(text("Hello"), hang())
    async with httpx.AsyncClient() as client:
        async with client.stream("POST", f"{upstream.url}/chat/completions", json={}) as response:
            assert content(await anext(response.aiter_raw())) == ["Hello"]
            request = await asyncio.to_thread(upstream.next_request)
        await asyncio.to_thread(request.wait_closed)


def test_a_stopped_endpoint_refuses_connections(upstream: Upstream, client: http.client.HTTPConnection) -> None:
    upstream.script(head(), hang())
    response = ask(client)
    upstream.stop()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    client.close()
    with pytest.raises(ConnectionRefusedError):
        ask(client)


@pytest.mark.wire
@pytest.mark.parametrize("name", ["openai-text", "deepseek-reasoning", "alibaba-tool-call"])
def test_a_recording_is_replayed(upstream: Upstream, client: http.client.HTTPConnection, name: str) -> None:
    upstream.script(*recording(name))
    body = ask(client).read()
    assert len(chunks(body)) == len(recording(name)) - 1
    assert body.endswith(b"data: [DONE]\n\n")
