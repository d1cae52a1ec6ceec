"""Labels: giving and taking them, their page, and finding conversations by them."""

import json
import re
from collections.abc import Callable
from html import unescape
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from chat.models import Conversation, Label, Labelling, Reply, User
from chat.models.labels import MOST_OF_CONVERSATION, MOST_OF_PERSON, key_of
from tests.client import Client
from tests.views.test_conversations import older, several
from tests.views.test_documents import body

JSON = {"accept": "application/json"}


def make(owner: User, *names: str) -> list[Label]:
    return Label.objects.bulk_create(Label(owner=owner, name=name, key=key_of(name)) for name in names)


def give(label: Label, *conversations: Conversation) -> None:
    Labelling.objects.bulk_create(Labelling(label=label, conversation=each) for each in conversations)


def names(conversation: Conversation) -> list[str]:
    return [label.name for label in conversation.labels.order_by("key")]


def listed(client: Client, query: str = "") -> list[str]:
    groups = client.get(f"/history/{query}").context["history"]["groups"]
    return [conversation.title for _, group in groups for conversation in group]


@pytest.fixture
def conversation(ended: Reply) -> Conversation:
    return ended.message.conversation


@pytest.fixture
def url(conversation: Conversation) -> str:
    return f"/c/{conversation.pk}/labels/"


@pytest.fixture
def work(alice: User) -> Label:
    return make(alice, "Work")[0]


# Giving and taking


def test_the_options_give_and_take_labels(client: Client, conversation: Conversation, work: Label, url: str) -> None:
    response = client.post(url, {"labels": work.pk, "name": "  New \n ideas "})
    assert (response.status_code, response["location"]) == (303, f"/c/{conversation.pk}/options/")
    assert names(conversation) == ["New ideas", "Work"]
    page = client.get(response["location"]).text
    assert re.findall(r'<input type="checkbox"[^>]*>', page) == re.findall(r"<input[^>]* checked>", page)
    client.post(url, {"labels": work.pk})
    assert names(conversation) == ["Work"]
    assert client.post(url, headers=JSON).json() == {}
    assert names(conversation) == []
    assert client.get(url)["location"] == f"/c/{conversation.pk}/options/"


def test_a_new_name_that_there_is_gives_that_label(client: Client, conversation: Conversation, url: str) -> None:
    for name in ("Été", "ÉTÉ", "e\u0301te\u0301"):
        client.post(url, {"name": name})
        assert names(conversation) == ["Été"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("\u200b", "Write a name first."),
        ("x" * 51, "This name has 51 characters. The limit is 50."),
        ("a\0b", "Null characters are not allowed."),
    ],
)
def test_a_bad_name_is_said_at_its_field(
    client: Client, conversation: Conversation, work: Label, url: str, name: str, sentence: str
) -> None:
    page = client.post(url, {"labels": work.pk, "name": name})
    assert page.status_code == 422
    assert sentence in page.text
    assert re.search(r'<input type="checkbox"[^>]* checked>', page.text), "what was checked stays"
    program = client.post(url, {"name": name}, headers=JSON)
    assert (program.status_code, program.json()["error"]["fields"]) == (422, {"name": sentence})
    page = client.post(f"/labels/{work.pk}/", {"name": name})
    assert page.status_code == 422
    assert sentence in page.text
    assert names(conversation) == []


@pytest.mark.parametrize("sent", ["others", "gone", "nonsense"])
def test_only_labels_of_ones_own_are_given(
    client: Client, conversation: Conversation, bob: User, url: str, sent: str
) -> None:
    label = {"others": make(bob, "Hers")[0].pk, "gone": uuid4(), "nonsense": "x"}[sent]
    page = client.post(url, {"labels": label})
    assert page.status_code == 422
    assert "One of these labels no longer exists." in page.text
    assert "Hers" not in page.text
    assert not Labelling.objects.exists()


def test_a_person_has_a_limited_number_of_labels(client: Client, alice: User, url: str) -> None:
    make(alice, *map(str, range(MOST_OF_PERSON)))
    assert "You have 200 labels, which is the limit." in client.post(url, {"name": "One more"}).text
    assert client.post(url, {"name": "7"}).status_code == 303
    assert Label.objects.count() == MOST_OF_PERSON


def test_a_conversation_has_a_limited_number_of_labels(
    client: Client, conversation: Conversation, alice: User, url: str
) -> None:
    labels = [label.pk for label in make(alice, *map(str, range(MOST_OF_CONVERSATION)))]
    page = client.post(url, {"labels": labels, "name": "One more"})
    assert page.status_code == 422
    assert "A conversation can have 20 labels." in page.text
    assert (names(conversation), Label.objects.count()) == ([], MOST_OF_CONVERSATION), "nothing has changed"
    assert client.post(url, {"labels": labels}).status_code == 303


def test_open_pages_follow(client: Client, alice: User, work: Label, url: str) -> None:
    alice.refresh_from_db()
    before = alice.list_version
    for address, fields in [
        (url, {"labels": str(work.pk)}),
        (f"/labels/{work.pk}/", {"name": "Play"}),
        (f"/labels/{work.pk}/delete/", {}),
    ]:
        client.post(address, fields)
        alice.refresh_from_db()
        before += 1
        assert alice.list_version == before


# Their page


