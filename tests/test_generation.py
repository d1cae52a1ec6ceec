"""What a run does: it relays, stops, resumes and ends a reply, whatever the model does."""

import asyncio
import logging
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from django.urls import reverse

from chat import asking, generation, sentences
from chat.database import in_thread
from chat.events import End, Error, Reasoning
from chat.generation import CONTINUE, prompt
from chat.models import Conversation, Message, Reply, User
from chat.models.replies import ReplyQuerySet
from chat.replylog import base
from tests import endings
from tests.client import AsyncClient
from tests.hosts import KEY, PATIENCE, StartHost, events, seen, status, stored
from tests.upstream import Upstream, answer, chunk, cut, error, finish, hang, pause, reasoning, text, usage
from tests.visitor import written

pytestmark = pytest.mark.django_db(transaction=True)

JSON = {"accept": "application/json"}


async def post(browser: AsyncClient, name: str, pk: object, **fields: str) -> Any:
    return await browser.post(reverse(name, args=[pk]), fields, headers=JSON)


async def page_of(browser: AsyncClient, reply: Reply) -> str:
    response: Any = await browser.get(reply.message.conversation.get_absolute_url())
    return str(response.text)


# From the question to the end


async def test_a_process_that_slept_after_its_claim_does_not_write_for_another(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = await in_thread(asking.begin)(alice, "Hello?", "demo")
    claim = ReplyQuerySet.claim

    def claim_and_sleep(replies: ReplyQuerySet, pk: UUID, attempt: int, process: str) -> bool:
        won = claim(replies, pk, attempt, process)
        assert claim(replies, pk, attempt + 1, "another")
        assert endings.end(reply, "Hello world", attempt=attempt + 2, last_seq=3)
        return won

    monkeypatch.setattr(ReplyQuerySet, "claim", claim_and_sleep)
    assert await generation._claim(reply.pk, 0, "asleep") is None


async def test_the_row_holds_all_of_a_complete_reply(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    figures = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    upstream.script(reasoning("hm"), text("Hello"), text(" world"), finish(), usage(figures))
    host = await start_host()
    reply, _ = await host.ask(alice)
    assert await host.read(reply) == ("Hello world", End("complete", "stop", figures))
    row = await stored(reply)
    assert (row.status, row.message.text, row.reasoning) == ("complete", "Hello world", "hm")
    assert (row.model, row.usage, row.upstream_id, row.attempt) == ("small", figures, "chatcmpl-1", 1)
    times = [moment for moment in (row.asked, row.started, row.answered, row.ended) if moment]
    assert len(times) == 4
    assert times == sorted(times)


async def test_all_readers_see_the_same_text(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(*answer("one two three four", words=True))
    host = await start_host()
    browser = await host.browser(alice)
    reply, _ = await host.ask(alice)
    first, second = await asyncio.gather(seen(browser, reply), seen(browser, reply))
    late = await seen(browser, reply)
    assert written(first) == written(second) == written(late) == "one two three four"


async def test_a_reply_continues_without_readers(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("Hello"), pause("rest"), text(" world"), finish())
    host = await start_host()
    reply, run = await host.ask(alice)
    cursor = await host.until(reply, "Hello")
    upstream.release("rest")
    await run.task
    assert (await host.read(reply, after=cursor))[0] == " world"


async def test_the_model_is_sent_the_history(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(*answer("Fine."))
    upstream.script(*answer("Really."))
    host = await start_host()
    first, _ = await host.ask(alice, "How are you?")
    await host.read(first)
    second = await in_thread(asking.ask)(first.message.conversation, "Really?", "small")
    await host.queue(second.pk, second.attempt).task
    assert upstream.requests[-1].body["messages"] == [
        {"role": "user", "content": "How are you?"},
        {"role": "assistant", "content": "Fine."},
        {"role": "user", "content": "Really?"},
    ]


async def test_what_came_first_and_when_is_stored_with_it(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(reasoning("hm"), pause("answer"), text("one"), pause("rest"), finish())
    host = await start_host()
    reply, _ = await host.ask(alice)
    async with asyncio.timeout(PATIENCE), aclosing(host.log.follow(reply.pk, 0)) as news:
        assert await anext(some async for some in news if some) == [(1, Reasoning("hm"))]
    row = await stored(reply)
    assert (row.started is not None, row.answered) == (True, None)
    upstream.release("answer")
    await host.until(reply, "one")
    assert (await stored(reply)).answered is not None
    upstream.release("rest")
    assert (await host.read(reply))[1].status == "complete"


# Errors


@pytest.mark.parametrize(
    ("steps", "status", "code", "kept"),
    [
        (error(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "failed", "unauthorized", ""),
        (error(404, {}), "failed", "unknown_model", ""),
        ([text("so far"), cut()], "interrupted", "cut_off", "so far"),
        ([text("so far"), chunk({"error": {"message": f"boom {KEY}"}})], "failed", "reported", "so far"),
        ([], "failed", "no_answer", ""),
    ],
)
async def test_an_error_ends_the_reply_and_keeps_its_text(
    start_host: StartHost,
    upstream: Upstream,
    alice: User,
    caplog: pytest.LogCaptureFixture,
    steps: list[Any],
    status: str,
    code: str,
    kept: str,
) -> None:
    """Neither the page nor the log shows the key or the address of the endpoint."""
    caplog.set_level(logging.INFO)
    upstream.script(*steps)
    host = await start_host()
    browser = await host.browser(alice)
    reply, run = await host.ask(alice)
    shown = await seen(browser, reply)
    end = shown[-1].data
    assert (end["status"], end["error"]["code"], end["error"]["message"]) == (status, code, sentences.of(Error(code)))
    row = await stored(reply)
    assert (row.status, row.error, row.message.text) == (status, Error(code), kept)
    assert written(shown) == kept
    await run.task
    page = await page_of(browser, row)
    assert f"Reply {reply.pk}: {sentences.for_staff(Error(code))}" in caplog.text
    for secret in (KEY, upstream.url, f":{upstream.port}"):
        assert secret not in page
        assert secret not in caplog.text


async def test_a_reply_that_grows_too_large_is_cut_off(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("01234"), text("5678é"), hang())
    host = await start_host(reply_bytes=10)
    reply, _ = await host.ask(alice)
    assert await host.read(reply) == ("012345678", End("interrupted", error=Error("too_large")))
    await asyncio.to_thread(upstream.next_request().wait_closed)


# Stop


async def test_stop_closes_the_connection_to_the_model(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("so far"), hang())
    host = await start_host()
    reply, _ = await host.ask(alice)
    await host.until(reply, "so far")
    await host.stop(reply.pk)
    await asyncio.to_thread(upstream.next_request().wait_closed)
    assert await host.read(reply) == ("so far", End("stopped"))
    assert (await stored(reply)).message.text == "so far"


async def test_a_reply_stops_before_its_first_word(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(hang())
    host = await start_host()
    reply, _ = await host.ask(alice)
    request = await asyncio.to_thread(upstream.next_request)
    await host.stop(reply.pk)
    await asyncio.to_thread(request.wait_closed)
    row = await stored(reply)
    assert (row.status, row.message.text) == ("stopped", "")


async def test_a_reply_stops_before_it_is_claimed(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.default = [hang()]
    host = await start_host()
    reply, run = await host.ask(alice)
    assert not run.claimed.is_set()
    await host.stop(reply.pk)
    assert await status(reply) == "stopped"


async def test_a_stop_after_the_end_changes_nothing(start_host: StartHost, alice: User) -> None:
    host = await start_host()
    browser = await host.browser(alice)
    reply, run = await host.ask(alice)
    await run.task
    assert (await post(browser, "stop", reply.pk)).json() == {"status": "complete"}
    row = await stored(reply)
    assert (row.status, row.attempt, row.message.text) == ("complete", 1, "Hello world")


# Resume


@pytest.mark.parametrize("continuation", ["assistant", "none"])
async def test_a_resumed_reply_continues_in_the_same_message(
    start_host: StartHost, upstream: Upstream, alice: User, continuation: str
) -> None:
    upstream.script(reasoning("hm"), text("one two"), cut())
    upstream.script(text(" thr"), pause("rest"), text("ee"), finish())
    host = await start_host(continuation=continuation)
    browser = await host.browser(alice)
    reply, run = await host.ask(alice)
    await run.task
    assert await status(reply) == "interrupted"
    run = await host.resume(reply)
    await seen(browser, reply, "one two thr")
    assert "one two thr" in await page_of(browser, reply)
    upstream.release("rest")
    assert written(await seen(browser, reply)) == "one two three"
    await run.task
    row = await stored(reply)
    assert (row.status, row.message.text, row.reasoning) == ("complete", "one two three", "hm")
    assert (row.error, row.attempt) == (None, 2)
    begun, asked = {"role": "assistant", "content": "one two"}, {"role": "user", "content": CONTINUE}
    assert upstream.requests[-1].body["messages"][1:] == ([begun] if continuation == "assistant" else [begun, asked])


async def test_a_stopped_or_dead_resumed_reply_keeps_its_text(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("one"), cut())
    upstream.script(hang())
    upstream.script(text(" two"), hang())
    here, there = await start_host(), await start_host()
    reply, run = await here.ask(alice)
    await run.task
    await here.resume(reply)
    for _ in range(2):
        await asyncio.to_thread(upstream.next_request)
    await here.stop(reply.pk)
    assert (await stored(reply)).message.text == "one"
    await here.resume(reply)
    browser = await there.browser(alice)
    await seen(browser, reply, "one two")
    await here.die()
    await there.reconcile()
    assert (await seen(browser, reply))[-1].data["status"] == "interrupted"
    assert (await stored(reply)).message.text == "one two"


async def test_a_reply_resumed_right_at_its_end_is_kept(
    start_host: StartHost, upstream: Upstream, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    """The task of the first run may not be through yet, and must not forget the second one."""
    upstream.script(text("one"), cut())
    upstream.script(text(" two"), pause("rest"), text(" three"), finish())
    host = await start_host()
    browser = await host.browser(alice)
    reply, _ = await host.ask(alice)
    await host.read(reply)
    await host.resume(reply)
    await seen(browser, reply, "one two")
    await host.reconcile()
    assert host.has(reply.pk)
    upstream.release("rest")
    assert written(await seen(browser, reply)) == "one two three"
    assert (await stored(reply)).attempt == 2
    assert not [record for record in caplog.records if record.exc_info]


async def test_old_cursors_get_all_of_a_resumed_reply(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(*[text(f"{number} ") for number in range(5)], pause("cut"), cut())
    upstream.script(*[text(f"{number} ") for number in range(5, 20)], finish())
    host = await start_host()
    browser = await host.browser(alice)
    reply, run = await host.ask(alice)
    await host.until(reply, "4 ")
    upstream.release("cut")
    before = await seen(browser, reply)
    await run.task
    await (await host.resume(reply)).task
    for cursor in (0, 1, before[-1].id - 1, before[-1].id):
        found = [event for event in before if event.id <= cursor] + await seen(browser, reply, after=cursor)
        assert written(found) == "".join(f"{number} " for number in range(20))


async def test_a_model_no_longer_offered_is_replaced(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    """A reply that is already queued is still asked for under its name; what people ask for later is not."""
    upstream.script(text("so far"), cut())
    host = await start_host()
    browser = await host.browser(alice)
    reply, run = await host.ask(alice, model="gone")
    await run.task
    for name in ("resume", "retry"):
        response = await post(browser, name, reply.pk)
        assert response.status_code == 201
        await host.read(await Reply.objects.aget(pk=response.json()["reply"]["id"]))
    assert [request.body["model"] for request in upstream.requests] == ["gone", "small", "small"]


async def test_only_an_incomplete_last_reply_can_be_resumed(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    host = await start_host()
    browser = await host.browser(alice)
    complete, run = await host.ask(alice)
    await run.task
    refused = await post(browser, "resume", complete.pk)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_resumable")
    upstream.script(text("so far"), cut())
    broken, run = await host.ask(alice)
    await run.task
    await post(browser, "ask", broken.message.conversation_id, text="And then?")
    assert (await post(browser, "resume", broken.pk)).status_code == 409
    assert (await stored(broken)).message.text == "so far"


# Deletion


async def test_readers_learn_that_a_reply_is_deleted(
    start_host: StartHost, upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the process that writes it, as soon as that notices: without it they would look much later."""
    monkeypatch.setattr(base, "LOOK", 3600.0)
    upstream.script(text("so far"), hang())
    host = await start_host()
    reply, run = await host.ask(alice)
    await host.until(reply, "so far")
    async with aclosing(events(await host.browser(alice), reply)) as stream:
        assert (await anext(stream)).data == {"text": "so far"}
        await in_thread(reply.message.conversation.delete)()
        await host.reconcile()
        async with asyncio.timeout(PATIENCE):
            *_, end = [event async for event in stream]
    assert (end.name, end.data["error"]["code"]) == ("end", "deleted")
    await asyncio.to_thread(upstream.next_request().wait_closed)
    await run.task


# The prompt


@pytest.fixture
def reply(alice: User) -> Reply:
    """The third question's, with an answer to each one before."""
    first = asking.begin(alice, "aaaa", "demo")
    endings.end(first, "bbbb")
    second = asking.ask(first.message.conversation, "cccc", "demo")
    endings.end(second, "dddd")
    return asking.ask(first.message.conversation, "eeee", "demo")


async def contents(reply: Reply, chars: int, system: str = "") -> list[str]:
    return [message["content"] for message in await prompt(reply, system, chars)]


@pytest.mark.parametrize(
    ("chars", "kept"),
    [
        (100, ["aaaa", "bbbb", "cccc", "dddd", "eeee"]),
        (20, ["aaaa", "bbbb", "cccc", "dddd", "eeee"]),
        (19, ["cccc", "dddd", "eeee"]),
        (12, ["cccc", "dddd", "eeee"]),
        (11, ["eeee"]),
        (1, ["eeee"]),
    ],
)
async def test_the_oldest_messages_are_left_out_first(reply: Reply, chars: int, kept: list[str]) -> None:
    """An answer goes with its question, and the last question always stays."""
    assert await contents(reply, chars) == kept


async def test_the_system_prompt_comes_first_and_counts(reply: Reply) -> None:
    assert await prompt(reply, "Be kind.", 12) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "eeee"},
    ]


async def test_instructions_follow_the_operators_prompt(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    await User.objects.filter(pk=alice.pk).aupdate(instructions="I am Alice.")
    host = await start_host(system_prompt="Be kind.")
    first, run = await host.ask(alice)
    await run.task
    conversation = first.message.conversation
    conversation.instructions, conversation.temperature, conversation.max_tokens = "In verse.", 0.0, 50
    await in_thread(conversation.change)("instructions", "temperature", "max_tokens")
    second = await in_thread(asking.ask)(conversation, "And?", "small")
    await host.queue(second.pk, second.attempt).task
    before, after = (request.body for request in upstream.requests)
    assert before["messages"][0] == {"role": "system", "content": "Be kind.\n\nI am Alice."}
    assert not {"temperature", "max_tokens"} & before.keys()
    assert after["messages"][0] == {"role": "system", "content": "Be kind.\n\nI am Alice.\n\nIn verse."}
    assert (after["temperature"], after["max_tokens"]) == (0, 50)
    row = await stored(second)
    assert (row.instructions, row.temperature, row.max_tokens) == ("I am Alice.\n\nIn verse.", 0, 50)


async def test_a_reply_continues_with_what_was_set_at_its_question(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    """After the death of its process, and when a person asks for the rest."""
    await User.objects.filter(pk=alice.pk).aupdate(instructions="In verse.")
    upstream.script(text("one"), hang())
    upstream.script(text(" two"), cut())
    upstream.script(text(" three"), finish())
    here, there = await start_host(continuation="assistant"), await start_host(continuation="assistant")
    reply, _ = await here.ask(alice)
    await here.until(reply, "one")
    await User.objects.filter(pk=alice.pk).aupdate(instructions="In prose.")
    await Conversation.objects.aupdate(temperature=1.0, instructions="At length.")
    await here.die()
    await there.reconcile()
    await there.read(reply)
    await there.forgets(reply)
    await (await there.resume(reply)).task
    assert (await stored(reply)).message.text == "one two three"
    assert len(upstream.requests) == 3
    for request in upstream.requests:
        assert request.body["messages"][0] == {"role": "system", "content": "In verse."}
        assert "temperature" not in request.body


async def test_a_reply_without_text_is_not_sent(reply: Reply) -> None:
    await Message.objects.filter(text="bbbb").aupdate(text="")
    assert await contents(reply, 100) == ["aaaa", "cccc", "dddd", "eeee"]
