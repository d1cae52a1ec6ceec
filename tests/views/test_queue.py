"""Queued questions on the page and in the HTTP API."""

from typing import Any

import pytest
from pytest_django import Settings

from chat import asking, queued
from chat.catalog import Catalog, Model
from chat.demo import Demo
from chat.models import Conversation, Message, QueuedQuestion, Reply, User
from chat.questions import FOLDED_LINES, render_question
from tests import endings
from tests.client import Client

JSON = {"accept": "application/json"}


@pytest.fixture
def running(alice: User) -> Reply:
    """The reply that is being written in Alice's conversation."""
    return asking.begin(alice, "First", "demo")


@pytest.fixture
def conversation(running: Reply) -> Conversation:
    return running.message.conversation


@pytest.fixture
def question(conversation: Conversation) -> QueuedQuestion:
    return queued.add(conversation, "Second", "demo")


def address(conversation: Conversation, question: QueuedQuestion | None = None, action: str = "") -> str:
    url = f"{conversation.get_absolute_url()}queue/"
    return f"{url}{question.pk}/{action}/" if question else url


def texts() -> list[str]:
    return list(QueuedQuestion.objects.order_by("pk").values_list("text", flat=True))


def test_a_question_is_queued_by_a_form(client: Client, conversation: Conversation) -> None:
    response = client.post(address(conversation), {"text": "Second"})
    assert (response.status_code, response.url) == (303, f"{conversation.get_absolute_url()}#queued")
    assert texts() == ["Second"]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_program_queues_a_question(
    client: Client, conversation: Conversation, running: Reply, content_type: str
) -> None:
    fields = {"text": "Second", "parent": str(running.pk)}
    body: Any = fields if content_type == "application/json" else f"text=Second&parent={running.pk}"
    response = client.post(address(conversation), body, content_type=content_type, headers=JSON)
    assert response.status_code == 201
    assert response.json() == {"queued": {"id": str(QueuedQuestion.objects.get().pk)}}


def test_the_page_shows_what_is_queued_and_when_it_is_sent(
    client: Client, conversation: Conversation, question: QueuedQuestion, running: Reply
) -> None:
    queued.add(conversation, "Third", "demo")
    page = client.get(conversation.get_absolute_url()).text
    assert "Will be sent when this reply is complete." in page
    assert "Will be sent when the question before it has been answered." in page
    assert "Stop and send" in page
    endings.end(running, "so far", "stopped")
    page = client.get(conversation.get_absolute_url()).text
    assert "Not sent, because the reply before it isn't complete." in page
    assert "Send now" in page


def test_a_queued_question_looks_as_it_will_when_it_is_sent(client: Client, conversation: Conversation) -> None:
    text = "Why?\n\n```python\ndef f(): ...\n```\n" + "It fails.\n" * FOLDED_LINES
    queued.add(conversation, text, "demo")
    html = render_question(text)
    assert '<span class="k">def</span>' in html
    assert '<details class="fold">' in html
    assert html in client.get(conversation.get_absolute_url()).text


def test_a_queued_question_names_its_model_if_that_is_another_one(
    client: Client, conversation: Conversation, question: QueuedQuestion
) -> None:
    client.process.catalog = Catalog([Model(name, Demo(False, 0)) for name in ("demo", "large")])
    assert "It will be answered by" not in client.get(conversation.get_absolute_url()).text
    queued.add(conversation, "Third", "large")
    assert client.get(conversation.get_absolute_url()).text.count("It will be answered by large.") == 1
    # The first one answers instead of a model that is gone.
    QueuedQuestion.objects.update(model="gone")
    assert "It will be answered by" not in client.get(conversation.get_absolute_url()).text


def test_a_page_says_that_a_question_waits_for_room(
    client: Client, conversation: Conversation, question: QueuedQuestion, running: Reply
) -> None:
    endings.end(running, "One")
    page = client.get(conversation.get_absolute_url()).text
    assert "Will be sent as soon as there is room." in page


