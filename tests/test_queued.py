"""Questions that are asked when the reply before them is complete."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat import asking, process, queued
from chat.asking import AnswerNotChosen, ConversationChanged, QuestionsQueued, ReplyRunning
from chat.database import in_thread
from chat.limits import PERIOD, OverLimit, check_person
from chat.models import Conversation, LedgerEntry, Message, QueuedQuestion, Reply, User
from tests.endings import end
from tests.hosts import PATIENCE, StartHost, stored
from tests.upstream import Upstream, error, finish, hang, pause, text

# Processes ask from other threads.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(alice: User) -> Reply:
    """The reply that is being written in Alice's conversation."""
    return asking.begin(alice, "First", "demo")


@pytest.fixture
def conversation(running: Reply) -> Conversation:
    return running.message.conversation


def same(person: User, model: str) -> str:
    return model


def ask_due() -> Reply | None:
    return queued.ask(QueuedQuestion.objects.due(), same)


def waiting(reply: Reply) -> list[str]:
    """What is queued after a reply, in order."""
    return list(QueuedQuestion.objects.filter(after=reply.pk).order_by("pk").values_list("text", flat=True))


def branch(conversation: Conversation) -> list[str]:
    conversation.refresh_from_db()
    return [message.text for message in conversation.branch(conversation.leaf_id, 100)]


# What is stored


def test_what_is_queued_follows_the_new_wording_of_its_question(running: Reply, conversation: Conversation) -> None:
    queued.add(conversation, "Second", "small")
    edited = asking.edit(Message.objects.get(children=running.message), "Other words", "demo")
    end(running)
    assert (waiting(running), waiting(edited)) == ([], ["Second"])
    assert ask_due() is None, "the new answer is being written"


@pytest.mark.parametrize(
    "again",
    [
        lambda reply: asking.edit(Message.objects.get(children=reply.message), "Other words", "demo"),
        lambda reply: asking.retry(reply, "demo"),
    ],
    ids=["another wording", "another answer"],
)
def test_what_is_queued_stays_on_screen_when_the_branch_begins_anew_further_up(
    running: Reply, conversation: Conversation, again: Callable[[Reply], Reply]
) -> None:
    end(running, "One")
    second = asking.ask(conversation, "Second", "demo")
    queued.add(conversation, "Third", "demo")
    new = again(running)
    assert (waiting(second), waiting(new)) == ([], ["Third"])


def test_what_is_queued_out_of_sight_stays_there(running: Reply, conversation: Conversation) -> None:
    end(running, "One")
    other = asking.retry(running, "demo")
    queued.add(conversation, "Second", "demo")
    conversation.show(running.message)
    asking.ask(conversation, "Else", "demo")
    assert waiting(other) == ["Second"]


def test_a_queued_question_does_not_choose_the_model_again(
    alice: User, running: Reply, conversation: Conversation
) -> None:
    queued.add(conversation, "Second", "small")
    alice.refresh_from_db()
    assert alice.model == "small"
    asking.begin(alice, "Elsewhere", "large")
    end(running)
    assert ask_due()
    alice.refresh_from_db()
    assert alice.model == "large"


def test_questions_are_asked_in_order_each_after_the_reply_before(running: Reply, conversation: Conversation) -> None:
    queued.add(conversation, "Second", "small")
    queued.add(conversation, "Third", "large")
    assert ask_due() is None, "the reply is being written"
    end(running, "One")
    second = ask_due()
    assert second
    assert (waiting(running), waiting(second)) == ([], ["Third"])
    assert ask_due() is None
    end(second, "Two")
    third = ask_due()
    assert third
    end(third, "Three")
    assert branch(conversation) == ["First", "One", "Second", "Two", "Third", "Three"]
    assert [reply.model for reply in (second, third)] == ["small", "large"]
    assert not QueuedQuestion.objects.exists()


@pytest.mark.parametrize("status", ["stopped", "interrupted", "failed"])
def test_a_question_is_held_when_the_reply_did_not_come_to_its_end(
    running: Reply, conversation: Conversation, status: str
) -> None:
    question = queued.add(conversation, "Second", "demo")
    end(running, "On", status)
    assert ask_due() is None
    asked = queued.ask(QueuedQuestion.objects.filter(pk=question.pk), same)
    assert asked
    assert branch(conversation) == ["First", "On", "Second", ""]


def test_a_held_question_is_asked_once_the_reply_is_continued(running: Reply, conversation: Conversation) -> None:
    queued.add(conversation, "Second", "demo")
    end(running, "On", "stopped")
    resumed = asking.resume(running, "demo")
    assert resumed
    end(resumed, "One")
    assert ask_due()


