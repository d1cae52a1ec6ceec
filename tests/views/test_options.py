"""What people set of a conversation: its title, whether it is pinned or archived."""

from typing import Any

import pytest

from chat import asking
from chat.models import Conversation, Reply, User
from tests.client import Client

JSON = {"accept": "application/json"}


@pytest.fixture
def conversation(ended: Reply) -> Conversation:
    return ended.message.conversation


@pytest.fixture
def url(conversation: Conversation) -> str:
    return f"/c/{conversation.pk}/options/"


def listed(client: Client) -> list[tuple[str, list[str]]]:
    """The groups of the sidebar with their titles."""
    groups = client.get("/history/").context["history"]["groups"]
    return [(heading, [conversation.title for conversation in group]) for heading, group in groups]


def test_a_program_renames_pins_and_archives(client: Client, url: str) -> None:
    answer = client.post(url, {"title": "Sums", "pinned": "true"}, headers=JSON)
    assert answer.json() == {"title": "Sums", "pinned": True, "archived": False}
    assert client.post(url, {"pinned": "false"}, headers=JSON).json()["pinned"] is False
    answer = client.post(url, {"archived": "true"}, content_type="application/json", headers=JSON)
    assert answer.json() == {"title": "Sums", "pinned": False, "archived": True}


def test_a_form_changes_only_what_it_sends(client: Client, conversation: Conversation, url: str) -> None:
    response = client.post(url, {"title": "  Sums \n of  numbers "})
    assert (response.status_code, response["location"]) == (303, conversation.get_absolute_url())
    assert client.post(url, {"archived": "true"})["location"] == "/archive/"
    conversation.refresh_from_db()
    assert (conversation.title, conversation.archived, conversation.pinned) == ("Sums of numbers", True, False)
    assert conversation.titled_by == Conversation.TitledBy.PERSON, "no model gives it another"


@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        ("", "Write a title first."),
        (" \n", "Write a title first."),
        ("\u200b", "Write a title first."),
        ("x" * 201, "This title has 201 characters. The limit is 200."),
        ("a\0b", "Null characters are not allowed."),
    ],
)
def test_a_bad_title_gets_a_sentence_at_its_field(
    client: Client, conversation: Conversation, url: str, title: str, sentence: str
) -> None:
    page = client.post(url, {"title": title})
    assert page.status_code == 422
    assert f'role="alert">{sentence}</p>' in page.text
    program = client.post(url, {"title": title}, headers=JSON)
    assert (program.status_code, program.json()["error"]["message"]) == (422, sentence)
    conversation.refresh_from_db()
    assert conversation.title == "What is **two** and two?"


def test_what_is_neither_true_nor_false_is_refused(client: Client, url: str) -> None:
    answer = client.post(url, {"pinned": "perhaps"}, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "Send `true` or `false`.")


@pytest.mark.parametrize("change", [{"title": "Sums"}, {"pinned": "true"}, {"archived": "true"}])
def test_open_pages_follow(
    client: Client, conversation: Conversation, alice: User, url: str, change: dict[str, str]
) -> None:
    conversation.refresh_from_db()
    alice.refresh_from_db()
    client.post(url, change)
    assert Conversation.objects.get().version == conversation.version + 1
    assert User.objects.get().list_version == alice.list_version + 1


def test_pinned_conversations_come_first_in_a_group_of_their_own(client: Client, alice: User, url: str) -> None:
    asking.begin(alice, "The newest", "demo")
    client.post(url, {"pinned": "true"})
    assert listed(client) == [("Pinned", ["What is **two** and two?"]), ("Today", ["The newest"])]


def test_an_archived_conversation_is_on_a_page_of_its_own(client: Client, conversation: Conversation, url: str) -> None:
    client.post(url, {"pinned": "true"})
    client.post(url, {"archived": "true"})
    assert listed(client) == []
    assert conversation.get_absolute_url() in client.get("/archive/").text
    assert client.get(conversation.get_absolute_url()).status_code == 200
    assert client.post(url, {"archived": "false"})["location"] == "/archive/"
    assert "The archive is empty." in client.get("/archive/").text
    assert listed(client) == [("Today", ["What is **two** and two?"])]


def test_a_question_brings_a_conversation_back_from_the_archive(
    client: Client, conversation: Conversation, url: str
) -> None:
    client.post(url, {"archived": "true"})
    asking.ask(conversation, "And three?", "demo")
    assert listed(client) == [("Today", ["What is **two** and two?"])]


def test_only_ones_own_archive_is_listed(client: Client, conversation: Conversation, bob: User, url: str) -> None:
    client.post(url, {"archived": "true"})
    client.force_login(bob)
    assert "The archive is empty." in client.get("/archive/").text


def test_the_page_offers_what_fits(client: Client, conversation: Conversation, url: str) -> None:
    def offered() -> list[Any]:
        page = client.get(url).text
        return [word for word in (">Pin<", ">Unpin<", ">Archive<", ">Take out of the archive<") if word in page]

    assert offered() == [">Pin<", ">Archive<"]
    client.post(url, {"pinned": "true"})
    assert offered() == [">Unpin<", ">Archive<"]
    client.post(url, {"archived": "true"})
    assert offered() == [">Take out of the archive<"]
