"""Pages and addresses of the trash."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from chat import trash
from chat.models import Conversation, Message, Reply, User
from chat.views import shelf
from tests.client import Client

JSON = {"accept": "application/json"}


@pytest.fixture
def conversation(ended: Reply) -> Conversation:
    return ended.message.conversation


def delete(client: Client, conversation: Conversation) -> str:
    """The moment of the deletion, as a program is told."""
    answer = client.post(f"/c/{conversation.pk}/delete/", headers=JSON)
    return str(answer.json()["deleted"])


def titles(client: Client, address: str) -> list[str]:
    return [conversation.title for conversation in client.get(address).context["shown"]]


def test_the_page_after_a_deletion_undoes_it(client: Client, conversation: Conversation) -> None:
    response = client.post(f"/c/{conversation.pk}/delete/")
    assert response.status_code == 303
    page = client.get(response["location"])
    assert "“<bdi>What is **two** and two?</bdi>” is in the" in page.text
    moment = page.context["deleted"]["moment"].isoformat()
    response = client.post("/trash/undo/", {"deleted": moment})
    assert (response.status_code, response["location"]) == (303, conversation.get_absolute_url())
    assert client.get(response["location"]).status_code == 200


def test_a_program_is_told_what_undoes_a_deletion(client: Client, conversation: Conversation) -> None:
    moment = delete(client, conversation)
    assert datetime.fromisoformat(moment) == Conversation.objects.get().trashed
    restored = client.post("/trash/undo/", {"deleted": moment}, headers=JSON)
    assert restored.json() == {"restored": [str(conversation.pk)]}
    assert client.post("/trash/undo/", {"deleted": moment}, headers=JSON).json() == {"restored": []}


@pytest.mark.parametrize("moment", ["", "yesterday", "2026-11-27", "2026-11-27T01:02:03", "2026-99-27T01:02:03+00:00"])
def test_a_moment_at_which_nothing_was_deleted_restores_nothing(
    client: Client, conversation: Conversation, moment: str
) -> None:
    delete(client, conversation)
    assert client.get("/", {"deleted": moment}).context["deleted"] is None
    assert client.post("/trash/undo/", {"deleted": moment})["location"] == "/"
    assert not Conversation.objects.kept().exists()


def test_nobody_undoes_what_others_have_deleted(client: Client, conversation: Conversation, bob: User) -> None:
    moment = delete(client, conversation)
    client.force_login(bob)
    assert client.get("/", {"deleted": moment}).context["deleted"] is None
    assert client.post("/trash/undo/", {"deleted": moment}, headers=JSON).json() == {"restored": []}


def test_the_trash_lists_what_was_deleted_last_first(client: Client, alice: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(shelf, "SHOWN", 2)
    now = timezone.now()
    for hours in (1, 2, 3):
        trashed = now - timedelta(hours=hours)
        Conversation.objects.create(owner=alice, title=f"{hours} hours ago", model="demo", trashed=trashed)
    Conversation.objects.create(owner=alice, title="Kept", model="demo")
    page = client.get("/trash/")
    until = timezone.localtime(now + timedelta(days=30, hours=-1))
    assert f"Kept until {until.day} {until:%B %Y, %H:%M}" in page.text
    assert titles(client, "/trash/") == ["1 hours ago", "2 hours ago"]
    assert titles(client, "/trash/?page=2") == ["3 hours ago"]
    assert titles(client, "/trash/?page=nonsense") == ["1 hours ago", "2 hours ago"]


def test_a_conversation_is_restored_from_the_trash(client: Client, conversation: Conversation) -> None:
    delete(client, conversation)
    assert client.post(f"/c/{conversation.pk}/restore/")["location"] == "/trash/"
    page = client.get("/trash/").text
    assert "“What is **two** and two?” is back in your list." in page
    assert "The trash is empty." in page
    assert client.get(conversation.get_absolute_url()).status_code == 200


@pytest.mark.parametrize("address", ["/c/{}/erase/", "/trash/empty/"])
def test_deleting_for_ever_asks_first(client: Client, conversation: Conversation, alice: User, address: str) -> None:
    Conversation.objects.create(owner=alice, title="Kept", model="demo")
    delete(client, conversation)
    address = address.format(conversation.pk)
    assert "after that." in client.get(address).text
    assert Message.objects.exists()
    assert client.post(address)["location"] == "/trash/"
    assert [kept.title for kept in Conversation.objects.all()] == ["Kept"]
    assert not Message.objects.exists()


def test_an_empty_trash_is_not_emptied(client: Client) -> None:
    assert client.get("/trash/empty/")["location"] == "/trash/"


def test_only_ones_own_trash_is_emptied(client: Client, conversation: Conversation, bob: User) -> None:
    his = Conversation.objects.create(owner=bob, title="His", model="demo")
    trash.put(bob, [his.pk])
    delete(client, conversation)
    client.post("/trash/empty/")
    assert list(Conversation.objects.all()) == [his]


def test_the_addresses_of_forms_lead_to_pages(client: Client, conversation: Conversation) -> None:
    assert client.get(f"/c/{conversation.pk}/delete/")["location"] == conversation.get_absolute_url()
    assert client.get("/trash/undo/")["location"] == "/trash/"
    delete(client, conversation)
    assert client.get(f"/c/{conversation.pk}/restore/")["location"] == "/trash/"
