"""Filling the index, and filling it again."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from chat import asking
from chat.models import Conversation, Message, QueuedQuestion, Reply, Searchable, User
from chat.search import filling
from tests import endings
from tests.search.test_finding import found
from tests.server import Databases


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
