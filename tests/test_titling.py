"""When a model is asked for a title, and what happens meanwhile."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat import asking, titling
from chat.database import in_thread
from chat.limits import check_questions
from chat.models import Conversation, Job, LedgerEntry, Reply, User
from chat.search import for_staff
from tests.hosts import PATIENCE, Host, StartHost, expire
from tests.server import Server, SharedServers
from tests.upstream import Step, Upstream, answer, cut, error, finish, hang, pause, reasoning, text
from tests.visitor import Visitor

# Processes ask from other threads.
pytestmark = pytest.mark.django_db(transaction=True)

WORDS = "How do I boil an egg?"
TITLE = "Boiling eggs"


@pytest.fixture(autouse=True)
def _titles(settings: Settings) -> None:
    settings.CHAT_TITLES = True


@pytest.fixture
async def host(start_host: StartHost) -> Host:
    return await start_host()


async def asked(host: Host, person: User) -> Conversation:
    """The conversation of a question that has been answered."""
    reply, run = await host.ask(person, WORDS)
    await run.task
    return reply.message.conversation


async def now(conversation: Conversation) -> Conversation:
    return await Conversation.objects.aget(pk=conversation.pk)


async def jobs_are_done(*hosts: Host) -> None:
    async with asyncio.timeout(PATIENCE):
        # Only the rows and the tasks tell.
        while any(host.jobs.tasks for host in hosts) or await Job.objects.filter(due__lte=timezone.now()).aexists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def title_of(conversation: Conversation) -> tuple[str, str]:
    row = await now(conversation)
    return row.title, row.titled_by


async def test_the_first_answer_brings_a_title(host: Host, upstream: Upstream, alice: User) -> None:
    upstream.script(*answer("Put it into hot water. " * 100))
    upstream.script(*answer(f'"**{TITLE}**"'))
    conversation = await asked(host, alice)
    await jobs_are_done(host)
    assert await title_of(conversation) == (TITLE, "model")
    request = upstream.requests[-1].body
    (message,) = request["messages"]
    assert (request["model"], request["max_tokens"]) == ("small", 500)
    assert WORDS in message["content"]
    assert len(message["content"]) < 1600, "a part of the answer is enough"
    assert await in_thread(found)("boiling") == [conversation.pk]


def found(words: str) -> list[UUID]:
    return list({row.conversation_id for row in for_staff(Conversation.objects.all(), words).rows})


async def test_it_is_asked_for_once(host: Host, upstream: Upstream, alice: User) -> None:
    upstream.script(*answer("Hot water."))
    upstream.script(*answer(TITLE))
    conversation = await asked(host, alice)
    await jobs_are_done(host)
    second = await in_thread(asking.ask)(conversation, "And then?", "small")
    await host.queue(second.pk, second.attempt).task
    await jobs_are_done(host)
    assert len(upstream.requests) == 3
    assert await title_of(conversation) == (TITLE, "model")


async def test_its_cost_is_in_the_ledger_but_it_is_no_question(
    host: Host, upstream: Upstream, alice: User, settings: Settings
) -> None:
    settings.CHAT_PERSON_QUESTIONS = 2
    upstream.script(*answer("Hot water."))
    upstream.script(*answer(TITLE, words=True))
    conversation = await asked(host, alice)
    await jobs_are_done(host)
    entry = await LedgerEntry.objects.aget(purpose="title")
    first = await Reply.objects.aget(message__conversation=conversation)
    assert (entry.person_id, entry.reply_id, entry.model) == (alice.pk, first.pk, "small")
    assert (entry.input_tokens, entry.output_tokens) == (5, 2)
    await in_thread(check_questions)(alice)


async def test_open_pages_are_told(host: Host, upstream: Upstream, alice: User) -> None:
    upstream.script(*answer("Hot water."))
    upstream.script(pause("title"), *answer(TITLE))
    conversation = await asked(host, alice)
    before = await now(conversation)
    await alice.arefresh_from_db()
    listed = alice.list_version
    upstream.release("title")
    await jobs_are_done(host)
    await alice.arefresh_from_db()
    assert ((await now(conversation)).version, alice.list_version) == (before.version + 1, listed + 1)


@pytest.mark.parametrize("end", [[text("So far"), cut()], [reasoning("hm"), finish()]], ids=["cut off", "no text"])
async def test_the_first_answer_may_be_a_later_one(
    host: Host, upstream: Upstream, alice: User, end: list[Step]
) -> None:
    upstream.script(*end)
    conversation = await asked(host, alice)
    await jobs_are_done(host)
    assert len(upstream.requests) == 1
    upstream.script(*answer("Yes."))
    upstream.script(*answer(TITLE))
    second = await in_thread(asking.ask)(conversation, "Are you sure?", "small")
    await host.queue(second.pk, second.attempt).task
    await jobs_are_done(host)
    assert "Are you sure?" in upstream.requests[-1].body["messages"][0]["content"]
    assert await title_of(conversation) == (TITLE, "model")


async def test_another_model_can_be_asked(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    await asked(host := await start_host(title_model="tiny"), alice)
    await jobs_are_done(host)
    assert [request.body["model"] for request in upstream.requests] == ["small", "tiny"]


async def test_without_titles_nothing_is_asked(host: Host, upstream: Upstream, alice: User, settings: Settings) -> None:
    settings.CHAT_TITLES = False
    conversation = await asked(host, alice)
    assert not await Job.objects.aexists()
    assert await title_of(conversation) == (WORDS, "words")


async def test_a_full_process_makes_titles_and_a_title_takes_no_slot(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(*answer("Hot water."))
    upstream.script(pause("title"), *answer(TITLE))
    upstream.script(text("so far"), hang())
    host = await start_host(running=1)
    conversation = await asked(host, alice)
    await asyncio.to_thread(upstream.next_request)
    await asyncio.to_thread(upstream.next_request)
    other, _ = await host.ask(alice)
    await host.until(other, "so far")
    upstream.release("title")
    await jobs_are_done(host)
    assert await title_of(conversation) == (TITLE, "model")


# When it fails


@pytest.mark.parametrize(
    "sent",
    [[reasoning("A title, hm."), finish("length")], answer("…"), answer("<think>A title, hm.")],
    ids=["thinking only", "no word", "thinking as text"],
)
async def test_the_first_words_stay_where_a_model_has_no_title(
    host: Host, upstream: Upstream, alice: User, sent: list[Step]
) -> None:
    """It is not asked again, as that would cost something with each answer."""
    upstream.script(*answer("Hot water."))
    upstream.script(*sent)
    conversation = await asked(host, alice)
    await jobs_are_done(host)
    assert await title_of(conversation) == (WORDS, "model")


async def test_an_endpoint_that_fails_is_asked_again_later(
    host: Host, upstream: Upstream, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script(*answer("Hot water."))
    upstream.script(*error(400, {"error": {"message": f"no {WORDS}"}}))
    upstream.script(text("Boil"), cut())
    upstream.script(*answer(TITLE))
    conversation = await asked(host, alice)
    for failures in (1, 2):
        await jobs_are_done(host)
        assert (await Job.objects.aget()).failures == failures
        assert await title_of(conversation) == (WORDS, "words")
        await Job.objects.aupdate(due=timezone.now() - timedelta(seconds=1))
        # Its recurring work may be claiming just now, and is never done twice at the same time.
        host.jobs.due.set()
    await jobs_are_done(host)
    assert await title_of(conversation) == (TITLE, "model")
    assert "rejected" in caplog.text
    assert WORDS not in caplog.text


async def test_a_model_that_falls_silent_is_given_up(
    host: Host, upstream: Upstream, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(titling, "MOST_SECONDS", 0.1)
    upstream.script(*answer("Hot water."))
    upstream.script(text("Boil"), hang())
    conversation = await asked(host, alice)
    for _ in range(2):
        request = await asyncio.to_thread(upstream.next_request)
    await asyncio.to_thread(request.wait_closed)
    await jobs_are_done(host)
    assert await title_of(conversation) == (WORDS, "words")
    assert (await Job.objects.aget()).failures == 1


# What happens meanwhile


@pytest.fixture
async def waiting(host: Host, upstream: Upstream, alice: User) -> Conversation:
    """Its title has been asked for, and comes when the test releases it."""
    upstream.script(*answer("Hot water."))
    upstream.script(pause("title"), *answer(TITLE))
    conversation = await asked(host, alice)
    for _ in range(2):
        await asyncio.to_thread(upstream.next_request)
    return conversation


async def test_a_title_that_a_person_gives_meanwhile_stays(
    host: Host, upstream: Upstream, waiting: Conversation
) -> None:
    await Conversation.objects.filter(pk=waiting.pk).aupdate(title="Mine", titled_by="person")
    upstream.release("title")
    await jobs_are_done(host)
    assert await title_of(waiting) == ("Mine", "person")


async def test_a_conversation_may_be_deleted_meanwhile(
    host: Host, upstream: Upstream, waiting: Conversation, caplog: pytest.LogCaptureFixture
) -> None:
    await in_thread(waiting.delete)()
    upstream.release("title")
    await jobs_are_done(host)
    assert not await Job.objects.aexists()
    assert not [record for record in caplog.records if record.exc_info]


async def test_another_process_makes_the_title_of_a_dead_one(
    host: Host, start_host: StartHost, upstream: Upstream, waiting: Conversation
) -> None:
    there = await start_host()
    await there.claim_jobs()
    assert len(upstream.requests) == 2, "the first one is alive"
    upstream.script(*answer("By the other"))
    await host.die()
    await there.claim_jobs()
    await jobs_are_done(there)
    assert await title_of(waiting) == ("By the other", "model")
    assert await LedgerEntry.objects.filter(purpose="title").acount() == 2


async def test_a_process_that_wakes_does_not_change_the_title(
    host: Host, start_host: StartHost, upstream: Upstream, waiting: Conversation
) -> None:
    there = await start_host()
    upstream.script(*answer("By the other"))
    await expire(host)
    await there.claim_jobs()
    await asyncio.to_thread(upstream.next_request)
    async with asyncio.timeout(PATIENCE):
        while there.jobs.tasks:  # noqa: ASYNC110 (only that tells)
            await asyncio.sleep(0.01)
    upstream.release("title")
    await jobs_are_done(host, there)
    assert await title_of(waiting) == ("By the other", "model")


async def test_a_process_that_ends_leaves_the_title_to_another(
    host: Host, start_host: StartHost, upstream: Upstream, waiting: Conversation
) -> None:
    there = await start_host()
    upstream.script(*answer("By the other"))
    await host.drain()
    assert (await Job.objects.aget()).failures == 0
    await there.claim_jobs()
    await jobs_are_done(there)
    assert await title_of(waiting) == ("By the other", "model")


@pytest.fixture
def server(share_server: SharedServers, upstream: Upstream) -> Server:
    return share_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", CHAT_TITLES="1")


async def test_a_title_survives_a_kill(server: Server, upstream: Upstream) -> None:
    upstream.script(*answer("Hot water."))
    upstream.script(hang())
    upstream.script(*answer(TITLE))
    async with Visitor(server, "alice") as alice:
        reply = await alice.ask(WORDS)
        await alice.whole(reply)
        for _ in range(2):
            await asyncio.to_thread(upstream.next_request)
        await asyncio.to_thread(server.restart)
        async with asyncio.timeout(PATIENCE):
            while f">{TITLE}<" not in (await alice.client.get("/")).text:  # noqa: ASYNC110 (only the page tells)
                await asyncio.sleep(0.1)
    assert [request.body["messages"][-1]["content"][:5] for request in upstream.requests] == ["How d", "Write", "Write"]
