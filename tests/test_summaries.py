"""What the messages of a conversation sum up to, whatever people and models do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import import_module
from random import Random
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from chat import asking, trash
from chat.database import retry_on_deadlock
from chat.models import Comparison, Conversation, Message, Reply, User
from chat.models.summaries import SETS_OF_STATUSES, ending
from tests.conversations import conversation_of
from tests.endings import end

pytestmark = pytest.mark.django_db

MODELS = ["large-1", "small, 2", "_%"]
ERRORS = ["busy", "cut_off", "too_large"]
REFUSED = (
    asking.AnswerNotChosen,
    asking.QuestionsQueued,
    asking.ReplyRunning,
    Conversation.DoesNotExist,
    IndexError,
)


def summaries() -> dict[str, list[object]]:
    rows = Conversation.objects.values_list("pk", *Conversation.SUMMED)
    return {str(pk): summary for pk, *summary in rows}


def added_up() -> dict[str, list[object]]:
    """What the messages sum up to, from the beginning."""
    found = {}
    for conversation in Conversation.objects.all():
        conversation.add_up()
        found[str(conversation.pk)] = [getattr(conversation, field) for field in Conversation.SUMMED]
    return found


class People:
    """One of them does something at random."""

    def __init__(self, person: User, seed: int) -> None:
        self.person = person
        self.dice = Random(seed)  # noqa: S311 (no secret)

    def some[T](self, *things: T) -> T:
        return self.dice.choice(things)

    @property
    def conversation(self) -> Conversation:
        conversations: list[Conversation] = list(Conversation.objects.for_user(self.person).order_by("pk"))
        return self.some(*conversations)

    def reply(self, *statuses: str) -> Reply:
        replies = Reply.objects.for_user(self.person).filter(status__in=statuses).order_by("pk")
        found: list[Reply] = list(replies.select_related("message__conversation"))
        return self.some(*found)

    @property
    def model(self) -> str:
        return self.some(*MODELS)

    def begin(self) -> None:
        asking.begin(self.person, "First?", self.model)

    def ask(self) -> None:
        asking.ask(self.conversation, "Next?", self.model)

    def edit(self) -> None:
        question = self.reply("complete", "failed").message.parent
        assert question
        asking.edit(question, "In other words?", self.model)

    def retry(self) -> None:
        asking.retry(self.reply("complete", "stopped", "failed"), self.model)

    def compare(self) -> None:
        asking.compare(partial(asking.ask, self.conversation, "Which?", self.model), self.model)

    def choose(self) -> None:
        comparison = self.some(*Comparison.objects.filter(question__conversation__trashed=None).order_by("pk"))
        comparison.question.conversation.show(self.some(comparison.first, comparison.second))

    def show(self) -> None:
        reply = self.reply("complete", "failed")
        reply.message.conversation.show(reply.message)

    def finish(self) -> None:
        usage = self.some(None, {"prompt_tokens": 10, "completion_tokens": self.dice.randrange(100)}, {"other": 5})
        status = self.some("complete", "complete", "stopped", "interrupted", "failed")
        error: dict[str, Any] = {"error_code": self.some(*ERRORS)} if status in ("interrupted", "failed") else {}
        reply = self.reply("queued")
        assert end(reply, self.some("Text.", ""), status, usage=usage, **error)
        # A commit whose answer got lost is repeated.
        end(reply, "Twice.", status, usage=usage, **error)

    def resume(self) -> None:
        asking.resume(self.reply("stopped", "interrupted", "failed"), self.model)

    def judge(self) -> None:
        self.reply("complete", "stopped").judge(self.some("good", "bad", ""), "Because.")

    def throw_away(self) -> None:
        trash.put(self.person, [self.conversation.pk])

    def restore(self) -> None:
        trash.restore(self.person, Q(trashed__isnull=False))

    def erase(self) -> None:
        trash.erase_some(Conversation.objects.trash_of(self.person))


@pytest.mark.parametrize("seed", range(4))
def test_a_summary_stays_that_of_its_messages(alice: User, settings: Settings, seed: int) -> None:
    settings.CHAT_PERSON_QUESTIONS = settings.CHAT_PERSON_RUNNING = 1000
    people = People(alice, seed)
    often: list[Callable[[], None]] = [people.ask, people.finish, people.finish, people.finish, people.retry]
    others = [people.edit, people.compare, people.choose, people.show, people.resume, people.judge]
    rare = [people.begin, people.throw_away, people.restore, people.erase]
    people.begin()
    for _ in range(120):
        with suppress(*REFUSED):
            people.some(*often * 2, *others * 2, *rare)()
    assert summaries() == added_up()
    assert len({tuple(summary) for summary in summaries().values()}) > 1


@pytest.mark.django_db(transaction=True)
def test_replies_that_end_at_the_same_time_are_both_added_up(alice: User) -> None:
    first = asking.compare(partial(asking.begin, alice, "First?", "large-1"), "small, 2")
    together = Barrier(2)

    def finish(reply: Reply) -> None:
        together.wait()
        try:
            assert retry_on_deadlock(end)(reply, "So be it.", usage={"prompt_tokens": 1})
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(finish, first))
    assert summaries() == added_up()
    assert Conversation.objects.get().tokens == 2


def test_a_summary_says_what_has_happened(alice: User) -> None:
    reply = asking.begin(alice, "First?", "large-1")
    conversation = reply.message.conversation
    end(reply, "So", "interrupted", error_code="cut_off", usage={"prompt_tokens": 3, "completion_tokens": 4})
    end(asking.retry(reply, "small, 2"), "So be it.", usage={"prompt_tokens": 3, "completion_tokens": 9})
    reply.refresh_from_db()
    reply.judge("bad", "")
    conversation.refresh_from_db()
    assert (conversation.message_count, conversation.tokens, conversation.bad, conversation.good) == (3, 19, 1, 0)
    assert (conversation.statuses, conversation.worst_status) == ("interrupted complete", "interrupted")
    assert (conversation.models_used, conversation.errors) == ("\nlarge-1\nsmall, 2\n", "\ncut_off\n")


def test_a_status_is_found_in_each_set_that_has_it() -> None:
    assert len(SETS_OF_STATUSES) == 15
    assert "failed interrupted stopped complete" in ending("stopped")
    assert ending("interrupted") != ending("stopped")
    assert max(map(len, SETS_OF_STATUSES)) <= 40


def test_a_question_costs_no_statement_for_the_summary(alice: User) -> None:
    conversation = conversation_of(alice, ["Question", "Answer"])
    with CaptureQueriesContext(connection) as queries:
        asking.ask(conversation, "Next?", "demo")
    counting = [query["sql"] for query in queries if "message_count" in query["sql"]]
    assert [sql for sql in counting if not sql.startswith(("SELECT", "UPDATE"))] == []
    assert len([sql for sql in counting if sql.startswith("UPDATE")]) == 1


def test_the_migration_adds_up_what_there_is(alice: User) -> None:
    end(asking.begin(alice, "First?", "large-1"), "A.", usage={"prompt_tokens": 3, "completion_tokens": 4})
    failed = asking.begin(alice, "Second?", "small, 2")
    end(failed, status="failed", error_code="busy")
    failed.refresh_from_db()
    failed.judge("good", "")
    asking.begin(alice, "Third?", "demo")
    before = summaries()
    empty = {"message_count": 0, "tokens": 0, "statuses": "", "models_used": "", "errors": "", "good": 0, "bad": 0}
    Conversation.objects.update(**empty)
    assert summaries() != before
    import_module("chat.migrations.0018_summaries").fill(apps, SimpleNamespace(connection=connection))
    assert summaries() == before
    assert Message.objects.count() == 6


def test_the_command_puts_wrong_sums_right(alice: User, capsys: pytest.CaptureFixture[str]) -> None:
    """As those are after an upgrade in which an older process has written messages."""
    for question in ("First?", "Second?"):
        end(asking.begin(alice, question, "large-1"), "A.", usage={"prompt_tokens": 3, "completion_tokens": 4})
    before = summaries()
    wrong = Conversation.objects.earliest("pk")
    Conversation.objects.filter(pk=wrong.pk).update(message_count=7, statuses="", models_used="")
    call_command("add_up")
    assert summaries() == before
    assert capsys.readouterr().out == "1 of 2 conversations had other sums than their messages.\n"
