"""The pages on which people set what goes to the model besides their questions."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse

from chat import asking
from chat.catalog import Catalog, Model
from chat.demo import Demo
from chat.forms import MOST_INSTRUCTIONS
from chat.models import Conversation, Message, Reply, User
from tests.client import Client
from tests.views.test_documents import body

HOSTILE = "</textarea><script>alert(1)</script>"


@pytest.fixture
def conversation(ended: Reply) -> Conversation:
    return ended.message.conversation


def of(conversation: Conversation) -> tuple[str, float | None, int | None]:
    now = Conversation.objects.get(pk=conversation.pk)
    return now.instructions, now.temperature, now.max_tokens


def save(client: Client, conversation: Conversation, **fields: str) -> Any:
    return client.post(reverse("conversation_settings", args=[conversation.pk]), fields)


def test_ones_own_instructions_are_kept(client: Client, alice: User) -> None:
    response = client.post(reverse("settings"), {"instructions": "Be brief.\r\nBe kind."})
    assert (response.status_code, response.url) == (303, reverse("settings"))
    alice.refresh_from_db()
    assert alice.instructions == "Be brief.\nBe kind."
    page = client.get(reverse("settings")).text
    assert "Be brief.\nBe kind.</textarea>" in page
    assert "Your settings are saved." in page


def test_instructions_have_a_limit_and_are_not_lost(client: Client, alice: User) -> None:
    long = "x" * (MOST_INSTRUCTIONS + 1)
    response = client.post(reverse("settings"), {"instructions": long})
    assert response.status_code == 422
    assert "Your instructions have 4,001 characters. The limit is 4,000." in response.text
    assert long in response.text
    alice.refresh_from_db()
    assert alice.instructions == ""


def test_a_conversation_has_its_own(client: Client, conversation: Conversation) -> None:
    response = save(client, conversation, instructions=" In verse. ", temperature="0", max_tokens="500")
    assert (response.status_code, response.url) == (303, conversation.get_absolute_url())
    assert of(conversation) == ("In verse.", 0, 500)
    page = client.get(reverse("conversation_settings", args=[conversation.pk])).text
    assert "In verse.</textarea>" in page
    assert 'value="500"' in page
    save(client, conversation, instructions="", temperature="", max_tokens="")
    assert of(conversation) == ("", None, None)


def test_programs_learn_what_is_wrong_with_each_field(client: Client, conversation: Conversation) -> None:
    url, headers = reverse("conversation_settings", args=[conversation.pk]), {"accept": "application/json"}
    response = client.post(url, {"temperature": "3", "max_tokens": "0"}, headers=headers)
    sentences = {
        "temperature": "Enter a number from 0 to 2, or nothing.",
        "max_tokens": "Enter a whole number from 1 to 1,000,000, or nothing.",
    }
    error = {"code": "invalid", "message": sentences["temperature"], "fields": sentences}
    assert (response.status_code, response.json()) == (422, {"error": error})
    assert client.post(url, {"temperature": "1"}, headers=headers).json() == {}
    assert of(conversation) == ("", 1, None)


def test_open_pages_learn_of_it(client: Client, conversation: Conversation) -> None:
    before = Conversation.objects.get(pk=conversation.pk).version
    save(client, conversation, instructions="In verse.")
    assert Conversation.objects.get(pk=conversation.pk).version == before + 1


@pytest.mark.any_store
@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        *(("temperature", value, "Enter a number from 0 to 2, or nothing.") for value in ("-1", "2.1", "warm", "nan")),
        *(
            ("max_tokens", value, "Enter a whole number from 1 to 1,000,000, or nothing.")
            for value in ("0", "1000001", "1.5", "9" * 5000)
        ),
        ("instructions", "x" * 4001, "Your instructions have 4,001 characters. The limit is 4,000."),
    ],
)
def test_what_cannot_be_gets_a_sentence_beside_its_field(
    client: Client, conversation: Conversation, field: str, value: str, sentence: str
) -> None:
    fields = {"instructions": "In verse.", field: value}
    response = save(client, conversation, **fields)
    assert response.status_code == 422
    assert sentence in response.text
    assert 'aria-invalid="true"' in response.text
    assert of(conversation) == ("", None, None)
    if field != "instructions":
        assert "In verse.</textarea>" in response.text


PREFERENCES = {
    "theme": "dark",
    "text_size": "large",
    "typeface": "sans",
    "enter": "breaks",
    "default_model": "demo",
    "date_language": "de",
}


def test_settings_are_kept_and_pages_follow_them(client: Client, alice: User) -> None:
    client.post(reverse("settings"), PREFERENCES)
    alice.refresh_from_db()
    assert {name: getattr(alice, name) for name in PREFERENCES} == PREFERENCES
    for url in ("/", reverse("settings")):
        page = client.get(url).text
        html = page[page.index("<html") : page.index("<head>")]
        assert 'data-theme="dark" data-text-size="large" data-typeface="sans" data-enter="breaks"' in html
    assert "+ Enter to send, Enter for a new line" in client.get("/").text


@pytest.mark.any_store
@pytest.mark.parametrize("name", PREFERENCES)
def test_only_what_is_offered_can_be_chosen(client: Client, alice: User, name: str) -> None:
    response = client.post(reverse("settings"), {"instructions": "Be brief.", name: "</html>"})
    assert response.status_code == 422
    assert "Be brief.</textarea>" in response.text
    alice.refresh_from_db()
    assert (alice.instructions, getattr(alice, name)) == ("", "")


def test_the_menu_stores_the_theme_alone(client: Client, alice: User) -> None:
    client.post(reverse("settings"), PREFERENCES)
    assert client.post(reverse("theme"), {"theme": "light"}, headers={"accept": "application/json"}).json() == {}
    alice.refresh_from_db()
    assert (alice.theme, alice.text_size) == ("light", "large")
    assert client.post(reverse("theme"), {"theme": "pink"}).status_code == 422


def test_pages_that_know_nobody_have_no_preferences(client: Client) -> None:
    client.post(reverse("settings"), PREFERENCES)
    client.logout()
    page = client.get(reverse("account_login")).text
    assert '<html lang="en">' in page


def test_new_conversations_begin_with_the_default_model(client: Client, alice: User) -> None:
    """It may be gone since; then the first one does."""
    alice.model, alice.default_model = "small", "large"
    alice.save()
    offered = Catalog([Model(name, Demo(False, 0)) for name in ("first", "small", "large")])
    client.process.catalog = offered
    assert client.get("/").context["form"]["model"].initial == "large"
    User.objects.update(default_model="gone")
    assert client.get("/").context["form"]["model"].initial == "first"


@pytest.mark.any_store
@pytest.mark.parametrize(
    ("language", "label"), [("", "March 2020"), ("de", "März 2020"), ("ja", "2020年3月"), ("fr", "mars 2020")]
)
def test_dates_are_in_the_language_of_the_person(client: Client, alice: User, language: str, label: str) -> None:
    updated = datetime(2020, 3, 1, 12, tzinfo=UTC)
    Conversation.objects.create(owner=alice, title="Long ago", model="demo", updated=updated)
    client.post(reverse("settings"), {"date_language": language})
    assert f"<h2>{label}</h2>" in client.get("/").text


def test_each_page_with_a_date_follows_the_person(client: Client, conversation: Conversation, ended: Reply) -> None:
    moment = datetime(2020, 3, 1, 12, 30, tzinfo=UTC)
    Message.objects.update(created=moment)
    Reply.objects.update(asked=moment)
    Conversation.objects.update(created=moment, updated=moment)
    for language, written in (("", "1 March 2020, 12:30"), ("de", "1. März 2020 12:30")):
        client.post(reverse("settings"), {"date_language": language})
        assert written in client.get(conversation.get_absolute_url()).text
        printed = body(client.get(reverse("print", args=[conversation.pk])))
        assert printed.count(written) == 3, "that of all, and that of each message"


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_strangers_conversation_does_not_exist(
    client: Client, conversation: Conversation, bob: User, method: str
) -> None:
    client.force_login(bob)
    assert getattr(client, method)(reverse("conversation_settings", args=[conversation.pk])).status_code == 404
    assert of(conversation) == ("", None, None)


def test_instructions_are_text(client: Client, conversation: Conversation, alice: User) -> None:
    save(client, conversation, instructions=HOSTILE)
    client.post(reverse("settings"), {"instructions": HOSTILE})
    for name, arguments in (("conversation_settings", [conversation.pk]), ("settings", [])):
        assert HOSTILE not in client.get(reverse(name, args=arguments)).text


def line(client: Client, url: str) -> str:
    """What the page says under the box for questions."""
    shown = client.get(url).text.partition("data-applied>")[2].partition("</p>")[0]
    return " ".join(re.sub("<[^>]+>", "", shown).split())


def test_the_page_says_what_applies(client: Client, conversation: Conversation, alice: User) -> None:
    url = conversation.get_absolute_url()
    assert line(client, url) == "Instructions"
    # Where they are, there are those of the new conversation too.
    assert line(client, "/") == "Your instructions"
    User.objects.filter(pk=alice.pk).update(instructions="Be brief.")
    assert line(client, url) == line(client, "/") == "Your instructions"
    save(client, conversation, instructions="In verse.", temperature="0.5", max_tokens="1")
    said = "Instructions for this conversation and yours · temperature 0.5 · at most 1 token"
    assert line(client, url) == said


def test_a_new_conversation_begins_without_those_of_others(client: Client, conversation: Conversation) -> None:
    save(client, conversation, instructions="In verse.", temperature="0.5")
    other = asking.begin(User.objects.get(), "Hello", "demo").message.conversation
    assert of(other) == ("", None, None)


# Before the first question


def begin(client: Client, **fields: str) -> Any:
    return client.post("/c/", {"text": "Hello?", **fields})


def test_a_conversation_can_have_its_own_from_the_beginning(client: Client) -> None:
    page = client.get("/").text
    for name in ("instructions", "temperature", "max_tokens"):
        assert re.search(rf'<(input|textarea)[^>]* name="{name}"[^>]* form="ask"', page)
    response = begin(client, instructions=" In verse. ", temperature="0.5", max_tokens="500")
    assert response.status_code == 303
    assert of(Conversation.objects.get()) == ("In verse.", 0.5, 500)
    reply = Reply.objects.get()
    assert (reply.instructions, reply.temperature, reply.max_tokens) == ("In verse.", 0.5, 500)
    begin(client, instructions="", temperature="")
    assert of(Conversation.objects.latest("pk")) == ("", None, None)


def test_nothing_is_lost_where_one_of_them_cannot_be(client: Client) -> None:
    response = begin(client, instructions="In verse.", temperature="hot", temporary="true")
    assert response.status_code == 422
    html = response.text
    assert "data-beginning open>" in html
    assert "In verse.</textarea>" in html
    assert "Hello?</textarea>" in html
    assert 'aria-label="Temporary chat"' in html
    assert "Temperature: Enter a number from 0 to 2, or nothing." in html
    assert 'id="id_temperature_error"' in html
    assert not Conversation.objects.exists()
    response = begin(client, text=" ", instructions="In verse.")
    assert response.status_code == 422
    assert "In verse.</textarea>" in response.text


def test_programs_learn_what_cannot_be_at_the_beginning(client: Client) -> None:
    fields = {"text": "Hello?", "max_tokens": "0"}
    response = client.post("/c/", fields, headers={"accept": "application/json"})
    sentence = "Enter a whole number from 1 to 1,000,000, or nothing."
    assert response.status_code == 422
    assert response.json()["error"]["fields"] == {"max_tokens": sentence}
