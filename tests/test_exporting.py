"""Files that are made in the background: by whichever process, for nobody but whoever asked."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat import exporting, exports
from chat.database import in_thread
from chat.jobs import PAUSES
from chat.models import AuditRecord, Conversation, Export, ExportPart, Job, Message, ReviewLimit, User
from chat.models.exports import Superseded
from tests.client import Client
from tests.hosts import PATIENCE
from tests.test_admin import LIST, page, reader, talk
from tests.test_admin_audit import content
from tests.test_admin_exports import CSV, JSON_LINES, exported
from tests.test_admin_record import since
from tests.test_jobs import die, ended, process

# Files are made in other threads.
pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["reader"]
EXPORTS = reverse("admin:chat_export_changelist")


def address(export: Export, name: str) -> str:
    return reverse(f"admin:chat_export_{name}", args=[export.pk])


def ask(browser: Client, url: str = JSON_LINES) -> Export:
    """Ask for a file in the background."""
    assert browser.post(url, {"how": "background"})["Location"] == EXPORTS
    return Export.objects.latest("asked")


@async_to_sync
async def make() -> None:
    """Do what is asked for."""
    async with made_by("here") as here:
        await here.claim(take_over=True)
        await ended(here)


def made_by(name: str) -> Any:
    return process(name, exporting.make, Job.Kind.EXPORT)


def made(browser: Client, url: str = JSON_LINES) -> Export:
    export = ask(browser, url)
    make()
    return export


class Gate:
    """Lets the reading of texts go on up to a conversation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shut: Conversation) -> None:
        self.read: list[Any] = []
        self.is_shut = asyncio.Event()
        self.may_open = asyncio.Event()
        self._shut = shut.pk
        self._real = exporting._read
        monkeypatch.setattr(exporting, "_read", self)

    async def __call__(self, conversation: Conversation, after: Message | None) -> list[Message]:
        self.read.append(conversation.pk)
        if conversation.pk == self._shut and not self.may_open.is_set():
            self.is_shut.set()
            await self.may_open.wait()
        return await self._real(conversation, after)


@pytest.fixture
def talks(alice: User, monkeypatch: pytest.MonkeyPatch) -> list[Conversation]:
    """Four, of which each is a part of a file or more."""
    monkeypatch.setattr(exporting, "PART_BYTES", 1)
    monkeypatch.setattr(exporting, "MOST_BYTES", 1000)
    monkeypatch.setattr(exports, "MESSAGES", 2)
    return [talk(alice, *["Antwörter"] * number, title=f"Number {number}") for number in range(1, 5)]


# Asking


