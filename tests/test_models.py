"""Rows: who may see them, what a conversation's tree is, and who owns a reply."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.utils import timezone

from chat import asking
from chat.asking import ReplyRunning
from chat.models import Conversation, LedgerEntry, Message, Reply, ServerProcess, User, title_of
from tests.endings import end

pytestmark = pytest.mark.django_db


@pytest.fixture
def conversation(alice: User) -> Conversation:
    """One question and its answer."""
    reply = asking.begin(alice, "First question", "demo")
    conversation = reply.message.conversation
    end(reply, "First answer")
    return conversation


def texts(conversation: Conversation, last: int = 100) -> list[str]:
    conversation.refresh_from_db()
    return [message.text for message in conversation.branch(conversation.leaf_id, last)]


# Titles


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("\n\n  What is this?\nMore.", "What is this?"),
        ("word " * 40, "word " * 14 + "word…"),
        ("x" * 200, "x" * 79 + "…"),
    ],
)
def test_a_title_is_the_beginning_of_the_question(text: str, title: str) -> None:
    assert title_of(text) == title
    assert len(title) <= 80


# Access


def test_only_the_owner_finds_a_conversation_and_its_replies(
    conversation: Conversation, alice: User, bob: User, sam: User
) -> None:
    assert list(Conversation.objects.for_user(alice)) == [conversation]
    assert Reply.objects.for_user(alice).count() == 1
    for stranger in (bob, sam, AnonymousUser()):
        assert not Conversation.objects.for_user(stranger).exists()
        assert not Reply.objects.for_user(stranger).exists()


# The tree


def test_a_question_goes_on_from_the_leaf(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "Second question", "demo")
    end(reply, "Second answer")
    assert texts(conversation) == ["First question", "First answer", "Second question", "Second answer"]
    assert texts(conversation, last=3) == ["First answer", "Second question", "Second answer"]
    assert reply.message.parent
    assert reply.message.parent.text == "Second question"


def test_a_question_may_go_on_from_an_earlier_answer(conversation: Conversation) -> None:
    earlier = conversation.leaf_id
    end(asking.ask(conversation, "Second question", "demo"), "Second answer")
    end(asking.ask(conversation, "Another question", "demo", parent=earlier), "Another answer")
    assert texts(conversation) == ["First question", "First answer", "Another question", "Another answer"]
    assert conversation.messages.count() == 6


def test_a_retry_leaves_the_first_answer_as_it_was(conversation: Conversation) -> None:
    first = Reply.objects.get()
    end(asking.retry(first, "demo"), "Second try")
    assert texts(conversation) == ["First question", "Second try"]
    shown = conversation.branch(conversation.leaf_id, 10)[-1].siblings
    assert shown is not None
    assert (shown.position, shown.count, shown.previous, shown.next) == (2, 2, first.pk, None)
    conversation.show(first.message)
    assert texts(conversation) == ["First question", "First answer"]


def test_showing_an_answer_shows_its_newest_end(conversation: Conversation) -> None:
    first = Reply.objects.get()
    end(asking.ask(conversation, "Second question", "demo"), "Second answer")
    end(asking.retry(first, "demo"), "Second try")
    conversation.show(first.message)
    assert texts(conversation)[-1] == "Second answer"


def test_nothing_is_asked_while_the_reply_before_is_written(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "Second question", "demo")
    with pytest.raises(ReplyRunning):
        asking.ask(conversation, "Third question", "demo")
    with pytest.raises(ReplyRunning):
        asking.retry(reply, "demo")
    assert conversation.messages.count() == 4


def test_a_parent_elsewhere_or_of_the_wrong_role_is_none(conversation: Conversation, bob: User) -> None:
    elsewhere = asking.begin(bob, "Hello", "demo").pk
    question = conversation.messages.get(role=Message.Role.USER).pk
    for parent in (elsewhere, question):
        with pytest.raises(Message.DoesNotExist):
            asking.ask(conversation, "And?", "demo", parent)


def test_a_tree_that_bites_its_tail_does_not_hang(conversation: Conversation) -> None:
    root = conversation.messages.get(role=Message.Role.USER)
    Message.objects.filter(pk=root.pk).update(parent=conversation.leaf_id)
    assert len(texts(conversation)) <= 100


# Claims


def test_a_claim_raises_the_attempt_and_is_won_once(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    assert Reply.objects.claim(reply.pk, 0, "here")
    assert not Reply.objects.claim(reply.pk, 0, "there")
    reply.refresh_from_db()
    assert (reply.attempt, reply.process, reply.status) == (1, "here", "streaming")
    assert Reply.objects.claim(reply.pk, 1, "there")


@pytest.mark.django_db(transaction=True)
def test_of_many_who_claim_at_the_same_moment_one_wins(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")

    def claim(number: int) -> bool:
        try:
            return Reply.objects.claim(reply.pk, 0, f"worker {number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(claim, range(16))) == 1


LEASE = timedelta(seconds=6)


def test_a_claimed_reply_is_claimable_unless_its_process_is_alive(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    Reply.objects.claim(reply.pk, 0, "here")
    assert list(Reply.objects.claimable(LEASE)) == [reply], "a process without a row"
    ServerProcess.objects.renew("here", LEASE)
    assert not Reply.objects.claimable(LEASE).exists()
    ServerProcess.objects.update(lease=timezone.now() - timedelta(milliseconds=1))
    assert list(Reply.objects.claimable(LEASE)) == [reply]
    ServerProcess.objects.renew("here", LEASE)
    assert not Reply.objects.claimable(LEASE).exists()


def test_a_queued_reply_is_claimable_after_a_lease(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    assert not Reply.objects.claimable(LEASE).exists()
    Reply.objects.hand_over(LEASE + timedelta(milliseconds=1))
    assert list(Reply.objects.claimable(LEASE)) == [reply]


def test_rows_of_dead_processes_are_purged_later() -> None:
    ServerProcess.objects.renew("alive", LEASE)
    ServerProcess.objects.renew("asleep", -LEASE)
    ServerProcess.objects.renew("dead", -timedelta(days=1))
    ServerProcess.objects.purge()
    assert set(ServerProcess.objects.values_list("name", flat=True)) == {"alive", "asleep"}


def test_an_end_counts_for_the_attempt_that_owns_the_reply_and_once(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    Reply.objects.claim(reply.pk, 0, "here")
    assert not end(reply, "too late", attempt=0)
    assert end(reply, "Just so.", attempt=1)
    assert not end(reply, "Again", "stopped", attempt=1)
    reply.refresh_from_db()
    assert (reply.status, reply.message.text) == ("complete", "Just so.")


@pytest.mark.parametrize(
    ("status", "reason", "text", "can"),
    [
        ("interrupted", "", "so far", True),
        ("stopped", "", "so far", True),
        ("failed", "", "so far", True),
        ("failed", "", "", False),
        ("complete", "length", "so far", True),
        ("complete", "stop", "all", False),
    ],
)
def test_a_reply_that_broke_off_can_be_resumed_once(
    conversation: Conversation, status: str, reason: str, text: str, can: bool
) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    end(reply, text, status, finish_reason=reason, error_code="cut_off", usage={"total_tokens": 1})
    assert bool(asking.resume(reply, "demo")) == can
    assert not asking.resume(reply, "demo")
    reply.refresh_from_db()
    assert reply.is_running == can
    assert reply.message.text == text
    if can:
        assert (reply.error_code, reply.usage, reply.ended) == ("", None, None)


def test_the_time_of_thinking(conversation: Conversation) -> None:
    now = timezone.now()
    reply = Reply(started=now, answered=now + timedelta(seconds=4), reasoning="hm")
    assert reply.thought_for == timedelta(seconds=4)
    reply.reasoning = ""
    assert reply.thought_for is None


# The ledger


def test_the_ledger_outlives_the_conversation_and_the_person(conversation: Conversation, alice: User) -> None:
    end(asking.ask(conversation, "And?", "demo"), usage={"prompt_tokens": 3, "completion_tokens": 4})
    alice.delete()
    assert not Reply.objects.exists()
    counts = LedgerEntry.objects.order_by("asked").values_list("model", "input_tokens", "output_tokens")
    assert list(counts) == [("demo", None, None), ("demo", 3, 4)]


def test_each_request_to_a_model_has_its_own_entry(conversation: Conversation, alice: User) -> None:
    reply = asking.retry(Reply.objects.select_related("message__conversation").get(), "demo")
    end(reply, "so far", "stopped", usage={"prompt_tokens": 1, "completion_tokens": 2})
    resumed = asking.resume(reply, "demo")
    assert resumed
    end(resumed, "so far and on", usage={"prompt_tokens": 5, "completion_tokens": 6})
    entries = LedgerEntry.objects.filter(reply_id=reply.pk, person=alice).order_by("asked")
    assert list(entries.values_list("input_tokens", "output_tokens")) == [(1, 2), (5, 6)]
