"""The ways to ask for a reply: what each stores, and whom it refuses."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from chat import asking
from chat.asking import AnswerNotChosen, ConversationChanged, ReplyRunning
from chat.limits import PERIOD, RUNNING_RETRY, OverLimit
from chat.models import Comparison, Conversation, LedgerEntry, Message, Reply, User
from tests.endings import end

pytestmark = pytest.mark.django_db


@pytest.fixture
def first(alice: User) -> Reply:
    """The complete reply to the first question of a conversation."""
    reply = asking.begin(alice, "First question", "demo")
    end(reply, "First answer")
    return reply


@pytest.fixture
def conversation(first: Reply) -> Conversation:
    return first.message.conversation


def texts(conversation: Conversation, last: int = 100) -> list[str]:
    conversation.refresh_from_db()
    return [message.text for message in conversation.branch(conversation.leaf_id, last)]


# Ask


def test_a_question_follows_the_leaf(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "Second question", "demo")
    end(reply, "Second answer")
    assert texts(conversation) == ["First question", "First answer", "Second question", "Second answer"]
    assert texts(conversation, last=3) == ["First answer", "Second question", "Second answer"]
    assert reply.message.parent
    assert reply.message.parent.text == "Second question"


def test_questions_take_few_statements_and_none_twice(
    alice: User, conversation: Conversation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    asks: list[tuple[Callable[[], Reply], int]] = [
        (partial(asking.begin, alice, "Another", "demo"), 12),
        (partial(asking.ask, conversation, "And?", "demo"), 17),
    ]
    for ask, count in asks:
        with django_assert_num_queries(count) as captured:
            ask()
        statements = [query["sql"] for query in captured.captured_queries]
        assert len(set(statements)) == count


def test_a_conversation_without_messages_can_be_asked_in(alice: User) -> None:
    empty = Conversation.objects.create(owner=alice, title="Empty", model="demo")
    assert asking.ask(empty, "Hello", "demo").message.parent_id == empty.messages.get(parent=None).pk


def test_a_question_may_follow_an_earlier_answer(first: Reply, conversation: Conversation) -> None:
    end(asking.ask(conversation, "Second question", "demo"), "Second answer")
    end(asking.ask(conversation, "Another question", "demo", parent=first.pk), "Another answer")
    assert texts(conversation) == ["First question", "First answer", "Another question", "Another answer"]
    assert conversation.messages.count() == 6


def test_a_question_follows_only_answers_of_its_conversation(conversation: Conversation, bob: User) -> None:
    elsewhere = asking.begin(bob, "Hello", "demo").pk
    question = conversation.messages.get(role=Message.Role.USER).pk
    for parent in (elsewhere, question):
        with pytest.raises(Message.DoesNotExist):
            asking.ask(conversation, "And?", "demo", parent)


def test_nothing_is_asked_while_the_reply_before_runs(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "Second question", "demo")
    with pytest.raises(ReplyRunning):
        asking.ask(conversation, "Third question", "demo")
    with pytest.raises(ReplyRunning):
        asking.retry(reply, "demo")
    assert conversation.messages.count() == 4


def test_a_person_is_known_by_the_model_that_they_asked_last(
    first: Reply, conversation: Conversation, alice: User
) -> None:
    end(asking.ask(conversation, "And?", "large"), "More")
    alice.refresh_from_db()
    assert alice.model == "large"
    asking.retry(first, "small")
    alice.refresh_from_db()
    assert alice.model == "large", "another try is about one answer"
    conversation.refresh_from_db()
    assert conversation.model == "small"


def test_a_question_is_refused_after_what_a_person_has_not_seen(first: Reply, conversation: Conversation) -> None:
    newer = asking.ask(conversation, "And?", "demo", seen=first.pk)
    end(newer, "More")
    with pytest.raises(ConversationChanged):
        asking.ask(conversation, "And then?", "demo", seen=first.pk)
    assert conversation.messages.count() == 4
    asking.ask(conversation, "And then?", "demo", seen=newer.pk)


# Compare


def test_two_models_are_asked_until_one_answer_is_chosen(first: Reply, conversation: Conversation) -> None:
    one, two = asking.compare(lambda: asking.ask(conversation, "And?", "small"), "large")
    conversation.refresh_from_db()
    assert (one.model, two.model, conversation.model) == ("small", "large", "small")
    assert one.message.parent_id == two.message.parent_id == conversation.leaf_id
    assert conversation.compared() == [one.message, two.message]
    with pytest.raises(AnswerNotChosen):
        asking.ask(conversation, "And then?", "small")
    conversation.show(two.message)
    end(one, "One")
    end(two, "Two")
    asking.ask(conversation, "And then?", "small")
    assert texts(conversation) == ["First question", "First answer", "And?", "Two", "And then?", ""]


@pytest.fixture
def two(conversation: Conversation) -> list[Reply]:
    """Two answers at the end of the conversation, of which none is chosen."""
    return asking.compare(lambda: asking.ask(conversation, "Which?", "small"), "large")


def test_two_answers_still_offer_a_choice_after_another_branch(
    two: list[Reply], first: Reply, conversation: Conversation
) -> None:
    question = conversation.branch(first.pk, 10)[0]
    end(asking.edit(question, "Another wording", "small"), "Another answer")
    conversation.show(question)
    assert conversation.leaf_id == two[0].message.parent_id
    assert conversation.compared() == [reply.message for reply in two]


@pytest.mark.parametrize("index", [0, 1])
def test_another_try_takes_the_place_of_one_of_two_answers(
    two: list[Reply], conversation: Conversation, index: int
) -> None:
    end(two[index], "", "failed")
    again = asking.retry(two[index], two[index].model)
    messages = [reply.message for reply in two]
    messages[index] = again.message
    conversation.refresh_from_db()
    assert conversation.compared() == messages
    with pytest.raises(ReplyRunning):
        asking.retry(again, again.model)


def test_asking_after_one_of_two_answers_chooses_it(two: list[Reply], conversation: Conversation) -> None:
    end(two[0], "One")
    end(asking.ask(conversation, "And?", "small", two[0].pk), "More")
    assert texts(conversation) == ["First question", "First answer", "Which?", "One", "And?", "More"]
    assert not Comparison.objects.exists()


def test_a_chosen_answer_brings_its_model(two: list[Reply], conversation: Conversation) -> None:
    conversation.show(two[1].message)
    conversation.refresh_from_db()
    assert (conversation.leaf_id, conversation.model) == (two[1].pk, "large")
    assert not Comparison.objects.exists()
    # Without a choice there is none.
    conversation.show(two[0].message)
    conversation.refresh_from_db()
    assert (conversation.leaf_id, conversation.model) == (two[0].pk, "large")


@pytest.mark.parametrize("limit", ["CHAT_PERSON_RUNNING", "CHAT_PERSON_QUESTIONS"])
def test_both_answers_count(conversation: Conversation, settings: Settings, limit: str) -> None:
    LedgerEntry.objects.update(asked=timezone.now() - PERIOD)
    setattr(settings, limit, 1)
    # There is room for one reply: neither runs, and one could be asked.
    with pytest.raises(OverLimit, match="no_room_to_compare"):
        asking.compare(lambda: asking.ask(conversation, "And?", "small"), "large")
    assert conversation.messages.count() == 2
    assert not Reply.objects.running().exists()


# Edit


@pytest.mark.parametrize("index", [0, 2], ids=["the first", "the second"])
def test_another_wording_is_a_sibling_of_the_question(conversation: Conversation, index: int) -> None:
    end(asking.ask(conversation, "Second question", "demo"), "Second answer")
    before = texts(conversation)
    question = conversation.branch(conversation.leaf_id, 10)[index]
    end(asking.edit(question, "Another wording", "large"), "Another answer")
    assert texts(conversation) == [*before[:index], "Another wording", "Another answer"]
    edited = conversation.branch(conversation.leaf_id, 10)[index]
    assert edited.siblings
    assert (edited.siblings.position, edited.siblings.count, edited.siblings.previous) == (2, 2, question.pk)
    conversation.show(question)
    assert texts(conversation) == before


def test_a_question_is_edited_while_its_reply_runs(conversation: Conversation) -> None:
    running = asking.ask(conversation, "Second question", "demo")
    assert running.message.parent
    asking.edit(running.message.parent, "Another wording", "demo")
    assert set(Reply.objects.running()) >= {running}
    assert Reply.objects.running().count() == 2


# Retry


def test_a_retry_keeps_the_first_answer(first: Reply, conversation: Conversation) -> None:
    end(asking.retry(first, "demo"), "Second answer")
    assert texts(conversation) == ["First question", "Second answer"]
    shown = conversation.branch(conversation.leaf_id, 10)[-1].siblings
    assert shown is not None
    assert (shown.position, shown.count, shown.previous, shown.next) == (2, 2, first.pk, None)
    conversation.show(first.message)
    assert texts(conversation) == ["First question", "First answer"]


def test_showing_an_answer_shows_its_newest_leaf(first: Reply, conversation: Conversation) -> None:
    end(asking.ask(conversation, "Second question", "demo"), "Second answer")
    end(asking.retry(first, "demo"), "Another first answer")
    conversation.show(first.message)
    assert texts(conversation)[-1] == "Second answer"


# Resume


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
def test_a_reply_that_broke_off_is_resumed_once(
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


def test_a_reply_that_grew_too_large_is_not_resumed(conversation: Conversation) -> None:
    reply = asking.ask(conversation, "And?", "demo")
    end(reply, "so far", "interrupted", error_code="too_large")
    assert asking.resume(reply, "demo") is None


def test_only_the_leaf_is_resumed(conversation: Conversation) -> None:
    broken = asking.ask(conversation, "And?", "demo")
    end(broken, "so far", "interrupted")
    end(asking.ask(conversation, "And then?", "demo"), "More")
    assert asking.resume(broken, "demo") is None


# Limits


@pytest.fixture
def broken(conversation: Conversation) -> Reply:
    """A reply that can be retried and resumed."""
    reply = asking.ask(conversation, "And?", "demo")
    end(reply, "so far", "interrupted")
    return reply


type AskAgain = Callable[[Reply, str], Any]

ASK_AGAIN = pytest.mark.parametrize("ask_again", [asking.retry, asking.resume])


@ASK_AGAIN
def test_asking_again_counts_as_running(broken: Reply, alice: User, settings: Settings, ask_again: AskAgain) -> None:
    settings.CHAT_PERSON_RUNNING = 1
    asking.begin(alice, "Hello", "demo")
    with pytest.raises(OverLimit) as refused:
        ask_again(broken, "demo")
    assert (refused.value.code, refused.value.retry_after) == ("too_many_running", RUNNING_RETRY)
    assert refused.value.params == {"most": 1}
    nothing_was_stored(broken)


@ASK_AGAIN
def test_asking_again_counts_as_a_question(broken: Reply, settings: Settings, ask_again: AskAgain) -> None:
    settings.CHAT_PERSON_QUESTIONS = 2
    with pytest.raises(OverLimit) as refused:
        ask_again(broken, "demo")
    assert refused.value.code == "too_many_questions"
    assert 0 < refused.value.retry_after == refused.value.params["wait"] <= PERIOD.total_seconds()
    nothing_was_stored(broken)
    LedgerEntry.objects.update(asked=timezone.now() - PERIOD)
    assert ask_again(broken, "demo").is_running


def nothing_was_stored(broken: Reply) -> None:
    broken.refresh_from_db()
    assert broken.status == "interrupted"
    assert Reply.objects.filter(message__conversation=broken.message.conversation).count() == 2


@ASK_AGAIN
def test_staff_ask_again_without_limits(broken: Reply, alice: User, settings: Settings, ask_again: AskAgain) -> None:
    settings.CHAT_PERSON_RUNNING = settings.CHAT_PERSON_QUESTIONS = 1
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    asking.begin(alice, "Hello", "demo")
    assert ask_again(broken, "demo").is_running


# The ledger


def test_each_request_to_a_model_has_an_entry(first: Reply, alice: User) -> None:
    reply = asking.retry(first, "demo")
    end(reply, "so far", "stopped", usage={"prompt_tokens": 1, "completion_tokens": 2})
    resumed = asking.resume(reply, "demo")
    assert resumed
    end(resumed, "so far and on", usage={"prompt_tokens": 5, "completion_tokens": 6})
    entries = LedgerEntry.objects.filter(reply_id=reply.pk, person=alice).order_by("asked")
    assert list(entries.values_list("input_tokens", "output_tokens")) == [(1, 2), (5, 6)]
