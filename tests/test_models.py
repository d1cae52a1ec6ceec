"""Rows: who may see them, and which process and attempt a reply belongs to."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.utils import timezone

from chat import asking, trash
from chat.models import Conversation, LedgerEntry, QueuedQuestion, Reply, ServerProcess, User, title_of
from tests.endings import end
from tests.test_tree import plan_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def conversation(alice: User) -> Conversation:
    """One question and its answer."""
    reply = asking.begin(alice, "First question", "demo")
    conversation = reply.message.conversation
    end(reply, "First answer")
    return conversation


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


def test_lists_of_conversations_are_found_by_an_index(alice: User) -> None:
    own, now = Conversation.objects.for_user(alice), timezone.now()
    for before in (None, (True, now, UUID(int=0)), (False, now, UUID(int=0))):
        assert "conversation_history" in plan_of(own.listed(before)[:40])
    assert "conversation_archive" in plan_of(own.filter(archived=True).order_by("-updated", "-pk")[:40])
    in_trash = plan_of(Conversation.objects.trash_of(alice))
    # PostgreSQL takes either where there is nothing to choose from.
    assert "conversation_trash" in in_trash or "conversation_purge" in in_trash
    assert "conversation_purge" in plan_of(trash.expired().values("pk"))


def test_running_replies_are_found_by_an_index(alice: User) -> None:
    every = Reply.objects
    for running in (every.running(), every.for_user(alice).running(), every.claimed_by("a"), every.claimable(LEASE)):
        plan = plan_of(running.values("pk"))
        # For one person, PostgreSQL may begin with the conversations, of which there are none.
        begins_with_conversations = "Index Scan" in plan and "chat_conversation" in plan and "Seq Scan" not in plan
        assert "reply_ended" in plan or "reply_running" in plan or begins_with_conversations


def test_questions_that_are_due_are_found_without_a_look_at_all_replies() -> None:
    plan = plan_of(Reply.objects.filter(pk__in=QueuedQuestion.objects.answers_due()))
    scanned = [line for line in plan.splitlines() if " SCAN " in line or "Seq Scan on chat_reply" in line]
    assert all("queuedquestion" in line for line in scanned)


# Claims


def test_a_claim_raises_the_attempt_and_is_won_once(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    assert Reply.objects.claim(reply.pk, 0, "here")
    assert not Reply.objects.claim(reply.pk, 0, "there")
    reply.refresh_from_db()
    assert (reply.attempt, reply.process, reply.status) == (1, "here", "streaming")
    assert Reply.objects.claim(reply.pk, 1, "there")


@pytest.mark.django_db(transaction=True)
def test_one_of_many_simultaneous_claims_wins(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")

    def claim(number: int) -> bool:
        try:
            return Reply.objects.claim(reply.pk, 0, f"worker {number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(claim, range(16))) == 1


LEASE = timedelta(seconds=6)


def test_claimed_replies_of_dead_processes_are_claimable(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    Reply.objects.claim(reply.pk, 0, "here")
    assert list(Reply.objects.claimable(LEASE)) == [reply], "a process without a row"
    ServerProcess.objects.renew("here", LEASE)
    assert not Reply.objects.claimable(LEASE).exists()
    ServerProcess.objects.update(lease=timezone.now() - timedelta(milliseconds=1))
    assert list(Reply.objects.claimable(LEASE)) == [reply]
    ServerProcess.objects.renew("here", LEASE)
    assert not Reply.objects.claimable(LEASE).exists()


def test_a_reply_queued_for_a_lease_is_claimable(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    assert not Reply.objects.claimable(LEASE).exists()
    Reply.objects.update(queued=timezone.now() - LEASE - timedelta(milliseconds=1))
    assert list(Reply.objects.claimable(LEASE)) == [reply]


def test_a_handed_over_queued_reply_is_claimable(conversation: Conversation, alice: User) -> None:
    """What runs keeps its process, and what was not handed over waits for its own."""
    handed = asking.ask(conversation, "And?", "demo")
    kept, running = (asking.begin(alice, "Hello?", "demo") for _ in range(2))
    ServerProcess.objects.renew("here", LEASE)
    Reply.objects.claim(running.pk, 0, "here")
    Reply.objects.filter(pk__in=[handed.pk, running.pk]).hand_over(LEASE)
    # A queued reply must be older than a lease, by however little.
    claimable = Reply.objects.claimable(LEASE - timedelta(milliseconds=1))
    assert list(claimable) == [handed]
    kept.refresh_from_db()
    assert (kept.status, kept.attempt) == ("queued", 0)


def test_rows_of_processes_that_died_long_ago_are_purged() -> None:
    ServerProcess.objects.renew("alive", LEASE)
    ServerProcess.objects.renew("asleep", -LEASE)
    ServerProcess.objects.renew("dead", -timedelta(days=1))
    ServerProcess.objects.purge()
    assert set(ServerProcess.objects.values_list("name", flat=True)) == {"alive", "asleep"}


def test_only_the_current_attempt_ends_a_reply_and_once(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    Reply.objects.claim(reply.pk, 0, "here")
    assert not end(reply, "too late", attempt=0)
    assert end(reply, "Just so.", attempt=1)
    assert not end(reply, "Again", "stopped", attempt=1)
    reply.refresh_from_db()
    assert (reply.status, reply.message.text) == ("complete", "Just so.")


def test_a_model_thinks_from_its_first_piece_to_its_answer() -> None:
    now = timezone.now()
    reply = Reply(started=now, answered=now + timedelta(seconds=4), reasoning="hm")
    assert reply.thought_for == timedelta(seconds=4)
    reply.reasoning = ""
    assert reply.thought_for is None


# The ledger


def test_the_ledger_outlives_conversations_and_people(conversation: Conversation, alice: User) -> None:
    end(asking.ask(conversation, "And?", "demo"), usage={"prompt_tokens": 3, "completion_tokens": 4})
    alice.delete()
    assert not Reply.objects.exists()
    counts = LedgerEntry.objects.order_by("asked").values_list("model", "input_tokens", "output_tokens")
    assert list(counts) == [("demo", None, None), ("demo", 3, 4)]
