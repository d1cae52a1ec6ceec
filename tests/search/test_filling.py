"""Filling the index, and filling it again."""

import os
import signal
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from chat import asking
from chat.models import Conversation, Message, QueuedQuestion, Reply, Searchable, User
from chat.search import filling
from tests import endings
from tests.search.test_finding import found
from tests.server import Database, Databases


def nothing(done: int, total: int) -> None:
    """Tell nobody."""


@pytest.fixture
def reply(alice: User) -> Reply:
    """A complete reply of Alice's, of which the index knows nothing; a question is queued after it."""
    reply = asking.begin(alice, "How much salt?", "demo")
    endings.end(reply, "Two spoons")
    QueuedQuestion.objects.create(after=reply.message, text="And thyme?", model="demo")
    reply.refresh_from_db()
    reply.judge("bad", "Far too bland.")
    Searchable.objects.all().delete()
    return reply


def test_all_texts_are_found_afterwards(reply: Reply, alice: User) -> None:
    assert filling.reindex(nothing) == 5
    assert found("salt", alice) == ["How much salt?"] * 2
    assert found("bland", alice) == ["Far too bland."]
    assert found("spoons", alice) == ["Two spoons"]
    assert found("thyme", alice) == ["And thyme?"]


@pytest.mark.usefixtures("reply")
def test_a_second_time_changes_nothing() -> None:
    filling.reindex(nothing)
    assert filling.reindex(nothing) == 0


def test_what_has_changed_is_renewed(reply: Reply, alice: User) -> None:
    filling.reindex(nothing)
    Message.objects.filter(pk=reply.pk).update(text="Three spoons")
    assert filling.reindex(nothing) == 1
    assert found("three", alice) == ["Three spoons"]
    assert found("two", alice) == []


def test_a_running_reply_is_left_to_its_end(alice: User) -> None:
    reply = asking.begin(alice, "Salt?", "demo")
    Searchable.objects.all().delete()
    assert filling.reindex(nothing) == 2
    endings.end(reply, "Two spoons")
    assert found("spoons", alice) == ["Two spoons"]


@pytest.mark.usefixtures("reply")
def test_many_texts_come_in_portions(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "AT_ONCE", 2)
    monkeypatch.setattr(filling, "PAGE", 3)
    for number in range(5):
        asking.begin(alice, f"Question {number}", "demo")
    told: list[tuple[int, int]] = []
    Searchable.objects.all().delete()
    filling.reindex(lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert found("question 3", alice) == ["Question 3"] * 2


@pytest.mark.usefixtures("reply")
def test_the_command_says_what_it_has_done(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("reindex")
    assert capsys.readouterr().out == "All texts can be found. 5 were new or had changed.\n"


# The index itself

DAMAGES = {
    "sqlite": [
        ["DROP TABLE chat_words"],
        ["DROP TABLE chat_words", "DROP TRIGGER chat_searchable_updated"],
        ["INSERT INTO chat_words (chat_words) VALUES ('delete-all')"],
        ["UPDATE chat_words_data SET block = x'00'"],
        ["DELETE FROM chat_words_data"],
        ["DROP TABLE chat_words_idx"],
    ],
    "postgresql": [
        ["DROP INDEX chat_searchable_vector"],
        ["DROP INDEX chat_searchable_newest"],
        [
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'chat_searchable_vector'::regclass",
            "CREATE INDEX chat_searchable_vector_ccnew ON chat_searchable USING gin (vector)",
        ],
    ],
}[connection.vendor]
# FTS5 compares its index with the texts, and fails where they differ.
CHECK = "INSERT INTO chat_words (chat_words, rank) VALUES ('integrity-check', 1)"
INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'chat_searchable'::regclass AND indisvalid"


def execute(*statements: str) -> list[str]:
    """The first column of what the last one returns."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def talk() -> User:
    alice = User.objects.create_user("alice")
    endings.end(asking.begin(alice, "How much salt?", "demo"), "Two spoons")
    return alice


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    """One of our own, whose index can be damaged; Alice has a conversation in it."""
    database = databases.make()
    database.run(talk)
    return database


def expect_whole() -> None:
    call_command("reindex", stdout=StringIO())
    assert filling.is_whole()
    assert found("spoons", User.objects.get()) == ["Two spoons"]
    # What keeps it works, too.
    Searchable.objects.exclude(message=None).update(words="salt sugar")
    Searchable.objects.update(words="two spoons")
    if connection.vendor == "sqlite":
        execute(CHECK)
    else:
        names = execute(INDEXES)
        assert {"chat_searchable_vector", "chat_searchable_newest"} <= {*names}
        assert "chat_searchable_vector_ccnew" not in names


@pytest.mark.parametrize("damage", DAMAGES, ids=" ".join)
def test_an_index_that_is_lost_or_damaged_is_made_again(database: Database, damage: list[str]) -> None:
    database.run(lambda: execute(*damage))
    assert not database.run(filling.is_whole)
    database.run(expect_whole)


def test_an_index_is_made_again_on_request(database: Database) -> None:
    def rebuilt() -> str:
        call_command("reindex", "--rebuild", stdout=(out := StringIO()))
        return out.getvalue()

    assert "The index of words is made again." in database.run(rebuilt)
    database.run(expect_whole)


@pytest.mark.usefixtures("reply")
@pytest.mark.parametrize(("most", "rows"), [(20_000, 5), (1, 0)])
def test_a_migration_fills_a_new_index(
    most: int, rows: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(filling, "FILLED_AT_ONCE", most)
    ours: Any = type("Migration", (), {"name": filling.MIGRATION})
    filling.after_migrations([(ours, False)])
    assert Searchable.objects.count() == rows
    assert ("manage.py reindex" in capsys.readouterr().out) == (not rows)


@pytest.mark.usefixtures("reply")
def test_other_migrations_fill_nothing() -> None:
    filling.after_migrations([])
    assert not Searchable.objects.exists()


# Prints a line after each portion and reads one before the next.
KILLED = """
import django
django.setup()
from chat.search import filling
filling.AT_ONCE = 10
filling.reindex(lambda done, total: (print(done, flush=True), input()))
"""


def test_it_is_killed_in_the_middle_and_finishes_later(databases: Databases) -> None:
    database = databases.make()

    def fill() -> int:
        owner = User.objects.create_user("alice")
        conversation = Conversation.objects.create(owner=owner, title="On salt", model="demo")
        conversation.messages.bulk_create(
            Message(conversation=conversation, role="user", text=f"salt {number}") for number in range(100)
        )
        return owner.pk

    database.run(fill)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": database.url, "DJANGO_SETTINGS_MODULE": "config.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin
        assert process.stdout
        for _ in range(4):
            process.stdout.readline()
            process.stdin.write("\n")
            process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert 0 < database.run(Searchable.objects.count) < 101
    assert database.run(lambda: filling.reindex(nothing)) > 0
    assert database.run(Searchable.objects.count) == 101
    owner = database.run(User.objects.get)
    assert len(database.run(lambda: found("salt", owner))) == 100
