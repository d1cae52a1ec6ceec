"""Pages and addresses of temporary conversations."""

import pytest
from pytest_django import Settings

from chat.models import Conversation, Draft, Reply, User
from tests.client import Client

JSON = {"accept": "application/json"}
NOTICE = 'aria-label="Temporary chat"'
FIELD = '<input type="hidden" name="temporary" value="true">'


@pytest.fixture
def conversation(client: Client) -> Conversation:
    """Alice's, begun without scripts."""
    response = client.post("/c/", {"text": "How much salt?", "temporary": "true"})
    assert response.status_code == 303
    return Conversation.objects.get(temporary=True)


def test_it_begins_on_a_page_of_its_own(client: Client, alice: User) -> None:
    Draft.objects.keep(alice.pk, None, "half an ordinary question")
    assert 'href="/temporary/"' in client.get("/").text
    page = client.get("/temporary/").text
    assert NOTICE in page
    assert FIELD in page
    assert "at the latest 24 hours" in page
    assert "half an ordinary question" not in page
    assert 'data-draft-url=""' in page


@pytest.mark.parametrize("sent", [{}, {"temporary": "false"}, {"temporary": ""}])
def test_others_are_not_temporary(client: Client, sent: dict[str, str]) -> None:
    url = client.post("/c/", {"text": "Hello?", **sent})["location"]
    assert not Conversation.objects.get().temporary
    assert NOTICE not in client.get(url).text
    assert FIELD not in client.get("/").text


def test_its_page_says_what_it_is(client: Client, conversation: Conversation) -> None:
    page = client.get(conversation.get_absolute_url()).text
    assert NOTICE in page
    assert "data-is-temporary" in client.get(f"/c/{conversation.pk}/transcript/").text
    assert "<title>Temporary chat · Parley</title>" in page
    assert "Your conversations will gather here." in page


def test_the_page_of_a_refusal_is_temporary(client: Client, conversation: Conversation, settings: Settings) -> None:
    settings.CHAT_QUESTION_CHARS = 5
    for url in ("/c/", f"/c/{conversation.pk}/messages/"):
        response = client.post(url, {"text": "Too long", "temporary": "true"})
        assert response.status_code == 422
        assert NOTICE in response.text
        assert FIELD in response.text


def test_what_is_asked_after_its_end_begins_no_ordinary_one(client: Client, conversation: Conversation) -> None:
    client.post(f"/c/{conversation.pk}/end/")
    response = client.post(f"/c/{conversation.pk}/messages/", {"text": "And thyme?", "temporary": "true"})
    assert response.status_code == 404
    assert "And thyme?" in response.text
    assert FIELD in response.text


def test_its_person_ends_it(client: Client, conversation: Conversation) -> None:
    url = conversation.get_absolute_url()
    response = client.post(f"{url}end/")
    assert (response.status_code, response["location"]) == (303, "/")
    assert "The temporary chat has ended and is deleted." in client.get("/").text
    assert client.get(url).status_code == 404
    assert client.post(f"{url}end/").status_code == client.post(f"{url}keep/").status_code == 404
    assert conversation.title not in client.get("/trash/").text


def test_its_person_keeps_it(client: Client, conversation: Conversation) -> None:
    url = conversation.get_absolute_url()
    response = client.post(f"{url}keep/")
    assert (response.status_code, response["location"]) == (303, url)
    page = client.get(url).text
    assert NOTICE not in page
    assert "<title>How much salt? · Parley</title>" in page
    assert client.post(f"{url}keep/").status_code == client.post(f"{url}end/").status_code == 404


def test_programs_keep_and_end_too(client: Client, conversation: Conversation) -> None:
    assert client.post(f"/c/{conversation.pk}/keep/", headers=JSON).json() == {}
    client.post("/c/", {"text": "Hello?", "temporary": "true"})
    other = Conversation.objects.get(temporary=True)
    assert client.post(f"/c/{other.pk}/end/", headers=JSON).json() == {}
    assert not Conversation.objects.kept().filter(temporary=True).exists()


def test_the_next_new_page_leads_back_to_it(client: Client, conversation: Conversation) -> None:
    url = conversation.get_absolute_url()
    page = client.get("/").text
    assert f'<a href="{url}">A temporary chat</a>' in page
    assert f'action="{url}end/"' in page
    client.post(f"{url}end/")
    assert "A temporary chat</a>" not in client.get("/").text


def test_what_lists_have_options_for_is_not_found(client: Client, conversation: Conversation) -> None:
    url = conversation.get_absolute_url()
    assert client.get(f"{url}options/").status_code == 404
    assert client.post(f"{url}options/", {"archived": "true"}).status_code == 404
    assert client.post(f"{url}delete/", headers=JSON).status_code == 404
    assert conversation.title not in client.get("/archive/").text


def test_nobody_else_ends_or_keeps_it(client: Client, bob: User, conversation: Conversation) -> None:
    client.force_login(bob)
    for address in ("", "end/", "keep/"):
        assert client.post(f"/c/{conversation.pk}/{address}").status_code in (404, 405)
        assert client.get(f"/c/{conversation.pk}/{address}").status_code == 404
    assert Conversation.objects.kept().get().temporary


def test_addresses_of_forms_lead_to_the_conversation(client: Client, conversation: Conversation) -> None:
    for address in ("end", "keep"):
        response = client.get(f"/c/{conversation.pk}/{address}/")
        assert (response.status_code, response["location"]) == (303, conversation.get_absolute_url())


def test_a_setting_forbids_them(client: Client, settings: Settings) -> None:
    settings.CHAT_TEMPORARY_HOURS = 0
    assert "/temporary/" not in client.get("/").text
    assert client.get("/temporary/").status_code == 404
    response = client.post("/c/", {"text": "How much salt?", "temporary": "true"})
    assert response.status_code == 422
    assert "Temporary chats are switched off here." in response.text
    assert "How much salt?</textarea>" in response.text
    assert FIELD not in response.text
    error = client.post("/c/", {"text": "Salt?", "temporary": "true"}, headers=JSON).json()["error"]
    assert error["code"] == "no_temporary"
    assert not Conversation.objects.exists()


def test_staff_see_that_it_is_temporary(client: Client, sam: User, conversation: Conversation) -> None:
    client.force_login(sam)
    for address in ("", f"{conversation.pk}/change/"):
        assert "status--temporary" in client.get(f"/admin/chat/conversation/{address}").text


def test_answers_in_it_are_judged_and_taken_along(client: Client, conversation: Conversation) -> None:
    reply = Reply.objects.get()
    Reply.objects.update(status="complete")
    assert client.post(f"/replies/{reply.pk}/feedback/", {"verdict": "good"}).status_code == 303
    assert client.get(f"/c/{conversation.pk}/conversation.md").status_code == 200