@pytest.mark.parametrize("url", [CSV, JSON_LINES])
def test_a_large_file_is_made_as_people_choose(
    reader: Client, talks: list[Conversation], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    at_once = content(reader.get(url))
    monkeypatch.setattr("chat.admin.exports.MANY", 19)
    entries = since(lambda: reader.get(f"{url}?status=complete"))
    assert not entries
    html = reader.get(f"{url}?status=complete").text
    assert "more than 19 messages" in html
    assert content(reader.post(url, {"how": "now"})) == at_once
    monkeypatch.setattr("chat.admin.exports.MANY", 20)
    assert content(reader.get(url)) == at_once
    export = made(reader, url)
    assert export.stored.count() > len(talks)
    assert content(reader.get(address(export, "file"))) == at_once
    assert Export.objects.get().size == len(at_once.encode())


def test_a_file_has_what_the_filters_showed_when_it_was_asked_for(reader: Client, talks: list[Conversation]) -> None:
    Conversation.objects.filter(pk=talks[0].pk).update(statuses="failed")
    export = ask(reader, f"{JSON_LINES}?status=failed")
    Conversation.objects.update(statuses="failed")
    make()
    assert list(export.ids()) == [talks[0].pk]
    assert "status=failed</a>" in page(reader, EXPORTS)
    assert content(reader.get(address(export, "file"))).count("\n") == 1


def test_nobody_keeps_many_files(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.admin.exports.MOST", 1)
    for _ in range(2):
        ask(reader)
    assert Export.objects.count() == Job.objects.count() == 1
    assert "You have 1 exports already." in page(reader, EXPORTS)


# Making


async def test_a_killed_process_is_replaced_where_it_was(
    reader: Client, talks: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    export = await in_thread(ask)(reader)
    gate = Gate(monkeypatch, talks[2])
    async with made_by("here") as here, made_by("there") as there, asyncio.timeout(PATIENCE):
        await here.claim(take_over=True)
        await gate.is_shut.wait()
        read = len(gate.read)
        for task in here.tasks:
            task.cancel()
        await die("here")
        gate.may_open.set()
        await there.claim(take_over=True)
        await ended(there)
    assert gate.read[read] == talks[2].pk
    at_once, later = await in_thread(_both)(reader, export)
    assert later == at_once


def _both(reader: Client, export: Export) -> tuple[str, str]:
    return content(reader.get(JSON_LINES)), content(reader.get(address(export, "file")))


async def test_what_an_earlier_run_makes_is_not_stored(
    reader: Client, talks: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    export = await in_thread(ask)(reader)
    gate = Gate(monkeypatch, talks[2])
    async with made_by("here") as here, made_by("there") as there, asyncio.timeout(PATIENCE):
        await here.claim(take_over=True)
        await gate.is_shut.wait()
        await die("here")
        await there.claim(take_over=True)
        while gate.read.count(talks[2].pk) < 2:  # noqa: ASYNC110 (only that tells)
            await asyncio.sleep(0.01)
        gate.may_open.set()
        await asyncio.gather(ended(here), ended(there))
    at_once, later = await in_thread(_both)(reader, export)
    assert later == at_once
    assert await Job.objects.acount() == 0


def test_a_part_of_an_earlier_run_is_refused(reader: Client, talks: list[Conversation]) -> None:
    earlier = ask(reader)
    assert earlier.begin()
    assert Export.objects.get().begin()
    with pytest.raises(Superseded):
        earlier.store(0, b"")
    assert not ExportPart.objects.exists()


async def test_a_cancelled_export_ends(
    reader: Client, talks: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    export = await in_thread(ask)(reader)
    gate = Gate(monkeypatch, talks[2])
    async with made_by("here") as here, asyncio.timeout(PATIENCE):
        await here.claim(take_over=True)
        await gate.is_shut.wait()
        await in_thread(reader.post)(address(export, "cancel"))
        gate.may_open.set()
        await ended(here)
    assert talks[3].pk not in gate.read
    assert await Job.objects.acount() == 0
    assert await in_thread(_erased)() > 1


def _erased() -> int:
    """Erase what is to be erased, which must be all; returns how many transactions it took."""
    count = 0
    while Export.objects.erase_some():
        count += 1
    assert not Export.objects.exists()
    assert not ExportPart.objects.exists()
    return count


async def test_an_export_ends_when_its_person_may_read_no_more(
    reader: Client, bob: User, talks: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CONVERSATIONS", 1)
    await in_thread(ask)(reader)
    gate = Gate(monkeypatch, talks[1])
    async with made_by("here") as here, asyncio.timeout(PATIENCE):
        await here.claim(take_over=True)
        await gate.is_shut.wait()
        await in_thread(bob.user_permissions.clear)()
        gate.may_open.set()
        await ended(here)
    assert talks[2].pk not in gate.read
    assert await Job.objects.acount() == 0
    assert (await Export.objects.aget()).finished is None


# Fetching


@pytest.mark.parametrize("name", ["file", "cancel", "change"])
def test_nobody_else_gets_a_file(reader: Client, sam: User, talks: list[Conversation], name: str) -> None:
    export = made(reader)
    other = Client()
    other.force_login(sam)
    send = other.post if name == "cancel" else other.get
    assert send(address(export, name)).status_code in (302, 404)
    assert Export.objects.kept().exists()
    assert "0 exports" in page(other, EXPORTS)


def test_a_file_that_is_not_made_yet_cannot_be_fetched(reader: Client, talks: list[Conversation]) -> None:
    assert reader.get(address(ask(reader), "file")).status_code == 404


@pytest.mark.parametrize("lost", ["view_conversation", "read_conversation"])
def test_a_file_takes_the_rights_of_now(reader: Client, bob: User, talks: list[Conversation], lost: str) -> None:
    export = made(reader)
    bob.user_permissions.remove(Permission.objects.get(codename=lost))
    for url in (address(export, "file"), EXPORTS):
        assert reader.get(url).status_code == 403
    assert reader.post(address(export, "cancel")).status_code == 403


def test_a_file_with_what_somebody_no_longer_sees_is_refused(
    reader: Client, bob: User, talks: list[Conversation]
) -> None:
    export = made(reader)
    ReviewLimit.objects.create(reviewer=bob)
    assert not since(lambda: reader.get(address(export, "file")))
    assert "This file has conversations that you may no longer see." in page(reader, EXPORTS)


def test_a_file_is_erased_after_its_time(reader: Client, talks: list[Conversation], settings: Settings) -> None:
    settings.CHAT_EXPORT_DAYS = 2
    export = made(reader)
    assert timedelta(days=1.9) < export.expires - timezone.now() < timedelta(days=2)
    assert not Export.objects.erase_some()
    Export.objects.update(expires=timezone.now())
    assert reader.get(address(export, "file")).status_code == 404
    assert _erased()


def test_asking_and_fetching_are_recorded(reader: Client, talks: list[Conversation], settings: Settings) -> None:
    settings.CHAT_READ_REASON = True
    url = f"{JSON_LINES}?q=wort&status=complete"
    reader.post(reader.get(url)["Location"], {"reason": "A complaint"})
    asked, *entries = since(lambda: made(reader, f"{JSON_LINES}?status=complete"))
    detail = "conversations, jsonl: status=complete"
    assert asked.detail == f"asked for in the background: {detail}"
    assert exported(entries) == [("alice", conversation.pk) for conversation in talks]
    (fetched,) = since(lambda: reader.get(address(Export.objects.get(), "file")))
    assert fetched.detail == f"fetched: {detail}"
    for entry in (asked, *entries, fetched):
        assert (entry.action, entry.by_name, entry.address) == (AuditRecord.Action.EXPORTED, "bob", "127.0.0.1")
        assert entry.reason == "A complaint"
    assert entries[0].detail == detail


# The list of them


def test_the_list_says_how_far_a_file_is(reader: Client, talks: list[Conversation]) -> None:
    assert f'href="{EXPORTS}"' in page(reader, LIST)
    export = ask(reader)
    assert "Queued" in page(reader, EXPORTS)
    Job.objects.update(process="here")
    Export.objects.update(done=11)
    html = page(reader, EXPORTS)
    assert "55 %" in html
    assert f'formaction="{address(export, "cancel")}"' in html
    Job.objects.update(process="", failures=len(PAUSES) + 1)
    make()
    assert "Failed. Ask again" in page(reader, EXPORTS)
    reader.post(address(export, "cancel"))
    assert 'href="' + address(made(reader), "file") in page(reader, EXPORTS)