@pytest.mark.parametrize(
    "instead",
    [lambda reply: asking.retry(reply, "demo"), lambda reply: asking.ask(reply.message.conversation, "Else", "demo")],
    ids=["another answer", "another question"],
)
def test_a_held_question_follows_what_is_asked_instead(
    running: Reply, conversation: Conversation, instead: Callable[[Reply], Reply]
) -> None:
    queued.add(conversation, "Second", "demo")
    end(running, "On", "failed")
    new = instead(running)
    assert (waiting(running), waiting(new)) == ([], ["Second"])


@pytest.mark.parametrize("place", ["parent", "seen"])
def test_a_stale_page_adds_to_the_end_of_its_branch(running: Reply, conversation: Conversation, place: str) -> None:
    queued.add(conversation, "Second", "demo")
    end(running, "One")
    second = ask_due()
    assert second
    queued.add(conversation, "Third", "demo", **{place: running.pk})
    assert waiting(second) == ["Third"]


def test_a_question_is_not_queued_out_of_sight(running: Reply, conversation: Conversation) -> None:
    asking.edit(Message.objects.get(children=running.message), "Other words", "demo")
    with pytest.raises(ConversationChanged):
        queued.add(conversation, "Second", "demo", seen=running.pk)
    assert not QueuedQuestion.objects.exists()


def test_a_question_is_asked_in_its_branch_while_another_one_is_on_screen(
    running: Reply, conversation: Conversation
) -> None:
    end(running, "One")
    other = asking.retry(running, "demo")
    queued.add(conversation, "Second", "demo", parent=other.pk)
    conversation.show(running.message)
    end(other, "Eins")
    asked = ask_due()
    assert asked
    conversation.refresh_from_db()
    assert conversation.leaf_id == running.pk
    assert asked.message.parent
    assert asked.message.parent.parent_id == other.pk


def test_a_question_can_be_edited_and_withdrawn_until_it_is_asked(running: Reply, conversation: Conversation) -> None:
    first, second = queued.add(conversation, "Second", "demo"), queued.add(conversation, "Third", "demo")
    assert queued.edit(conversation, first.pk, "2nd")
    assert queued.withdraw(conversation, second.pk)
    assert waiting(running) == ["2nd"]
    end(running, "One")
    assert ask_due()
    assert not queued.edit(conversation, first.pk, "too late")
    assert not queued.withdraw(conversation, first.pk)
    assert branch(conversation)[2] == "2nd"


def test_only_questions_of_the_conversation_can_be_changed(conversation: Conversation, bob: User) -> None:
    question = queued.add(conversation, "Second", "demo")
    elsewhere = asking.begin(bob, "Hello", "demo").message.conversation
    assert not queued.edit(elsewhere, question.pk, "mine")
    assert not queued.withdraw(elsewhere, question.pk)


def test_a_question_follows_only_answers_of_its_conversation(conversation: Conversation, bob: User) -> None:
    elsewhere = asking.begin(bob, "Hello", "demo").pk
    question = conversation.messages.get(role=Message.Role.USER).pk
    for parent in (elsewhere, question):
        with pytest.raises(Message.DoesNotExist):
            queued.add(conversation, "And?", "demo", parent)


def test_a_reply_has_a_limited_number_of_queued_questions(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "MOST", 1)
    queued.add(conversation, "Second", "demo")
    with pytest.raises(OverLimit, match="too_many_queued"):
        queued.add(conversation, "Third", "demo")


def test_a_person_has_a_limited_number_of_queued_questions(
    conversation: Conversation, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "MOST_OF_PERSON", 1)
    queued.add(conversation, "Second", "demo")
    with pytest.raises(OverLimit, match="too_many_queued_in_all"):
        queued.add(asking.begin(alice, "Elsewhere", "demo").message.conversation, "And?", "demo")
    queued.add(asking.begin(bob, "Hello", "demo").message.conversation, "And?", "demo")


def test_nothing_is_asked_for_a_person_who_is_disabled(running: Reply, conversation: Conversation, alice: User) -> None:
    queued.add(conversation, "Second", "demo")
    end(running, "One")
    User.objects.update(is_active=False)
    assert ask_due() is None
    User.objects.update(is_active=True)
    assert ask_due()


def test_two_answers_are_not_compared_while_questions_are_queued(running: Reply, conversation: Conversation) -> None:
    queued.add(conversation, "Held", "demo")
    end(running, "On", "stopped")
    with pytest.raises(QuestionsQueued):
        asking.compare(lambda: asking.ask(conversation, "Which?", "small"), "large")
    assert waiting(running) == ["Held"]
    assert branch(conversation) == ["First", "On"]