def test_the_page_renames_and_deletes(client: Client, conversation: Conversation, work: Label) -> None:
    give(work, conversation)
    assert "1 conversation<" in client.get("/labels/").text
    page = client.post(f"/labels/{work.pk}/", {"name": "work"}, follow=True)
    assert "The label is called “work” now." in page.text
    assert "1 conversation has it, and stays." in client.get(f"/labels/{work.pk}/delete/").text
    page = client.post(f"/labels/{work.pk}/delete/", follow=True)
    assert "The label “work” is deleted." in page.text
    assert "You have no labels yet." in page.text
    assert listed(client) == [conversation.title]


def test_no_two_labels_have_one_name(client: Client, alice: User, bob: User) -> None:
    make(bob, "Play")
    work, _ = make(alice, "Work", "Straße")
    page = client.post(f"/labels/{work.pk}/", {"name": "STRASSE"})
    assert page.status_code == 422
    assert "Another label has this name." in page.text
    assert client.post(f"/labels/{work.pk}/", {"name": "Play"}).status_code == 303


def test_labels_of_others_are_not_found(client: Client, bob: User) -> None:
    [his] = make(bob, "Hers")
    for address in (f"/labels/{his.pk}/", f"/labels/{his.pk}/delete/"):
        assert client.get(address).status_code == 404
        assert client.post(address, {"name": "Mine"}).status_code == 404
    assert client.get(f"/history/?label={his.pk}").status_code == 404
    assert "Hers" not in client.get("/labels/").text
    assert [label.name for label in Label.objects.all()] == ["Hers"]


# Finding conversations


def test_the_list_shows_labels_and_is_filtered_by_one(client: Client, alice: User) -> None:
    conversations = several(alice, 100)
    work, play = make(alice, "Work", "Play")
    give(work, *conversations[::2])
    give(play, conversations[0])
    history = client.get("/history/").context["history"]
    first, second, *_ = (each for _, group in history["groups"] for each in group)
    assert (first.label_names, second.label_names) == (["Play", "Work"], [])
    page = client.get(f"/?label={work.pk}")
    history = page.context["history"]
    # The one that all of them have is not repeated.
    assert [each.label_names for _, group in history["groups"] for each in group][:2] == [["Play"], []]
    assert f'href="{conversations[0].get_absolute_url()}?label={work.pk}"' in page.text
    titles = [each.title for _, group in history["groups"] for each in group]
    titles += [each.title for _, group in older(client, history)["groups"] for each in group]
    assert titles == [f"Number {number}" for number in range(0, 100, 2)]


def test_an_unknown_label_filters_no_page(client: Client, conversation: Conversation, bob: User) -> None:
    """The address of a page may be older than the deletion of a label."""
    for label in (make(bob, "Hers")[0].pk, "x"):
        page = client.get(f"{conversation.get_absolute_url()}?label={label}")
        assert page.status_code == 200
        assert page.context["history"]["label"] is None
        assert "Hers" not in page.text


def test_an_empty_page_has_no_filter_unless_it_is_filtered(
    client: Client, conversation: Conversation, work: Label
) -> None:
    for address in ("/archive/", "/trash/"):
        assert "label-filter" not in client.get(address).text
        # It may be empty because of the filter.
        assert "label-filter" in client.get(f"{address}?label={work.pk}").text
    Conversation.objects.filter(pk=conversation.pk).update(archived=True)
    assert "label-filter" in client.get("/archive/").text


def test_labels_take_no_query_for_each_conversation(
    client: Client, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    conversations = several(alice, 200)
    work, play = make(alice, "Work", "Play")
    give(work, *conversations)
    give(play, *conversations)
    for count in (40, 200):
        # Session, person, labels, running replies, conversations, their labels.
        with django_assert_num_queries(6):
            client.get(f"/history/?count={count}&label={work.pk}")


def test_the_filter_uses_an_index(alice: User, analyze: Callable[[], None]) -> None:
    """Whether it starts at the label or at the list."""
    conversations = several(alice, 2000)
    labels = make(alice, *"abcde")
    for label in labels:
        give(label, *conversations)
    give(make(alice, "rare")[0], *conversations[:3])
    analyze()
    for label in Label.objects.all():
        having = Labelling.objects.conversations(label.pk)
        plan = Conversation.objects.for_user(alice).listed().filter(pk__in=having)[:41].explain()
        assert not re.search(r"(Seq Scan on|SCAN) chat_(labelling|conversation)", plan), plan


def test_searches_are_filtered_by_label(client: Client, conversation: Conversation, work: Label, bob: User) -> None:
    def found(label: object) -> str:
        return unescape(client.get("/search/", {"q": "four", "label": str(label)}).text)

    assert "Nothing was found." in found(work.pk)
    give(work, conversation)
    assert "<mark>four</mark>" in found(work.pk)
    for unknown in (make(bob, "Hers")[0].pk, "x"):
        assert "Label: This label no longer exists." in found(unknown)


def test_the_archive_and_the_document_have_labels(client: Client, conversation: Conversation, work: Label) -> None:
    give(work, conversation)
    client.post(f"/c/{conversation.pk}/options/", {"archived": "true"})
    assert "<bdi>Work</bdi>" in client.get("/archive/").text
    document = body(client.get(f"/c/{conversation.pk}/conversation.json"))
    assert json.loads(document)["labels"] == ["Work"]


def test_labels_are_text(client: Client, alice: User, conversation: Conversation, url: str) -> None:
    client.post(url, {"name": "<b>&\"'"})
    label = Label.objects.get()
    for address in ("/", "/labels/", f"/labels/{label.pk}/delete/", f"/c/{conversation.pk}/options/", "/search/"):
        page = client.get(address).text
        assert "<b>" not in page
        assert "&lt;b&gt;" in page
