"""Bad requests get a fitting status and a sentence, as JSON or as a page."""

import uuid
from typing import Any

import pytest
from pytest_django import Settings

from chat import asking, trash
from chat.models import Conversation, Message, Reply, User
from tests.client import Client

JSON = {"accept": "application/json"}
STREAM = {"accept": "text/event-stream"}
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def error(response: Any) -> dict[str, str]:
    problem: dict[str, str] = response.json()["error"]
    assert problem["message"].endswith("."), "a sentence that a person can act on"
    return problem


# Who asks


@pytest.mark.parametrize("headers", [JSON, STREAM])
def test_a_signed_out_program_gets_401(ended: Reply, headers: dict[str, str]) -> None:
    response = Client(headers=headers).get(f"/replies/{ended.pk}/events/")
    assert response.status_code == 401
    assert error(response)["code"] == "signed_out"


def test_a_signed_out_browser_is_sent_to_sign_in(ended: Reply) -> None:
    url = ended.message.conversation.get_absolute_url()
    response = Client(headers=HTML).get(url)
    assert response.status_code == 302
    assert response["location"] == f"/accounts/login/?next={url}"


PATHS = [
    *("/c/{c}/", "/c/{c}/messages/", "/c/{c}/branch/", "/c/{c}/queue/", "/c/{c}/delete/"),
    "/c/{c}/options/",
    *("/replies/{r}/", "/replies/{r}/events/", "/replies/{r}/stop/", "/replies/{r}/feedback/"),
    *("/replies/{r}/retry/", "/replies/{r}/continue/", "/questions/{q}/edit/", "/c/{c}/transcript/"),
    *("/c/{c}/conversation.md", "/c/{c}/conversation.json", "/c/{c}/print/"),
]


def expect_nothing(person: User, reply: Reply, path: str, method: str) -> None:
    client = Client(headers=JSON)
    client.force_login(person)
    path = path.format(c=reply.message.conversation_id, r=reply.pk, q=reply.message.parent_id)
    response = getattr(client, method)(path, {"text": "mine?"})
    if response.status_code != 405:
        assert response.status_code == 404
        assert error(response)["code"] == "not_found"
    assert Message.objects.count() == 2


@pytest.mark.any_store
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", [*PATHS, "/c/{c}/restore/", "/c/{c}/erase/"])
def test_other_peoples_rows_do_not_exist(alice: User, bob: User, ended: Reply, path: str, method: str) -> None:
    if "/restore/" in path or "/erase/" in path:
        trash.put(alice, [ended.message.conversation_id])
    expect_nothing(bob, ended, path, method)


@pytest.mark.any_store
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", PATHS)
def test_what_is_in_the_trash_does_not_exist(alice: User, ended: Reply, path: str, method: str) -> None:
    trash.put(alice, [ended.message.conversation_id])
    expect_nothing(alice, ended, path, method)


@pytest.mark.parametrize("path", ["/c/{c}/restore/", "/c/{c}/erase/"])
def test_what_is_not_in_the_trash_is_neither_restored_nor_erased(alice: User, ended: Reply, path: str) -> None:
    expect_nothing(alice, ended, path, "post")


def test_an_unknown_conversation_is_not_found(client: Client) -> None:
    response = client.get(f"/c/{uuid.uuid4()}/", headers=HTML)
    assert response.status_code == 404
    assert "Page not found" in response.text


@pytest.mark.parametrize("path", ["email/", "confirm-email/", "confirm-email/some-key/"])
def test_unused_pages_of_allauth_are_not_found(client: Client, path: str) -> None:
    response = client.get(f"/accounts/{path}", headers=HTML)
    assert response.status_code == 404
    assert "Page not found" in response.text


def test_without_a_csrf_token_nothing_is_stored(alice: User) -> None:
    client = Client(enforce_csrf_checks=True, headers=JSON)
    client.force_login(alice)
    response = client.post("/c/", {"text": "Hello"})
    assert response.status_code == 403
    assert error(response)["code"] == "csrf"
    assert not Conversation.objects.exists()