def test_no_question_is_queued_until_an_answer_is_chosen(running: Reply, conversation: Conversation) -> None:
    end(running, "One")
    answers = asking.compare(lambda: asking.ask(conversation, "Which?", "small"), "large")
    for parent in (None, running.pk, answers[1].pk):
        with pytest.raises(AnswerNotChosen):
            queued.add(conversation, "Next", "demo", parent)
    # Nor while another branch is on screen.
    asking.edit(conversation.branch(conversation.leaf_id, 10)[0], "Another wording", "demo")
    with pytest.raises(AnswerNotChosen):
        queued.add(conversation, "Next", "demo", running.pk)
    assert not QueuedQuestion.objects.exists()


def test_a_question_cannot_be_sent_before_the_reply_has_ended(running: Reply, conversation: Conversation) -> None:
    question = queued.add(conversation, "Second", "demo")
    with pytest.raises(ReplyRunning):
        queued.ask(QueuedQuestion.objects.filter(pk=question.pk), same)
    assert waiting(running) == ["Second"]


def test_a_question_that_was_asked_meanwhile_is_not_asked_again(
    running: Reply, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process had the lock."""
    queued.add(conversation, "Second", "demo")
    end(running, "One")

    def lock_too_late(person: int) -> User:
        monkeypatch.setattr(queued, "check_person", check_person)
        assert ask_due()
        return check_person(person)

    monkeypatch.setattr(queued, "check_person", lock_too_late)
    assert ask_due() is None
    assert Message.objects.filter(text="Second").count() == 1


def test_deleting_the_conversation_deletes_what_is_queued(conversation: Conversation) -> None:
    queued.add(conversation, "Second", "demo")
    conversation.delete()
    assert not QueuedQuestion.objects.exists()


@pytest.mark.parametrize("change", ["add", "edit", "withdraw"])
def test_each_change_raises_the_version_of_the_conversation(conversation: Conversation, change: str) -> None:
    question = queued.add(conversation, "Second", "demo")
    conversation.refresh_from_db()
    version = conversation.version
    changes: dict[str, Callable[[], Any]] = {
        "add": lambda: queued.add(conversation, "Third", "demo"),
        "edit": lambda: queued.edit(conversation, question.pk, "2nd"),
        "withdraw": lambda: queued.withdraw(conversation, question.pk),
    }
    changes[change]()
    conversation.refresh_from_db()
    assert conversation.version == version + 1


# What processes do


async def asked(conversation: Conversation, question: str) -> Reply:
    """The reply to a question, once it has been asked."""
    replies = Reply.objects.filter(message__conversation=conversation, message__parent__text=question)
    async with asyncio.timeout(PATIENCE):
        while (reply := await replies.afirst()) is None:  # noqa: ASYNC110 (only the database tells)
            await asyncio.sleep(0.01)
    return reply


async def test_a_question_is_asked_as_soon_as_the_reply_is_complete(
    start_host: StartHost, upstream: Upstream, alice: User
) -> None:
    upstream.script(text("One"), pause("end"), finish())
    host = await start_host()
    first, _ = await host.ask(alice)
    conversation = first.message.conversation
    await in_thread(queued.add)(conversation, "Second", "small")
    await host.until(first, "One")
    upstream.release("end")
    second = await asked(conversation, "Second")
    assert (await host.read(second))[0] == "Hello world"
    prompt = upstream.requests[-1].body["messages"]
    assert [message["content"] for message in prompt] == ["Hello?", "One", "Second"]


async def test_a_model_that_is_gone_is_replaced(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("One"), pause("end"), finish())
    host = await start_host()
    first, _ = await host.ask(alice)
    await in_thread(queued.add)(first.message.conversation, "Second", "no longer there")
    upstream.release("end")
    assert (await asked(first.message.conversation, "Second")).model == "small"


async def test_a_stop_holds_what_is_queued(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("One"), hang())
    host = await start_host()
    first, _ = await host.ask(alice)
    await in_thread(queued.add)(first.message.conversation, "Second", "small")
    await host.until(first, "One")
    await host.stop(first.pk)
    await host.ask_queued_questions()
    assert await in_thread(waiting)(first) == ["Second"]


async def test_a_failure_holds_what_is_queued(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(pause("end"), *error(400, {"error": {"message": "no"}}))
    host = await start_host()
    first, run = await host.ask(alice)
    await in_thread(queued.add)(first.message.conversation, "Second", "small")
    upstream.release("end")
    await run.task
    await host.ask_queued_questions()
    assert (await stored(first)).status == "failed"
    assert await in_thread(waiting)(first) == ["Second"]


async def test_processes_that_look_at_the_same_time_ask_once(start_host: StartHost, alice: User) -> None:
    here, there = await start_host(), await start_host()
    first = await in_thread(asking.begin)(alice, "First", "small")
    conversation = first.message.conversation
    await in_thread(queued.add)(conversation, "Second", "small")
    await in_thread(end)(first, "One")
    await asyncio.gather(*(process.ask_queued_questions() for process in (here, there) * 4))
    second = await asked(conversation, "Second")
    assert (await here.read(second))[0] == "Hello world"
    assert await Message.objects.filter(text="Second").acount() == 1
    assert await LedgerEntry.objects.acount() == 2


async def test_what_a_dead_process_left_queued_is_asked(start_host: StartHost, alice: User) -> None:
    """It died between the end of the reply and the question."""
    first = await in_thread(asking.begin)(alice, "First", "small")
    await in_thread(queued.add)(first.message.conversation, "Second", "small")
    await in_thread(end)(first, "One")
    # It looks when it starts, and at each beat.
    host = await start_host()
    second = await asked(first.message.conversation, "Second")
    assert (await host.read(second))[0] == "Hello world"


async def test_a_draining_process_leaves_questions_to_others(start_host: StartHost, alice: User) -> None:
    here, there = await start_host(), await start_host()
    first = await in_thread(asking.begin)(alice, "First", "small")
    await in_thread(queued.add)(first.message.conversation, "Second", "small")
    await in_thread(end)(first, "One")
    here.draining = True
    await here.ask_queued_questions()
    assert await in_thread(waiting)(first) == ["Second"]
    await there.ask_queued_questions()
    await asked(first.message.conversation, "Second")


async def test_a_full_process_leaves_questions_queued(start_host: StartHost, upstream: Upstream, alice: User) -> None:
    upstream.script(text("busy"), hang())
    host = await start_host(running=1, queued=0)
    busy, _ = await host.ask(alice)
    await host.until(busy, "busy")
    first = await in_thread(asking.begin)(alice, "First", "small")
    await in_thread(queued.add)(first.message.conversation, "Second", "small")
    await in_thread(end)(first, "One")
    await host.ask_queued_questions()
    assert await in_thread(waiting)(first) == ["Second"]
    await host.stop(busy.pk)
    await asked(first.message.conversation, "Second")


async def test_a_question_over_a_limit_waits_until_it_is_allowed(
    start_host: StartHost, alice: User, settings: Settings
) -> None:
    settings.CHAT_PERSON_QUESTIONS = 1
    host = await start_host()
    first = await in_thread(asking.begin)(alice, "First", "small")
    await in_thread(queued.add)(first.message.conversation, "Second", "small")
    await in_thread(end)(first, "One")
    await host.ask_queued_questions()
    assert await in_thread(waiting)(first) == ["Second"]
    await LedgerEntry.objects.aupdate(asked=timezone.now() - PERIOD - timedelta(seconds=1))
    await host.ask_queued_questions()
    await asked(first.message.conversation, "Second")


async def test_a_look_asks_nothing_more_of_a_person_over_a_limit(
    start_host: StartHost, alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await start_host()
    for number in range(3):
        first = await in_thread(asking.begin)(alice, f"First {number}", "small")
        await in_thread(queued.add)(first.message.conversation, "Second", "small")
        await in_thread(end)(first, "One")
    settings.CHAT_PERSON_QUESTIONS = 1
    tries, ask_queued = [], process._ask_queued

    async def counted(reply_id: UUID, model_for: Callable[[User, str], str]) -> Reply | None:
        tries.append(reply_id)
        return await ask_queued(reply_id, model_for)

    monkeypatch.setattr(process, "_ask_queued", counted)
    await host.ask_queued_questions()
    assert len(tries) == 1


async def test_a_person_over_a_limit_does_not_keep_out_others(
    start_host: StartHost, alice: User, bob: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look takes one question; the first of all is Alice's, who is over her limit."""
    monkeypatch.setattr(process, "CLAIMED_AT_ONCE", 1)
    settings.CHAT_PERSON_QUESTIONS = 2
    host = await start_host()
    for person, questions in ((alice, 2), (bob, 1)):
        for number in range(questions):
            first = await in_thread(asking.begin)(person, f"First {number}", "small")
            await in_thread(queued.add)(first.message.conversation, "Second", "small")
            await in_thread(end)(first, "One")
    replies = Reply.objects.filter(message__conversation__owner=bob, message__parent__text="Second")
    async with asyncio.timeout(PATIENCE):
        while not await replies.aexists():
            await host.ask_queued_questions()
