"""The tree of a conversation's messages, and what reading and deleting it costs."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from chat import asking
from chat.generation import PROMPT_MESSAGES
from chat.models import Conversation, LedgerEntry, Message, MessageHtml, Reply, Searchable, User, tree
from tests.conversations import conversation_of

pytestmark = pytest.mark.django_db


def below(parent: Message, text: str, role: str = Message.Role.USER) -> Message:
    return parent.conversation.messages.create(parent=parent, role=role, text=text)


class Forked:
    """A question with two answers; the first answer has two questions after it, of which the first is answered.

    q ─┬─ a ─┬─ b ─── c
       │     └─ d
       └─ e
    """

    def __init__(self, person: User) -> None:
        conversation = conversation_of(person, ["q", "aa", "bbb", "cccc"])
        self.q, self.a, self.b, self.c = conversation.messages.order_by("created")
        self.d = below(self.a, "d")
        self.e = below(self.q, "e", Message.Role.ASSISTANT)


@pytest.fixture
def forked(alice: User) -> Forked:
    return Forked(alice)


def test_a_path_leads_from_a_message_to_the_root(forked: Forked) -> None:
    assert tree.path(forked.c.pk, 10) == [forked.c.pk, forked.b.pk, forked.a.pk, forked.q.pk]
    assert tree.path(forked.d.pk, 10) == [forked.d.pk, forked.a.pk, forked.q.pk]
    assert tree.path(forked.c.pk, 2) == [forked.c.pk, forked.b.pk]
    assert tree.path(tree.NO_MESSAGE, 10) == []


def test_a_path_ends_at_a_message_on_the_way(forked: Forked) -> None:
    assert tree.path(forked.c.pk, 10, forked.a.pk) == [forked.c.pk, forked.b.pk, forked.a.pk]
    assert tree.path(forked.c.pk, 10, forked.c.pk) == [forked.c.pk]
    assert tree.path(forked.c.pk, 10, forked.e.pk) == tree.path(forked.c.pk, 10)
    assert tree.path(forked.c.pk, 2, forked.a.pk) == [forked.c.pk, forked.b.pk]


@pytest.mark.parametrize(
    ("chars", "last", "kept"),
    [
        (10, 10, ["q", "aa", "bbb", "cccc"]),
        (9, 10, ["aa", "bbb", "cccc"]),
        (8, 10, ["bbb", "cccc"]),
        (0, 10, ["cccc"]),
        (10, 3, ["aa", "bbb", "cccc"]),
    ],
)
def test_texts_of_a_branch_fit_their_limits(forked: Forked, chars: int, last: int, kept: list[str]) -> None:
    assert [text for _, text in tree.texts(forked.c.pk, chars, last)] == kept


def test_texts_leave_other_branches_out(forked: Forked) -> None:
    assert tree.texts(forked.d.pk, 100, 10) == [("user", "q"), ("assistant", "aa"), ("user", "d")]
    assert tree.texts(forked.e.pk, 100, 10) == [("user", "q"), ("assistant", "e")]


def test_the_newest_leaf_is_below_the_newest_child(forked: Forked) -> None:
    leaves = {message: tree.newest_leaf(message.pk) for message in (forked.q, forked.a, forked.b, forked.c)}
    assert leaves == {forked.q: forked.e.pk, forked.a: forked.d.pk, forked.b: forked.c.pk, forked.c: forked.c.pk}


def test_a_cyclic_tree_does_not_hang(forked: Forked) -> None:
    Message.objects.filter(pk=forked.q.pk).update(parent=forked.c)
    assert len(tree.path(forked.c.pk, 100)) == 100
    assert len(tree.texts(forked.c.pk, 1000, 100)) == 100
    tree.newest_leaf(forked.q.pk)


@pytest.mark.parametrize("length", [2, 10, 200])
def test_a_branch_costs_the_same_queries_at_any_length(
    alice: User, length: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    conversation = conversation_of(alice, ["text"] * length)
    # Its path, its messages, and their siblings below a parent and at the root.
    with django_assert_num_queries(4):
        branch = conversation.branch(conversation.leaf_id, 500)
        assert len(branch) == length
        assert [message.reply.status for message in branch[1::2]] == ["complete"] * (length // 2)


def test_a_reply_is_claimed_quickly_in_a_long_conversation(alice: User) -> None:
    """Claiming it and reading what the model is sent takes the thread about 4 ms, in which it does nothing else."""
    conversation = conversation_of(alice, ["word " * 100] * 4000)
    reply = asking.ask(conversation, "And?", "demo")
    began = time.thread_time()
    assert Reply.objects.claim(reply.pk, 0, "here")
    claimed = Reply.objects.select_related("message__conversation").get(pk=reply.pk)
    texts = tree.texts(claimed.message.parent_id, 120_000, PROMPT_MESSAGES)
    spent = time.thread_time() - began
    assert len(texts) == 240
    assert spent < 0.030


def test_first_messages_are_found_by_their_conversation(alice: User, analyze: Callable[[], None]) -> None:
    """SQLite has looked at all first messages, once it had been analyzed."""
    for _ in range(10):
        conversation = conversation_of(alice, ["text"] * 20)
    analyze()
    firsts = conversation.messages.filter(parent=None).order_by("created", "pk")
    assert "message_order" in plan_of(firsts.values("pk", "parent"))


def test_children_are_found_by_an_index(alice: User) -> None:
    conversation = conversation_of(alice, ["text"] * 4)
    assert "message_children" in plan_of(Message.objects.filter(parent=conversation.leaf).values("pk"))


# Deletion


def test_the_database_deletes_a_conversation_in_one_statement(alice: User) -> None:
    conversation = conversation_of(alice, ["text"] * 60)
    other = conversation_of(alice, ["text"] * 2)
    with CaptureQueriesContext(connection) as queries:
        conversation.delete()
    statements = [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(statements) == 1
    assert statements[0].startswith("DELETE FROM")
    assert list(Conversation.objects.all()) == [other]
    assert (Message.objects.count(), Reply.objects.count()) == (2, 1)


def test_a_conversation_is_deleted_quickly_with_all_its_texts(alice: User) -> None:
    """It takes the thread about 2 ms, in which nobody else can write on SQLite."""
    conversation = conversation_of(alice, ["A few words to be found. " * 4] * 60)
    messages = list(conversation.messages.all())
    Searchable.objects.put([Searchable.of_title(conversation), *map(Searchable.of_message, messages)])
    MessageHtml.objects.bulk_create(MessageHtml(message=message, html="<p>word</p>" * 500) for message in messages)
    began = time.thread_time()
    conversation.delete()
    assert time.thread_time() - began < 0.010
    assert not Searchable.objects.exists()
    assert not MessageHtml.objects.exists()


def test_a_conversation_of_any_length_is_deleted(alice: User) -> None:
    """SQLite allows a thousand cascades within each other."""
    conversation = conversation_of(alice, ["text"] * 1200)
    began = time.thread_time()
    conversation.delete()
    assert time.thread_time() - began < 0.5
    assert not Message.objects.exists()


def test_deleted_messages_find_their_conversation_by_an_index(alice: User) -> None:
    """The database looks once per message for conversations whose leaf it is."""
    (field,) = [field for field in Conversation._meta.fields if field.name == "leaf"]
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, Conversation._meta.db_table)
        (index,) = [name for name, of in constraints.items() if of["index"] and of["columns"] == [field.column]]
    conversation = conversation_of(alice, ["text"] * 2)
    assert index in plan_of(Conversation.objects.filter(leaf=conversation.leaf).values("pk"))


# What the database looks for when a row is deleted. It may look at all rows once when a person is, and nothing deletes
# a row of the ledger.
BY_THE_DATABASE = (models.DB_CASCADE, models.DB_SET_NULL, models.DO_NOTHING)
FOLLOWING = [
    field
    for model in apps.get_models()
    for field in model._meta.local_fields
    if field.remote_field
    and field.remote_field.on_delete in BY_THE_DATABASE
    and field.related_model not in (User, LedgerEntry)
]


@pytest.mark.parametrize("field", FOLLOWING, ids=str)
def test_the_database_finds_what_a_deletion_takes_along_by_an_index(field: Any) -> None:
    key = field
    while key.remote_field:
        key = key.target_field
    plan = plan_of(field.model._base_manager.filter(**{field.attname: key.get_default() or 1}))
    assert ("Seq Scan" if connection.vendor == "postgresql" else "SCAN") not in plan


def plan_of(rows: Any) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # It scans small tables whatever their indexes, and sorts few rows.
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    return str(rows.explain())