def test_what_is_queued_shows_only_at_the_end_of_its_branch(
    client: Client, conversation: Conversation, running: Reply
) -> None:
    endings.end(running, "One")
    other = asking.retry(running, "demo")
    queued.add(conversation, "Second", "demo", parent=other.pk)
    conversation.show(running.message)
    assert "Second" not in client.get(conversation.get_absolute_url()).text


def test_a_queued_question_is_edited(client: Client, conversation: Conversation, question: QueuedQuestion) -> None:
    response = client.post(address(conversation, question, "edit"), {"text": "2nd"})
    assert response.status_code == 303
    assert texts() == ["2nd"]
    response = client.post(address(conversation, question, "edit"), {"text": "Zweite"}, headers=JSON)
    assert response.json() == {"queued": {"id": str(question.pk)}}


def test_a_queued_question_is_withdrawn(client: Client, conversation: Conversation, question: QueuedQuestion) -> None:
    assert client.post(address(conversation, question, "withdraw"), headers=JSON).json() == {}
    assert texts() == []


def test_a_held_question_is_sent(
    client: Client, conversation: Conversation, question: QueuedQuestion, running: Reply
) -> None:
    endings.end(running, "so far", "stopped")
    response = client.post(address(conversation, question, "send"), headers=JSON)
    assert response.status_code == 201
    assert Reply.objects.get(pk=response.json()["reply"]["id"]).message.parent_id is not None
    assert texts() == []
    assert Message.objects.get(text="Second").parent_id == running.pk


def test_a_refused_edit_stays_open_with_its_text(
    client: Client, conversation: Conversation, question: QueuedQuestion, settings: Settings
) -> None:
    settings.CHAT_QUESTION_CHARS = 10
    url = address(conversation, question, "edit")
    response = client.post(url, {"text": "my better words"})
    assert response.status_code == 422
    queue = response.text.split('class="queued"')[1].split("</section>")[0]
    assert "<details" in queue
    assert " open>" in queue
    assert "my better words</textarea>" in queue
    assert "Your question has 15 characters. The limit is 10.</p>" in queue
    assert response.text.count("my better words") == 1
    assert client.post(url, {"text": "my better words"}, headers=JSON).json()["error"]["code"] == "question_too_long"
    assert texts() == ["Second"]


def test_an_edit_that_comes_too_late_keeps_the_text(
    client: Client, conversation: Conversation, question: QueuedQuestion
) -> None:
    QueuedQuestion.objects.all().delete()
    response = client.post(address(conversation, question, "edit"), {"text": "my better words"})
    assert response.status_code == 409
    assert "This question has been asked already, or was withdrawn." in response.text
    assert "my better words</textarea>" in response.text


@pytest.mark.parametrize("action", ["edit", "withdraw", "send"])
def test_nothing_happens_to_a_question_that_is_gone(
    client: Client, conversation: Conversation, question: QueuedQuestion, action: str
) -> None:
    QueuedQuestion.objects.all().delete()
    response = client.post(address(conversation, question, action), {"text": "2nd"}, headers=JSON)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "already_asked")


@pytest.mark.parametrize("action", ["edit", "withdraw", "send", None])
def test_strangers_find_no_queue(
    client: Client, conversation: Conversation, question: QueuedQuestion, bob: User, action: str | None
) -> None:
    client.force_login(bob)
    url = address(conversation, question, action) if action else address(conversation)
    assert client.post(url, {"text": "mine"}, headers=JSON).status_code == 404
    assert texts() == ["Second"]


@pytest.mark.parametrize("action", ["edit", "withdraw", "send", None])
def test_the_address_of_a_form_leads_back_to_the_conversation(
    client: Client, conversation: Conversation, question: QueuedQuestion, action: str | None
) -> None:
    url = address(conversation, question, action) if action else address(conversation)
    response = client.get(url)
    assert response.status_code == 303
    assert response.url.startswith(conversation.get_absolute_url())
    assert texts() == ["Second"]