@pytest.mark.parametrize(
    ("headers", "is_shown"),
    [({"origin": "http://testserver"}, True), ({"origin": "https://evil.example"}, False), ({}, False)],
)
def test_a_page_that_has_expired_gives_back_what_was_written_on_a_page_of_ours(
    alice: User, headers: dict[str, str], is_shown: bool
) -> None:
    client = Client(enforce_csrf_checks=True, headers=HTML)
    client.force_login(alice)
    response = client.post("/c/", {"text": "\n<b>Hello"}, headers=headers)
    assert response.status_code == 403
    assert ("\n\n&lt;b&gt;Hello</textarea>" in response.text) == is_shown
    assert not Conversation.objects.exists()


# What is asked


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "empty_question"),
        ({"text": ""}, "empty_question"),
        ({"text": " \n\t "}, "empty_question"),
        ({"text": "\u200b \u200b"}, "empty_question"),
        ({"text": "x" * 101}, "question_too_long"),
        ({"text": "a\0b"}, "bad_question"),
        ({"text": "Hello", "model": "gpt-99"}, "unknown_model"),
        ({"text": "Hello", "parent": "somewhere"}, "unknown_parent"),
        ({"text": "Hello", "parent": str(uuid.UUID(int=2))}, "unknown_parent"),
    ],
)
@pytest.mark.parametrize("kind", ["form", "json"])
def test_a_bad_question_gets_a_sentence_and_is_not_stored(
    client: Client, settings: Settings, fields: dict[str, str], code: str, kind: str
) -> None:
    settings.CHAT_QUESTION_CHARS = 100
    if kind == "json":
        response = client.post("/c/", fields, content_type="application/json", headers=JSON)
    else:
        response = client.post("/c/", fields, headers=JSON)
    assert response.status_code == 422
    assert error(response)["code"] == code
    assert not Conversation.objects.exists()


def test_the_address_of_a_refused_form_leads_to_its_page(client: Client, ended: Reply) -> None:
    conversation = ended.message.conversation.get_absolute_url()
    message = f"{conversation}#message-{ended.pk}"
    pages = {"/c/": "/", f"{conversation}messages/": conversation, f"{conversation}branch/": conversation}
    pages |= {f"/replies/{ended.pk}/{action}/": message for action in ("stop", "retry", "continue")}
    for address, page in pages.items():
        response = client.get(address, headers=HTML)
        assert (response.status_code, response["location"]) == (303, page)


REFUSED = {
    "/replies/{r}/retry/": 409,
    "/replies/{r}/continue/": 409,
    "/replies/{r}/feedback/": 409,
    "/c/{c}/branch/": 422,
    "/c/{c}/queue/{r}/withdraw/": 409,
    "/c/{c}/queue/{r}/send/": 409,
}


@pytest.mark.parametrize("path", REFUSED)
def test_a_page_that_refuses_leads_back_to_the_conversation(client: Client, alice: User, bob: User, path: str) -> None:
    running = asking.begin(alice, "Hello", "demo")
    address = path.format(c=running.message.conversation_id, r=running.pk)
    response = client.post(address, {"verdict": "good"}, headers=HTML)
    assert response.status_code == REFUSED[path]
    assert f'<a class="button" href="{address}">Back to the conversation</a>' in response.text
    response = client.get(address, headers=HTML)
    assert response["location"].startswith(running.message.conversation.get_absolute_url())
    client.force_login(bob)
    assert "Back to Parley" in client.post(address, headers=HTML).text


def test_a_refused_reason_stays_in_its_form(client: Client, alice: User, ended: Reply) -> None:
    running = asking.begin(alice, "Hello", "demo")
    for reply, reason in ((ended, "<" + "x" * 2_000), (running, "<x")):
        address = f"/replies/{reply.pk}/feedback/"
        response = client.post(address, {"verdict": "bad", "reason": reason}, headers=HTML)
        assert response.status_code == (409 if reply.is_running else 422)
        assert f"&lt;{reason[1:]}</textarea>" in response.text
        assert 'name="verdict" value="bad"' in response.text


