"""How a reply comes about, ends and survives: a real Daphne process between a real reader and a scripted endpoint."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from chat import asking, sentences
from chat.events import Error
from chat.generation import prompt
from chat.models import Conversation, Message, Reply, ServerProcess, User
from tests.endings import end
from tests.server import Server, Servers, SharedServers
from tests.upstream import Upstream, answer, chunk, cut, done, error, finish, hang, pause, reasoning, text, usage
from tests.visitor import Visitor, written

KEY = "sk-secret"


@pytest.fixture
def server(share_server: SharedServers, upstream: Upstream) -> Server:
    return share_server(OPENAI_BASE_URL=upstream.url, OPENAI_API_KEY=KEY, OPENAI_MODEL="small")


@pytest.fixture
async def alice(server: Server) -> AsyncIterator[Visitor]:
    async with Visitor(server, "alice") as alice:
        yield alice


def lease(server: Server, reply: dict[str, Any]) -> datetime | None:
    """Until when the process that writes the reply is taken for alive."""
    name = stored(server, reply).process
    return server.database.run(lambda: ServerProcess.objects.filter(name=name).values_list("lease", flat=True).first())


def stored(server: Server, reply: dict[str, Any]) -> Reply:
    return server.database.run(lambda: Reply.objects.select_related("message").get(pk=reply["id"]))


# From the question to the end


async def test_a_reply_is_relayed_and_stored_whole(server: Server, upstream: Upstream, alice: Visitor) -> None:
    figures = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    upstream.script(reasoning("hm"), text("Hello"), text(" world"), finish(), usage(figures), done())
    reply = await alice.ask("Hello?")
    events = await alice.whole(reply)
    assert written(events) == "Hello world"
    assert events[-1].data == {"status": "complete", "finish_reason": "stop", "usage": figures, "error": None}
    row = stored(server, reply)
    assert (row.status, row.message.text, row.reasoning) == ("complete", "Hello world", "hm")
    assert (row.model, row.usage, row.upstream_id, row.attempt) == ("small", figures, "chatcmpl-1", 1)
    times = [moment for moment in (row.asked, row.started, row.answered, row.ended) if moment]
    assert len(times) == 4
    assert times == sorted(times)
    assert row.last_seq == events[-1].id


async def test_a_piece_is_shown_while_the_next_one_is_not_yet_written(upstream: Upstream, alice: Visitor) -> None:
    upstream.script(text("first"), pause("rest"), text(" second"), finish())
    reply = await alice.ask("Hello?")
    async with aclosing(alice.follow(reply)) as events:
        assert (await anext(events)).data == {"text": "first"}
        upstream.release("rest")
        assert (await anext(events)).data == {"text": " second"}
        assert (await anext(events)).data["status"] == "complete"


async def test_two_readers_and_a_late_one_see_the_same(upstream: Upstream, alice: Visitor) -> None:
    upstream.script(*answer("one two three four", words=True))
    reply = await alice.ask("Count.")
    first, second = await asyncio.gather(alice.whole(reply), alice.whole(reply))
    late = await alice.whole(reply)
    assert written(first) == written(second) == written(late) == "one two three four"


async def test_a_reply_goes_on_without_any_reader(server: Server, upstream: Upstream, alice: Visitor) -> None:
    upstream.script(text("Hello"), pause("rest"), text(" world"), finish())
    reply = await alice.ask("Hello?")
    seen = await alice.until(reply, "Hello")
    upstream.release("rest")
    rest = await alice.whole(reply, after=seen[-1].id)
    assert written(rest) == " world"


async def test_the_history_is_sent(upstream: Upstream, alice: Visitor) -> None:
    upstream.script(*answer("Fine."))
    reply = await alice.ask("How are you?")
    await alice.whole(reply)
    upstream.script(*answer("Really."))
    await alice.whole(await alice.ask("Really?", f"{reply['conversation']['url']}messages/"))
    assert upstream.requests[-1].body["messages"] == [
        {"role": "user", "content": "How are you?"},
        {"role": "assistant", "content": "Fine."},
        {"role": "user", "content": "Really?"},
    ]


# Errors


@pytest.mark.parametrize(
    ("steps", "status", "code"),
    [
        (error(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "failed", "unauthorized"),
        (error(404, {}), "failed", "unknown_model"),
        ([text("so far"), cut()], "interrupted", "cut_off"),
        ([text("so far"), chunk({"error": {"message": f"boom {KEY}"}})], "failed", "reported"),
        ([], "failed", "no_answer"),
    ],
)
async def test_an_error_ends_the_reply_with_a_sentence_and_keeps_the_text(
    server: Server, upstream: Upstream, alice: Visitor, steps: list[Any], status: str, code: str
) -> None:
    upstream.script(*steps)
    reply = await alice.ask("Hello?")
    events = await alice.whole(reply)
    end = events[-1].data
    assert (end["status"], end["error"]["code"]) == (status, code)
    row = stored(server, reply)
    assert (row.status, row.error, end["error"]["message"]) == (status, Error(code), sentences.of(Error(code)))
    assert row.message.text == written(events) == ("so far" if steps and code in ("cut_off", "reported") else "")
    page = (await alice.client.get(reply["conversation"]["url"])).text
    for secret in (KEY, upstream.url, f":{upstream.port}"):
        assert secret not in page
        assert secret not in server.log()


# Stop


async def test_stop_closes_the_connection_to_the_model_within_a_second(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    upstream.script(text("so far"), hang())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "so far")
    request = await asyncio.to_thread(upstream.next_request)
    began = time.monotonic()
    assert await alice.stop(reply) == "stopped"
    assert await asyncio.to_thread(request.wait_closed) - began < 1
    events = await alice.whole(reply)
    assert written(events) == stored(server, reply).message.text == "so far"
    assert events[-1].data["status"] == "stopped"


async def test_stop_before_the_first_word(server: Server, upstream: Upstream, alice: Visitor) -> None:
    upstream.script(hang())
    reply = await alice.ask("Hello?")
    request = await asyncio.to_thread(upstream.next_request)
    assert await alice.stop(reply) == "stopped"
    await asyncio.to_thread(request.wait_closed)
    assert stored(server, reply).message.text == ""


async def test_stop_right_after_the_question(server: Server, upstream: Upstream, alice: Visitor) -> None:
    upstream.default = [hang()]
    reply = await alice.ask("Hello?")
    assert await alice.stop(reply) == "stopped"
    assert stored(server, reply).status == "stopped"


async def test_stop_after_the_end_changes_nothing(upstream: Upstream, alice: Visitor) -> None:
    reply = await alice.ask("Hello?")
    await alice.whole(reply)
    assert await alice.stop(reply) == "complete"


async def test_stop_through_another_process(
    start_server: Servers, server: Server, upstream: Upstream, alice: Visitor
) -> None:
    other = start_server(server.database, OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small")
    upstream.script(text("so far"), pause("more"), text(" growing"), hang())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "so far")
    async with Visitor(other, "alice") as elsewhere:
        assert await elsewhere.stop(reply) == "stopped"
        upstream.release("more")
        request = await asyncio.to_thread(upstream.next_request)
        await asyncio.to_thread(request.wait_closed)
        assert written(await elsewhere.whole(reply)) == written(await alice.whole(reply)) == "so far"
    assert stored(server, reply).message.text == "so far"


async def test_a_reader_in_another_process_follows(
    start_server: Servers, server: Server, upstream: Upstream, alice: Visitor
) -> None:
    other = start_server(server.database, OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small")
    upstream.script(text("one"), pause("rest"), text(" two"), finish())
    reply = await alice.ask("Count.")
    async with Visitor(other, "alice") as elsewhere:
        await elsewhere.until(reply, "one")
        upstream.release("rest")
        assert written(await elsewhere.whole(reply)) == "one two"


# A person lets a reply go on


@pytest.mark.parametrize("way", ["assistant", "none"])
async def test_a_reply_that_broke_off_goes_on_in_the_same_message(
    start_server: Servers, upstream: Upstream, way: str
) -> None:
    server = start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_CONTINUE=way)
    upstream.script(reasoning("hm"), text("one two"), cut())
    upstream.script(text(" thr"), pause("rest"), text("ee"), finish())
    async with Visitor(server, "alice") as alice:
        first = await alice.ask("Count.")
        assert (await alice.whole(first))[-1].data["status"] == "interrupted"
        reply = await alice.ask("", f"/replies/{first['id']}/continue/")
        assert reply["id"] == first["id"]
        await alice.until(reply, "one two thr")
        page = (await alice.client.get(reply["conversation"]["url"])).text
        assert "one two thr" in page
        upstream.release("rest")
        assert written(await alice.whole(reply)) == "one two three"
    row = stored(server, reply)
    assert (row.status, row.message.text, row.reasoning) == ("complete", "one two three", "hm")
    assert (row.error, row.attempt) == (None, 2)
    sent = upstream.requests[-1].body["messages"]
    assert sent[1] == {"role": "assistant", "content": "one two"}
    assert [message["role"] for message in sent] == ["user", "assistant"] + (["user"] if way == "none" else [])


async def test_what_goes_on_can_be_stopped_and_killed_without_losing_a_word(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    upstream.script(text("one"), cut())
    upstream.script(hang())
    upstream.script(text(" two"), hang())
    reply = await alice.ask("Count.")
    await alice.whole(reply)
    url = f"/replies/{reply['id']}/continue/"
    await alice.ask("", url)
    for _ in range(2):
        await asyncio.to_thread(upstream.next_request)
    assert await alice.stop(reply) == "stopped"
    assert stored(server, reply).message.text == "one"
    await alice.ask("", url)
    await alice.until(reply, "one two")
    server.restart()
    assert (await alice.whole(reply))[-1].data["status"] == "interrupted"
    assert stored(server, reply).message.text == "one two"


async def test_who_lets_it_go_on_right_at_the_end_keeps_it(server: Server, upstream: Upstream, alice: Visitor) -> None:
    upstream.script(text("one"), cut())
    upstream.script(text(" two"), pause("rest"), text(" three"), finish())
    reply = await alice.ask("Count.")
    async for event in alice.follow(reply):
        if event.name == "end":
            await alice.ask("", f"/replies/{reply['id']}/continue/")
    await alice.until(reply, "one two")
    first = lease(server, reply)
    async with asyncio.timeout(10):
        while lease(server, reply) == first:  # noqa: ASYNC110 (only the row tells)
            await asyncio.sleep(0.1)
    upstream.release("rest")
    assert written(await alice.whole(reply)) == "one two three"
    assert stored(server, reply).attempt == 2
    assert "Traceback" not in server.log()


async def test_a_reader_from_before_the_end_gets_all_of_what_went_on(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    upstream.script(*[text(f"{number} ") for number in range(5)], pause("cut"), cut())
    upstream.script(*[text(f"{number} ") for number in range(5, 20)], finish())
    reply = await alice.ask("Count.")
    await alice.until(reply, "4 ")
    upstream.release("cut")
    before = await alice.whole(reply)
    await alice.ask("", f"/replies/{reply['id']}/continue/")
    await alice.whole(reply)
    for place in (0, 1, before[-1].id - 1, before[-1].id):
        seen = [event for event in before if event.id <= place] + await alice.whole(reply, after=place)
        assert written(seen) == "".join(f"{number} " for number in range(20))


async def test_a_reply_of_a_model_that_is_gone_is_tried_again_with_another(
    start_server: Servers, upstream: Upstream
) -> None:
    demo = start_server(CHAT_DRAIN_SECONDS="0")
    async with Visitor(demo, "alice") as alice:
        reply = await alice.ask("/cut")
        await alice.whole(reply)
        real = start_server(demo.database, OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small")
    async with Visitor(real, "alice") as alice:
        await alice.whole(await alice.ask("", f"/replies/{reply['id']}/continue/"))
        await alice.whole(await alice.ask("", f"/replies/{reply['id']}/retry/"))
    assert [request.body["model"] for request in upstream.requests] == ["small", "small"]


async def test_what_has_not_broken_off_or_is_not_the_end_does_not_go_on(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    reply = await alice.ask("Hello?")
    await alice.whole(reply)
    url = f"/replies/{reply['id']}/continue/"
    assert (await alice.post(url)).json()["error"]["code"] == "not_resumable"
    upstream.script(text("so far"), cut())
    broken = await alice.ask("More?", f"{reply['conversation']['url']}messages/")
    await alice.whole(broken)
    await alice.whole(await alice.ask("And then?", f"{reply['conversation']['url']}messages/"))
    assert (await alice.post(f"/replies/{broken['id']}/continue/")).status_code == 409
    assert stored(server, broken).message.text == "so far"


async def test_readers_of_a_reply_that_an_administrator_deletes_hear_of_it(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), hang())
    reply = await alice.ask("Hello?")
    async with aclosing(alice.follow(reply)) as events:
        await anext(events)
        server.database.run(Conversation.objects.all().delete)
        upstream.release("rest")
        # Much sooner than a reader looks for itself.
        async with asyncio.timeout(10):
            *_, end = [event async for event in events]
    assert (end.name, end.data["error"]["code"]) == ("end", "deleted")
    request = await asyncio.to_thread(upstream.next_request)
    await asyncio.to_thread(request.wait_closed)


# The process dies


async def test_what_was_shown_survives_a_kill_and_the_reply_is_interrupted(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    upstream.script(reasoning("hm"), text("so far"), hang())
    reply = await alice.ask("Hello?")
    seen = await alice.until(reply, "so far")
    server.restart()
    restarted = time.monotonic()
    events = await alice.whole(reply, after=seen[-1].id)
    assert time.monotonic() - restarted < 10
    assert [event.name for event in events] == ["end"]
    assert (events[0].data["status"], events[0].id) == ("interrupted", seen[-1].id + 1)
    row = stored(server, reply)
    assert (row.status, row.message.text, row.reasoning) == ("interrupted", "so far", "hm")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("way", ["continue_final_message", "prefix", "assistant"])
async def test_a_model_that_can_goes_on_with_the_reply_and_the_reader_sees_one(
    start_server: Servers, upstream: Upstream, way: str
) -> None:
    server = start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="large,small", CHAT_CONTINUE=f"large={way}")
    upstream.script(reasoning("hm"), text("one "), text("two"), hang())
    upstream.script(text(" three"), finish())
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("Count.")
        seen = await alice.until(reply, "two")
        server.restart()
        rest = await alice.whole(reply, after=seen[-1].id)
    assert written(seen + rest) == "one two three"
    assert [event.id for event in rest] == [seen[-1].id + 1, seen[-1].id + 2]
    assert rest[-1].data["status"] == "complete"
    last = upstream.requests[-1].body["messages"][-1]
    assert (last["role"], last["content"]) == ("assistant", "one two")
    row = stored(server, reply)
    assert (row.message.text, row.reasoning, row.attempt) == ("one two three", "hm", 2)


async def test_when_the_model_cannot_go_on_after_all_the_text_is_kept(
    start_server: Servers, upstream: Upstream
) -> None:
    server = start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_CONTINUE="assistant")
    upstream.script(text("so far"), hang())
    upstream.script(*error(400, {"error": {"message": "the last message must be a user's"}}))
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("Hello?")
        await alice.until(reply, "so far")
        server.restart()
        end = (await alice.whole(reply))[-1].data
    assert (end["status"], end["error"]["code"]) == ("interrupted", "rejected")
    assert stored(server, reply).message.text == "so far"


async def test_the_demo_goes_on_too(start_server: Servers) -> None:
    server = start_server()
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask("/long 300")
        await alice.until(reply, "word 20 ")
        server.restart()
        words = written(await alice.whole(reply)).split()
    assert words == [part for number in range(1, 301) for part in ("word", str(number))]


async def test_a_reply_of_which_nothing_was_shown_starts_again_by_itself(
    server: Server, upstream: Upstream, alice: Visitor
) -> None:
    upstream.script(hang())
    reply = await alice.ask("Hello?")
    await asyncio.to_thread(upstream.next_request)
    killed = time.monotonic()
    server.restart()
    events = await alice.whole(reply)
    assert time.monotonic() - killed < 10
    assert written(events) == "Hello world"
    assert stored(server, reply).attempt == 2


async def test_a_question_whose_process_died_at_once_is_answered(server: Server, alice: Visitor) -> None:
    reply = await alice.ask("Hello?")
    await alice.whole(reply)

    def orphan() -> None:
        Reply.objects.filter(pk=reply["id"]).update(
            status="queued", attempt=0, queued=timezone.now() - timedelta(days=1), started=None, ended=None, last_seq=0
        )
        Reply.objects.get(pk=reply["id"]).events.all().delete()
        Message.objects.filter(pk=reply["id"]).update(text="")

    server.kill()
    server.database.run(orphan)
    server.start()
    assert written(await alice.whole(reply)) == "Hello world"


async def test_a_lease_is_renewed_as_long_as_the_reply_runs(server: Server, upstream: Upstream, alice: Visitor) -> None:
    upstream.script(text("so far"), hang())
    reply = await alice.ask("Hello?")
    await alice.until(reply, "so far")
    first = lease(server, reply)
    assert first
    async with asyncio.timeout(10):
        while (later := lease(server, reply)) == first:  # noqa: ASYNC110 (only the row tells)
            await asyncio.sleep(0.1)
    assert later
    assert later > first
    assert stored(server, reply).attempt == 1


# The process is asked to end


@pytest.fixture
def patient(start_server: Servers, upstream: Upstream) -> Server:
    """A server that lets replies end for ten seconds."""
    return start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_DRAIN_SECONDS="10")


async def test_a_draining_process_ends_its_reply_and_queues_questions(patient: Server, upstream: Upstream) -> None:
    upstream.script(text("so far"), pause("rest"), text(" and on"), finish())
    async with Visitor(patient, "alice") as alice:
        reply = await alice.ask("Hello?")
        await alice.until(reply, "so far")
        ending = asyncio.create_task(asyncio.to_thread(patient.terminate))
        async with asyncio.timeout(5):
            while (await alice.client.get("/readyz/")).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        question = await alice.ask("Another one?")
        upstream.release("rest")
        assert await ending == 0
        assert stored(patient, question).status == "queued"
        patient.start()
        assert written(await alice.whole(question)) == "Hello world"
    row = stored(patient, reply)
    assert (row.status, row.message.text) == ("complete", "so far and on")


@pytest.mark.parametrize("shown", [True, False])
async def test_what_does_not_end_in_time_is_given_back_at_once(
    start_server: Servers, upstream: Upstream, shown: bool
) -> None:
    # Readers give up long before this lease runs out.
    hasty = start_server(
        OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_DRAIN_SECONDS="0", CHAT_LEASE_SECONDS="600"
    )
    upstream.script(*([text("so far")] if shown else []), hang())
    async with Visitor(hasty, "alice") as alice:
        reply = await alice.ask("Hello?")
        request = await asyncio.to_thread(upstream.next_request)
        if shown:
            await alice.until(reply, "so far")
        assert await asyncio.to_thread(hasty.terminate) == 0
        await asyncio.to_thread(request.wait_closed)
        row = stored(hasty, reply)
        assert row.status == "streaming"
        assert not hasty.database.run(ServerProcess.objects.exists)
        hasty.start()
        events = await alice.whole(reply)
    assert (events[-1].data["status"], written(events)) == (
        ("interrupted", "so far") if shown else ("complete", "Hello world")
    )


async def test_a_half_sent_request_does_not_hold_the_end_up(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /c/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nhalf of it")
    await writer.drain()
    async with Visitor(server, "alice") as alice:
        assert (await alice.client.get("/healthz/")).status_code == 200
    assert await asyncio.to_thread(server.terminate) == 0
    writer.close()


# What the model is sent


@pytest.fixture
def reply(alice_herself: User) -> Reply:
    """The third question's, with an answer to each before."""
    first = asking.begin(alice_herself, "aaaa", "demo")
    end(first, "bbbb")
    second = asking.ask(first.message.conversation, "cccc", "demo")
    end(second, "dddd")
    return asking.ask(first.message.conversation, "eeee", "demo")


@pytest.fixture
def alice_herself(transactional_db: None) -> User:
    return User.objects.create_user("alice")


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
async def test_the_oldest_messages_are_left_out_never_the_question(reply: Reply, chars: int, kept: list[str]) -> None:
    assert await contents(reply, chars) == kept


async def test_the_system_prompt_comes_first_and_counts(reply: Reply) -> None:
    assert await prompt(reply, "Be kind.", 12) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "eeee"},
    ]


async def test_a_reply_without_text_is_not_sent(reply: Reply) -> None:
    await Message.objects.filter(text="bbbb").aupdate(text="")
    assert await contents(reply, 100) == ["aaaa", "cccc", "dddd", "eeee"]