@pytest.mark.parametrize("change", ["another wording", "a choice"])
def test_a_question_from_a_page_that_shows_another_branch_is_refused(
    client: Client, conversation: Conversation, running: Reply, change: str
) -> None:
    leaf = running.message
    if change == "another wording":
        asking.edit(Message.objects.get(children=leaf), "Other words", "demo")
    else:
        endings.end(running, "One")
        first, _ = asking.compare(lambda: asking.ask(conversation, "Which?", "demo"), "demo")
        leaf = Message.objects.get(children=first.message)
        conversation.show(first.message)
    fields = {"text": "my next words", "leaf": str(leaf.pk)}
    response = client.post(address(conversation), fields)
    assert response.status_code == 409
    assert "This conversation has changed in another window." in response.text
    assert "my next words</textarea>" in response.text
    response = client.post(address(conversation), fields, headers=JSON)
    assert response.json()["error"]["code"] == "conversation_changed"
    assert texts() == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"text": " "}, "empty_question"), ({"text": "And?", "parent": "none"}, "unknown_parent")],
)
def test_a_bad_question_is_refused(
    client: Client, conversation: Conversation, fields: dict[str, str], code: str
) -> None:
    response = client.post(address(conversation), fields, headers=JSON)
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)


def test_too_many_queued_questions_are_refused_and_the_text_is_kept(
    client: Client, conversation: Conversation, question: QueuedQuestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "MOST", 1)
    response = client.post(address(conversation), {"text": "my next words"})
    assert response.status_code == 429
    assert "already queued 1 question here" in response.text
    assert "my next words</textarea>" in response.text


def test_a_page_with_a_refused_text_does_not_reload_itself(client: Client, conversation: Conversation) -> None:
    assert 'http-equiv="refresh"' in client.get(conversation.get_absolute_url()).text
    response = client.post(address(conversation), {"text": "long " * 10_000})
    assert response.status_code == 422
    assert "long long" in response.text
    assert 'http-equiv="refresh"' not in response.text
    assert "Show new text" in response.text


@pytest.mark.parametrize("what", ["a question", "an edit", "an edit of a queued question"])
def test_a_question_to_a_deleted_conversation_can_start_a_new_one(
    client: Client, conversation: Conversation, question: QueuedQuestion, what: str
) -> None:
    urls = {
        "a question": address(conversation),
        "an edit": f"/questions/{conversation.messages.filter(role='user').values_list('pk', flat=True)[0]}/edit/",
        "an edit of a queued question": address(conversation, question, "edit"),
    }
    Conversation.objects.all().delete()
    response = client.post(urls[what], {"text": "my next words"})
    assert response.status_code == 404
    assert "This conversation no longer exists." in response.text
    assert "my next words</textarea>" in response.text


def test_a_reply_is_not_stopped_for_a_question_that_is_refused(
    client: Client, conversation: Conversation, question: QueuedQuestion, running: Reply, settings: Settings
) -> None:
    settings.CHAT_PERSON_QUESTIONS = 1
    response = client.post(address(conversation, question, "send"))
    assert response.status_code == 429
    assert "the limit of 1 question per minute" in response.text
    running.refresh_from_db()
    assert running.is_running
    assert texts() == ["Second"]


def test_two_answers_are_not_compared_while_a_question_is_held_and_the_text_is_kept(
    client: Client, conversation: Conversation, question: QueuedQuestion, running: Reply
) -> None:
    endings.end(running, "so far", "stopped")
    url, fields = f"{conversation.get_absolute_url()}messages/", {"text": "my next words", "also": "demo"}
    response = client.post(url, fields)
    assert response.status_code == 409
    assert "while questions are queued. Send or withdraw those first." in response.text
    assert "my next words</textarea>" in response.text
    assert "so far" in response.text, "the page shows the conversation as it is"
    assert client.post(url, fields, headers=JSON).json()["error"]["code"] == "questions_queued"
    assert texts() == ["Second"]
    assert not Message.objects.filter(text="my next words").exists()


def test_sending_at_once_counts_against_the_limits(
    client: Client, conversation: Conversation, question: QueuedQuestion, running: Reply, settings: Settings
) -> None:
    settings.CHAT_PERSON_QUESTIONS = 1
    endings.end(running, "so far", "stopped")
    response = client.post(address(conversation, question, "send"), headers=JSON)
    assert (response.status_code, response.json()["error"]["code"]) == (429, "too_many_questions")
    assert texts() == ["Second"]
