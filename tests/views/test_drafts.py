"""What people have begun to write."""

import pytest

from chat import asking, queued
from chat.models import Conversation, Draft, Reply, User
from tests.client import Client

JSON = {"accept": "application/json"}


def keep(client: Client, url: str, text: str) -> int:
    return int(client.post(f"{url}draft/", {"text": text}, headers=JSON).status_code)


def shown(client: Client, url: str) -> str:
    """What the box holds on the page."""
    text: str = client.get(url).context["form"]["text"].value()
    return text


def test_each_conversation_has_its_draft(client: Client, ended: Reply) -> None:
    here = ended.message.conversation.get_absolute_url()
    assert keep(client, "/", "A new") == keep(client, here, "An old") == 200
    keep(client, here, "An older")
    assert (shown(client, "/"), shown(client, here)) == ("A new", "An older")
    keep(client, here, "")
    assert (shown(client, "/"), shown(client, here)) == ("A new", "")
    assert Draft.objects.count() == 1


def test_a_draft_is_its_persons_alone(client: Client, bob: User, ended: Reply) -> None:
    here = ended.message.conversation.get_absolute_url()
    keep(client, "/", "Alice's")
    other = Client()
    other.force_login(bob)
    assert shown(other, "/") == ""
    assert keep(other, here, "Bob's") == 404


def test_a_draft_becomes_a_question(client: Client, alice: User) -> None:
    Draft.objects.keep(alice.pk, None, " Hello")
    conversation = asking.begin(alice, " Hello?", "demo").message.conversation
    assert not Draft.objects.exists()
    Draft.objects.keep(alice.pk, conversation.pk, "And")
    queued.add(conversation, "And more?", "demo")
    assert not Draft.objects.exists()


def test_another_question_leaves_the_draft(client: Client, alice: User) -> None:
    Draft.objects.keep(alice.pk, None, "Something else")
    asking.begin(alice, "Hello?", "demo")
    assert Draft.objects.get().text == "Something else"


@pytest.mark.parametrize("text", ["x" * 100_000, "a\0b", "\r\n "])
def test_what_no_question_may_hold_is_kept(client: Client, alice: User, text: str) -> None:
    assert keep(client, "/", text) == 200
    assert Draft.objects.get().text == text.replace("\0", "")


def test_a_deleted_conversation_takes_its_draft(client: Client, ended: Reply) -> None:
    keep(client, ended.message.conversation.get_absolute_url(), "And")
    Conversation.objects.all().delete()
    assert not Draft.objects.exists()
