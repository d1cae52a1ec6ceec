"""How much one person may ask for."""

import asyncio

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat import asking
from chat.limits import PERIOD
from chat.models import LedgerEntry, Message, Reply, User
from tests.client import Client
from tests.server import Servers
from tests.upstream import Upstream, hang
from tests.visitor import Visitor

JSON = {"accept": "application/json"}
HTML = {"accept": "text/html"}


def test_each_person_has_a_limit_of_running_replies(client: Client, alice: User, settings: Settings) -> None:
    settings.CHAT_PERSON_RUNNING = 1
    asking.begin(alice, "Hello", "demo")
    response = client.post("/c/", {"text": "And this?"}, headers=JSON)
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "10"
    assert response.json()["error"]["code"] == "too_many_running"
    assert Message.objects.count() == 2


@pytest.mark.parametrize(
    "path", ["/c/{c}/messages/", "/replies/{r}/retry/", "/replies/{r}/continue/", "/questions/{q}/edit/"]
)
def test_each_person_has_a_limit_of_questions_per_minute(
    client: Client, alice: User, settings: Settings, ended: Reply, path: str
) -> None:
    settings.CHAT_PERSON_QUESTIONS = 1
    url = path.format(c=ended.message.conversation_id, r=ended.pk, q=ended.message.parent_id)
    response = client.post(url, {"text": "And this?"}, headers=JSON)
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert response.json()["error"]["code"] == "too_many_questions"
    assert Message.objects.count() == 2


def test_the_limit_ends_after_a_minute(alice: User, settings: Settings) -> None:
    settings.CHAT_PERSON_QUESTIONS = 1
    asking.begin(alice, "Hello", "demo")
    LedgerEntry.objects.update(asked=timezone.now() - PERIOD)
    asking.begin(alice, "And this?", "demo")


def test_deleting_a_conversation_does_not_reset_the_limit(client: Client, settings: Settings, ended: Reply) -> None:
    settings.CHAT_PERSON_QUESTIONS = 1
    ended.message.conversation.delete()
    assert client.post("/c/", {"text": "And this?"}, headers=JSON).status_code == 429


def test_continuing_a_reply_counts_as_a_question(client: Client, settings: Settings, ended: Reply) -> None:
    settings.CHAT_PERSON_QUESTIONS = 2
    for answer in (201, 429):
        Reply.objects.update(status="interrupted")
        assert client.post(f"/replies/{ended.pk}/continue/", headers=JSON).status_code == answer


def test_each_person_has_their_own_limit_and_staff_have_none(
    bob: User, sam: User, settings: Settings, ended: Reply
) -> None:
    settings.CHAT_PERSON_QUESTIONS = 1
    asking.begin(bob, "Hello", "demo")
    for _ in range(3):
        asking.begin(sam, "Hello", "demo")


def test_a_refused_question_stays_in_the_form(client: Client, settings: Settings, ended: Reply) -> None:
    settings.CHAT_PERSON_QUESTIONS = 1
    response = client.post("/c/", {"text": "What is <this>?"}, headers=HTML)
    assert response.status_code == 429
    assert "What is &lt;this&gt;?</textarea>" in response.text
    assert "reached the limit of 1 question per minute. Ask again in" in response.text
    assert int(response.headers["Retry-After"]) > 0


async def test_simultaneous_questions_cannot_exceed_the_limit(start_server: Servers, upstream: Upstream) -> None:
    upstream.default = [hang()]
    limits = {"CHAT_PERSON_RUNNING": "2", "CHAT_DRAIN_SECONDS": "0"}
    server = start_server(None, OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="small", **limits)
    async with Visitor(server, "alice") as alice:
        answers = await asyncio.gather(*(alice.post("/c/", text=f"{number}?") for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 429, 429, 429, 429]