def test_a_refused_question_stays_in_the_form(client: Client, settings: Settings) -> None:
    settings.CHAT_QUESTION_CHARS = 10
    response = client.post("/c/", {"text": "What is <two> and two?"}, headers=HTML)
    assert response.status_code == 422
    assert "What is &lt;two&gt; and two?</textarea>" in response.text
    assert "The limit is 10." in response.text


@pytest.mark.parametrize(
    "body",
    [
        *("{", "[]", "42", '"text"', "null", "[" * 100_000, b"\xff"),
        *('{"text": 5}', '{"text": ["x"]}', '{"text": {"a": 1}}', '{"text": "x", "model": []}', '{"text": NaN}'),
        r'{"text": "\ud83d"}',
    ],
)
def test_a_body_that_is_not_a_json_object_of_texts(client: Client, body: str | bytes) -> None:
    response = client.post("/c/", body, content_type="application/json", headers=JSON)
    assert response.status_code == 400
    assert error(response)["code"] == "bad_json"


def test_a_parent_must_be_an_answer_in_the_same_conversation(client: Client, alice: User, ended: Reply) -> None:
    elsewhere = asking.begin(alice, "Another one", "demo")
    url = f"/c/{ended.message.conversation_id}/messages/"
    for parent in (uuid.uuid4(), elsewhere.pk, ended.message.parent_id):
        response = client.post(url, {"text": "And?", "parent": str(parent)}, headers=JSON)
        assert response.status_code == 422
        assert error(response)["code"] == "unknown_parent"
    assert Message.objects.filter(conversation=ended.message.conversation_id).count() == 2


@pytest.mark.parametrize("path", ["/c/{c}/messages/", "/replies/{r}/retry/"])
def test_no_question_is_accepted_while_a_reply_runs(client: Client, alice: User, path: str) -> None:
    reply = asking.begin(alice, "Hello", "demo")
    conversation = reply.message.conversation
    response = client.post(path.format(c=conversation.pk, r=reply.pk), {"text": "Hello?"}, headers=JSON)
    assert response.status_code == 409
    assert error(response)["code"] == "reply_running"
    assert Message.objects.count() == 2


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "٣", str(2**31), "9" * 5000])
@pytest.mark.parametrize("where", ["query", "header"])
def test_a_bad_cursor_of_a_stream(client: Client, ended: Reply, after: str, where: str) -> None:
    url = f"/replies/{ended.pk}/events/"
    if where == "query":
        response = client.get(url, {"after": after}, headers=STREAM)
    else:
        response = client.get(url, headers=STREAM | {"last-event-id": after.encode().decode("latin-1")})
    assert response.status_code == 400
    assert error(response)["code"] == "bad_after"


@pytest.mark.parametrize("moment", ["x", "2026-01-01", "2026-01-01T00:00:00", "9999-12-31T23:59:59-23:59", ""])
@pytest.mark.parametrize("pk", ["x", "", str(uuid.UUID(int=1))])
def test_a_bad_cursor_of_the_history(client: Client, moment: str, pk: str) -> None:
    for path in ("/history/", "/"):
        response = client.get(path, {"before": f"{moment}_{pk}"}, headers=JSON)
        assert response.status_code == 400
        assert error(response)["code"] == "bad_request"


@pytest.mark.parametrize("message", ["", "x", str(uuid.UUID(int=2))])
def test_a_missing_answer_cannot_be_shown(client: Client, ended: Reply, message: str) -> None:
    response = client.post(f"/c/{ended.message.conversation_id}/branch/", {"message": message}, headers=JSON)
    assert response.status_code == 422
    assert error(response)["code"] == "unknown_message"


def test_a_server_error_shows_no_details(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("chat.views.pages.history", break_down)
    client.raise_request_exception = False
    for headers in (JSON, HTML):
        response = client.get("/", headers=headers)
        assert response.status_code == 500
        assert "secret detail" not in response.text
        assert "Try again in a moment." in response.text
