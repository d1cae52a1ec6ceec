"""The pages on which people see who has read their conversations."""

import pytest
from django.urls import reverse
from pytest_django import Settings

from chat import audit, trash
from chat.models import AuditRecord, Conversation, User
from chat.views import readers
from tests.client import Client

# Views use the database from other threads.
pytestmark = pytest.mark.django_db(transaction=True)

Action = AuditRecord.Action
ALL = reverse("readers")


@pytest.fixture(autouse=True)
def _shown(settings: Settings) -> None:
    settings.CHAT_SHOW_READERS = True


@pytest.fixture
def conversation(alice: User) -> Conversation:
    return Conversation.objects.create(owner=alice, title="On <soup>", model="demo")


@pytest.fixture
def hers(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


def read(conversation: Conversation, by: User, action: Action = Action.READ) -> None:
    record = audit.new(action, conversation=conversation, detail="p=1 q=secret", reason="A complaint")
    record.by_id, record.by_name, record.address = str(by.pk), by.username, "192.0.2.7"
    audit.append(record)


def about(conversation: Conversation) -> str:
    return reverse("conversation_readers", args=[conversation.pk])


def test_people_see_who_has_read_theirs(hers: Client, sam: User, conversation: Conversation) -> None:
    read(conversation, sam)
    read(conversation, sam, Action.LISTED)
    for address in (ALL, about(conversation)):
        html = hers.get(address).text
        assert html.count("<bdi>sam</bdi>") == 1
        assert "On &lt;soup&gt;" in html
        for hidden in ("complaint", "192.0.2.7", "q=secret"):
            assert hidden not in html


def test_readings_of_other_conversations_are_elsewhere(hers: Client, alice: User, sam: User) -> None:
    one, other = (Conversation.objects.create(owner=alice, title=title, model="demo") for title in ("One", "Other"))
    read(one, sam)
    assert "sam" in hers.get(about(one)).text
    assert "Nobody has." in hers.get(about(other)).text


def test_ones_own_reading_is_not_shown(client: Client, sam: User) -> None:
    conversation = Conversation.objects.create(owner=sam, title="Mine", model="demo")
    read(conversation, sam)
    client.force_login(sam)
    assert "Nobody has." in client.get(ALL).text


def test_readings_of_what_is_deleted_stay(hers: Client, alice: User, sam: User, conversation: Conversation) -> None:
    read(conversation, sam)
    trash.put(alice, [conversation.pk])
    assert "On &lt;soup&gt;" in hers.get(ALL).text
    conversation.delete()
    html = hers.get(ALL).text
    assert "a conversation that is deleted" in html
    assert "<bdi>sam</bdi>" in html


def test_older_readings_are_on_further_pages(
    hers: Client, sam: User, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "SHOWN", 2)
    for _ in range(3):
        read(conversation, sam)
    first = hers.get(ALL)
    assert first.text.count("<bdi>sam</bdi>") == 2
    older = hers.get(f"{ALL}?before={first.context['older']}").text
    assert older.count("<bdi>sam</bdi>") == 1
    assert ">Older<" not in older
    assert hers.get(f"{ALL}?before=x").text.count("<bdi>sam</bdi>") == 2


def test_the_page_is_offered_where_it_exists(hers: Client, conversation: Conversation, settings: Settings) -> None:
    for address, link in [("/", ALL), (reverse("settings"), ALL), (f"/c/{conversation.pk}/", about(conversation))]:
        settings.CHAT_SHOW_READERS = True
        assert f'href="{link}"' in hers.get(address).text
        settings.CHAT_SHOW_READERS = False
        assert f'href="{link}"' not in hers.get(address).text
        assert hers.get(link).status_code == 404


def test_people_know_before_they_write_that_administrators_can_read(hers: Client, settings: Settings) -> None:
    settings.CHAT_SHOW_READERS = False
    assert "Administrators can read them." in hers.get("/").text
