"""A conversation to take along: downloads and the page to print."""

import json
import re
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.db.models import F

from chat import asking
from chat.models import Conversation, Message, Reply, ReplyEvent, User
from chat.views import documents
from tests.client import Client
from tests.conversations import conversation_of
from tests.views.conftest import end


@async_to_sync
async def body(response: Any) -> str:
    return b"".join([part async for part in response.streaming_content]).decode()


def address(conversation: Conversation, name: str) -> str:
    return f"{conversation.get_absolute_url()}{name}"


def test_a_download_has_the_branch_on_screen_in_order(client: Client, alice: User) -> None:
    texts = [f"Message {number}" for number in range(2 * documents.BATCH + 2)]
    conversation = conversation_of(alice, texts)
    response = client.get(address(conversation, "conversation.md"))
    assert response.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert [line for line in body(response).splitlines() if line.startswith("Message")] == texts


def test_only_json_has_the_other_branches(client: Client, ended: Reply) -> None:
    conversation = ended.message.conversation
    again = asking.retry(ended, "small")
    end(again, "It is 4.")
    assert "four" not in body(client.get(address(conversation, "conversation.md")))
    whole = json.loads(body(client.get(address(conversation, "conversation.json"))))
    assert [message["text"] for message in whole["messages"] if message["role"] == "assistant"] == [
        ended.message.text,
        "It is 4.",
    ]
    assert whole["leaf"] == str(again.pk)


def test_both_of_two_answers_are_taken_along(client: Client, alice: User) -> None:
    first, second = asking.compare(lambda: asking.begin(alice, "Hello", "small"), "large")
    end(first, "One answer.")
    end(second, "Another answer.")
    page = body(client.get(address(first.message.conversation, "conversation.md")))
    assert "One answer." in page
    assert "Another answer." in page


@pytest.mark.parametrize("name", ["conversation.md", "conversation.json", "print/"])
def test_what_is_being_written_is_there_so_far(client: Client, alice: User, name: str) -> None:
    reply = asking.begin(alice, "Hello", "demo")
    ReplyEvent.objects.create(reply=reply, seq=1, kind="delta", data="So far")
    assert "So far" in body(client.get(address(reply.message.conversation, name)))


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Two and two?", 'filename="Two_and_two.md"'),
        ("../../etc/passwd", 'filename="etc_passwd.md"'),
        ("Größe", "filename*=utf-8''Gr%C3%B6%C3%9Fe.md"),
        ('a"\r\nSet-Cookie: b', 'filename="a_Set-Cookie_b.md"'),
        ("???", '.md"'),
    ],
)
def test_a_download_is_named_after_its_conversation(client: Client, ended: Reply, title: str, name: str) -> None:
    Conversation.objects.update(title=title)
    response = client.get(address(ended.message.conversation, "conversation.md"))
    assert response.headers["Content-Disposition"].endswith(name)


def test_the_page_to_print_has_title_times_and_rendered_messages(client: Client, ended: Reply) -> None:
    Conversation.objects.update(title="<!-- messages --> & more")
    page = body(client.get(address(ended.message.conversation, "print/")))
    assert '<h1 dir="auto">&lt;!-- messages --&gt; &amp; more</h1>' in page
    assert '<p dir="auto">It is <em>four</em>.</p>' in page
    assert page.count('class="message__date"') == 2
    assert "<form" not in page
    # Begun and updated in the same minute, and later.
    assert not re.search("<p>[^<]+ to ", page)
    Conversation.objects.update(created=F("created") - timedelta(hours=1))
    assert re.search("<p>[^<]+ to ", body(client.get(address(ended.message.conversation, "print/"))))


@pytest.mark.parametrize("name", ["conversation.md", "print/"])
def test_what_breaks_off_says_so(client: Client, ended: Reply, name: str) -> None:
    with patch.object(documents, "_read", side_effect=RuntimeError):
        assert "The rest is missing" in body(client.get(address(ended.message.conversation, name)))


def test_there_is_no_other_format(client: Client, ended: Reply) -> None:
    assert client.get(address(ended.message.conversation, "conversation.exe")).status_code == 404


def test_a_long_conversation_is_read_in_batches(client: Client, alice: User) -> None:
    conversation = conversation_of(alice, ["text"] * (2 * documents.BATCH))
    read: list[int] = []
    original = documents._read

    def counted(conversation: Conversation, ids: tuple[Any, ...]) -> dict[Any, Message]:
        read.append(len(ids))
        return original(conversation, ids)

    with patch.object(documents, "_read", counted):
        body(client.get(address(conversation, "conversation.md")))
    assert read == [documents.BATCH, documents.BATCH]
