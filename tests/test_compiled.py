"""Statements that Django compiles once do what its own do, with whatever values."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection
from django.db.models import F, QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat import asking
from chat.compiled import Update, compiled, compiled_update, insert
from chat.models import Conversation, LedgerEntry, Message, Reply, Searchable, User

pytestmark = pytest.mark.django_db

# What would end a statement, or be a place in one.
HOSTILE = "'; DROP TABLE chat_message; -- %s %(text)s %% \\ \" $1 ?"


@pytest.fixture
def reply(alice: User) -> Reply:
    return asking.begin(alice, "Hello", "demo")


def test_rows_are_those_of_the_queryset(reply: Reply) -> None:
    def found(pk: UUID, until: datetime) -> QuerySet[Reply]:
        return Reply.objects.filter(pk=pk, asked__lte=until)

    now = timezone.now()
    [row] = compiled(found)(reply.pk, now)
    [same] = found(reply.pk, now)
    fields = [field.attname for field in Reply._meta.concrete_fields]
    assert [getattr(row, field) for field in fields] == [getattr(same, field) for field in fields]
    assert row == same
    assert not row._state.adding
    assert compiled(found)(reply.pk, now - timedelta(days=1)) == []


def test_rows_can_be_tuples(reply: Reply) -> None:
    def found(pk: UUID) -> QuerySet[Reply, tuple[Any, ...]]:
        fields = ("pk", "asked", "more_shown", "error_params", "usage", "message__conversation__owner__username")
        return Reply.objects.filter(pk=pk).values_list(*fields)

    assert compiled(found)(reply.pk) == list(found(reply.pk)) == [(reply.pk, reply.asked, False, {}, None, "alice")]


def test_some_columns_of_an_object_can_be_left_out(reply: Reply) -> None:
    [row] = compiled(lambda pk: Reply.objects.filter(pk=pk).only("model"))(reply.pk)
    assert row.get_deferred_fields() == {field.attname for field in Reply._meta.concrete_fields} - {
        "message_id",
        "model",
    }
    assert row.model == "demo"


def test_the_function_is_called_once() -> None:
    calls = []

    @compiled
    def named(name: str) -> QuerySet[User]:
        calls.append(name)
        return User.objects.filter(username=name)

    people = [User.objects.create(username=name) for name in ("carol", "dave")]
    assert [named(name) for name in ("carol", "dave", "erin")] == [[people[0]], [people[1]], []]
    assert len(calls) == 1


def test_no_row_is_found_by_nothing(reply: Reply) -> None:
    found = compiled(lambda title: Conversation.objects.filter(title=title))
    with pytest.raises(ValueError, match="another query"):
        found(None)


@pytest.mark.parametrize("value", [HOSTILE, "", "Straße 京都", "%", "\U0001f600"])
def test_values_stay_values(reply: Reply, value: str) -> None:
    set_text = compiled_update(lambda pk, text: (Message.objects.filter(pk=pk), {"text": text}))
    with_text = compiled(lambda text: Message.objects.filter(text=text).values_list("text"))
    assert set_text(reply.pk, value) == 1
    assert with_text(value) == [(value,)]
    question = Message(conversation=reply.message.conversation, role=Message.Role.USER, text=value)
    insert([question])
    assert Message.objects.get(pk=question.pk).text == value


def test_an_update_sets_values_of_all_types(reply: Reply) -> None:
    @compiled_update
    def end(pk: UUID, *values: Any) -> Update:
        fields = ("ended", "usage", "error_params", "temperature", "ledger_entry", "more_shown", "finish_reason")
        changed = {**dict(zip(fields, values, strict=True)), "attempt": F("attempt") + 1}
        return Reply.objects.running().filter(pk=pk), changed

    now, usage = timezone.now(), {"prompt_tokens": 3, "details": ["ü", None]}
    assert end(uuid4(), now, usage, {"most": 1}, 0.5, None, True, HOSTILE) == 0
    assert end(reply.pk, now, usage, {"most": 1}, 0.5, None, True, HOSTILE) == 1
    assert end(reply.pk, now, usage, {"most": 1}, 0.5, None, True, HOSTILE) == 0, "it no longer runs"
    reply.refresh_from_db()
    assert Reply.objects.filter(ended=now).exists(), "it compares with what Django stores"
    assert (reply.ended, reply.usage, reply.error_params) == (now, usage, {"most": 1})
    assert (reply.temperature, reply.ledger_entry_id, reply.more_shown) == (0.5, None, True)
    assert (reply.attempt, reply.finish_reason) == (1, HOSTILE)


def test_nothing_is_stored_as_null(reply: Reply) -> None:
    Reply.objects.filter(pk=reply.pk).update(usage={"prompt_tokens": 1})
    set_usage = compiled_update(lambda pk, usage: (Reply.objects.filter(pk=pk), {"usage": usage}))
    assert set_usage(reply.pk, None) == 1
    assert Reply.objects.filter(pk=reply.pk, usage__isnull=True).exists()


def test_what_is_inserted_is_what_django_would_insert(alice: User) -> None:
    def rows() -> list[Conversation]:
        return [Conversation(owner=alice, title=f"{number} {HOSTILE}", model="demo") for number in range(2)]

    ours, same = rows(), rows()
    with CaptureQueriesContext(connection) as captured:
        insert(ours)
    assert len(captured) == 1
    Conversation.objects.bulk_create(same)
    each = {"id", "created", "updated", "seen"}
    fields = [field.attname for field in Conversation._meta.concrete_fields if field.attname not in each]
    stored = [Conversation.objects.filter(pk__in=[row.pk for row in some]).order_by("title") for some in (ours, same)]
    assert list(stored[0].values(*fields)) == list(stored[1].values(*fields))
    # The objects are as those in the database.
    for row, found in zip(ours, stored[0], strict=True):
        assert row == found
        assert [getattr(row, field) for field in fields] == [getattr(found, field) for field in fields]
        row.title = "Changed"
        row.save()
    assert stored[0].filter(title="Changed", version=0).count() == 2


def test_what_the_database_computes_is_read_when_it_is_needed(alice: User, reply: Reply) -> None:
    entry = LedgerEntry.objects.create(person=alice, reply_id=uuid4(), model="demo")
    answer = Message.objects.create(conversation=reply.message.conversation, role=Message.Role.ASSISTANT)
    again = Reply(message=answer, model="demo", ledger_entry=entry)
    insert([again])
    assert again.get_deferred_fields() == {"queued"}
    assert abs(timezone.now() - again.queued) < timedelta(minutes=1)


def test_a_key_that_is_there_already_is_refused(reply: Reply) -> None:
    with pytest.raises(IntegrityError):
        insert([Message(pk=reply.pk, conversation=reply.message.conversation, role=Message.Role.USER)])


def test_only_the_named_columns_are_replaced(reply: Reply) -> None:
    conversation = reply.message.conversation
    first = Searchable(id=7, owner=conversation.owner, conversation=conversation, words="one")
    second = Searchable(id=7, owner=conversation.owner, conversation=conversation, message=reply.message, words="two")
    insert([first])
    insert([second, Searchable(id=8, owner=conversation.owner, conversation=conversation)], replacing=["words"])
    rows = Searchable.objects.filter(pk__in=[7, 8]).order_by("pk")
    assert [(row.message_id, row.words) for row in rows] == [(None, "two"), (None, "")]


def test_nothing_is_inserted_without_rows() -> None:
    insert([])
