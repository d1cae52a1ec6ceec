"""What a person does with several conversations at once."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from chat import asking
from chat.models import Conversation, Label, Labelling, Reply, User
from chat.models.labels import MOST_OF_CONVERSATION
from chat.views import selection, shelf
from tests.client import Client
from tests.views.test_conversations import several
from tests.views.test_labels import give, make

JSON = {"accept": "application/json"}


@pytest.fixture
def three(alice: User) -> list[Conversation]:
    return several(alice, 3)


@pytest.fixture
def his(bob: User) -> Conversation:
    return several(bob, 1)[0]


def act(client: Client, do: str, *conversations: Conversation, **fields: object) -> dict[str, object]:
    pks = [conversation.pk for conversation in conversations]
    answer: dict[str, object] = client.post(
        "/select/act/", {"do": do, "conversation": pks, **fields}, headers=JSON
    ).json()
    return answer


def state(field: str) -> dict[str, object]:
    return dict(Conversation.objects.values_list("title", field))


def titles(client: Client, address: str) -> list[str]:
    return [conversation.title for conversation in client.get(address).context["shown"]]


def test_several_are_archived_and_taken_back(client: Client, three: list[Conversation]) -> None:
    Conversation.objects.update(pinned=True)
    assert act(client, "archive", *three[:2]) == {"count": 2, "message": "2 conversations are in the archive."}
    assert state("archived") == {"Number 0": True, "Number 1": True, "Number 2": False}
    assert state("pinned") == {"Number 0": False, "Number 1": False, "Number 2": True}
    assert state("version") == {"Number 0": 1, "Number 1": 1, "Number 2": 0}
    assert act(client, "unarchive", *three)["message"] == "3 conversations are back in your list."
    assert not any(state("archived").values())


def test_several_are_deleted_with_one_way_back(client: Client, three: list[Conversation]) -> None:
    running = asking.begin(three[0].owner, "Hello?", "demo").message.conversation
    answer = act(client, "delete", *three[:2], running)
    assert answer["message"] == "3 conversations are in the trash."
    assert [each.title for each in Conversation.objects.kept()] == ["Number 2"]
    assert not Reply.objects.for_user(three[0].owner).exists(), "it ends, as after a deletion of its own"
    restored = client.post("/trash/undo/", {"deleted": answer["deleted"]}, headers=JSON).json()["restored"]
    assert len(restored) == 3


def test_several_in_the_trash_are_restored_or_erased(client: Client, three: list[Conversation]) -> None:
    act(client, "delete", *three)
    assert act(client, "restore", three[0])["message"] == "1 conversation is back in your list."
    assert act(client, "erase", *three)["message"] == "2 conversations are deleted for ever."
    assert [each.title for each in Conversation.objects.all()] == ["Number 0"], "it was not in the trash"


def test_open_pages_are_told_once(client: Client, alice: User, three: list[Conversation]) -> None:
    for number, do in enumerate(["pin", "unpin", "archive", "unarchive", "delete", "restore"], 1):
        act(client, do, *three)
        alice.refresh_from_db()
        assert alice.list_version == number


@pytest.mark.parametrize("do", ["pin", "unpin", "archive", "unarchive", "delete", "restore", "erase"])
def test_nothing_happens_to_what_is_not_ones_own(
    client: Client, alice: User, three: list[Conversation], his: Conversation, do: str
) -> None:
    if do in ("restore", "erase"):
        Conversation.objects.update(trashed=datetime(2026, 1, 1, tzinfo=UTC))
    before = Conversation.objects.filter(pk=his.pk).values().get()
    assert act(client, do, three[0], his)["count"] == 1
    assert Conversation.objects.filter(pk=his.pk).values().get() == before
    for unknown in (his.pk, uuid4(), "x"):
        response = client.post("/select/act/", {"do": do, "conversation": unknown}, headers=JSON)
        assert response.status_code == 404


def test_what_cannot_be_done_is_said(client: Client, three: list[Conversation]) -> None:
    def refused(**fields: object) -> str:
        response = client.post("/select/act/", fields, headers=JSON)
        assert response.status_code == 422
        return str(response.json()["error"]["message"])

    assert refused(do="archive") == "Select conversations first."
    many = [uuid4() for _ in range(selection.MOST + 1)]
    sentence = "You can select 500 conversations at once. You have selected 501."
    assert refused(do="archive", conversation=many) == sentence
    assert refused(do="burn", conversation=three[0].pk) == "There is no such choice. Reload the page and try again."
    for address in ("/select/act/", "/select/erase/", "/select/labels/"):
        page = client.post(address, {"do": "archive", "back": "trash"}, follow=True)
        assert page.redirect_chain == [("/trash/", 303)]
        assert "Select conversations first." in page.text


# On pages


def test_the_pages_list_and_lead_back(
    client: Client, three: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "SHOWN", 2)
    assert titles(client, "/select/") == ["Number 0", "Number 1"]
    assert titles(client, "/select/?page=2") == ["Number 2"]
    sent = {"do": "archive", "back": "select", "conversation": [three[0].pk, three[1].pk]}
    page = client.post("/select/act/", sent, follow=True)
    assert page.redirect_chain == [("/select/", 303)]
    assert "2 conversations are in the archive." in page.text
    assert titles(client, "/archive/") == ["Number 0", "Number 1"]
    page = client.post("/select/act/", sent | {"do": "delete", "back": "archive"}, follow=True)
    assert page.redirect_chain[0][0].startswith("/archive/?deleted=")
    assert "2 conversations are in the" in page.text
    assert 'action="/trash/undo/"' in page.text
    for address in ("/select/act/", "/select/erase/", "/select/labels/"):
        assert client.get(address, follow=True).status_code == 200


def test_pages_lead_back_to_the_chosen_label(client: Client, alice: User, three: list[Conversation]) -> None:
    [work] = make(alice, "Work")
    give(work, *three)
    page = client.get(f"/select/?label={work.pk}").text
    fields = dict(re.findall(r'<input type="hidden" name="(back|filter)" value="([^"]+)"', page))
    pin = {**fields, "do": "pin", "conversation": three[0].pk}
    assert client.post("/select/act/", pin)["location"] == f"/select/?label={work.pk}"
    asked = client.post("/select/labels/", {**fields, "conversation": three[0].pk}).text
    assert f'href="/select/?label={work.pk}" data-cancel' in asked
    kept = dict(re.findall(r'<input type="hidden" name="(back|filter)" value="([^"]+)"', asked))
    assert kept == fields
    deleted = client.post("/select/act/", {**fields, "do": "delete", "conversation": three[0].pk})["location"]
    assert re.fullmatch(rf"/select/\?deleted=[^&]+&label={work.pk}", deleted)


def test_several_are_pinned_and_unpinned(client: Client, three: list[Conversation]) -> None:
    act(client, "archive", three[2])
    assert act(client, "pin", *three) == {"count": 2, "message": "2 conversations are pinned."}
    assert state("pinned") == {"Number 0": True, "Number 1": True, "Number 2": False}
    assert act(client, "unpin", three[0]) == {"count": 1, "message": "1 conversation is no longer pinned."}
    assert state("pinned") == {"Number 0": False, "Number 1": True, "Number 2": False}


def test_erasing_several_asks_first(client: Client, three: list[Conversation]) -> None:
    act(client, "delete", *three)
    page = client.post("/select/erase/", {"conversation": [each.pk for each in three[:2]], "back": "trash"}).text
    assert "Delete 2 conversations for ever?" in page
    assert Conversation.objects.count() == 3
    fields = re.findall(r'<(?:input|button)[^>]* name="(conversation|back|do)" value="([^"]+)"', page)
    sent = {"conversation": [value for name, value in fields if name == "conversation"]} | {
        name: value for name, value in fields if name != "conversation"
    }
    assert client.post("/select/act/", sent)["location"] == "/trash/"
    assert Conversation.objects.get() == three[2]


@pytest.mark.parametrize("address", ["/select/", "/archive/", "/trash/"])
def test_pages_filter_by_label(client: Client, alice: User, three: list[Conversation], address: str) -> None:
    [work] = make(alice, "Work")
    give(work, three[1])
    if address == "/archive/":
        act(client, "archive", *three)
    if address == "/trash/":
        act(client, "delete", *three)
    assert titles(client, f"{address}?label={work.pk}") == ["Number 1"]
    assert "<bdi>Work</bdi>" in client.get(address).text
    assert len(titles(client, f"{address}?label={uuid4()}")) == 3


@pytest.mark.parametrize("address", ["/select/", "/archive/", "/trash/"])
def test_all_of_a_page_are_selected_on_request(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(shelf, "SHOWN", 3)
    Conversation.objects.filter(pk__in=[each.pk for each in several(alice, 5)]).update(
        archived=address == "/archive/", trashed=datetime.now(UTC) if address == "/trash/" else None
    )
    make(alice, "Work")
    page = client.get(address).text
    assert " checked" not in page
    [way] = re.findall(r'<a href="([^"]+)">Select all 3 on this page</a>', page)
    page = client.get(address + way).text
    assert page.count(" checked") == 3
    assert "All 3 on this page have been selected." in page
    # What leads to others leaves them as they are.
    ways = [way for way in re.findall(r'href="(\?[^"]*)"', page) if "all=" in way]
    assert ways == []
    assert 'name="all"' not in page
    page = client.get(f"{address}?page=2").text
    assert "Select all 2 on this page" in page
    assert 'href="?page=2&amp;all=1"' in page


def test_one_is_selected_without_more(client: Client, alice: User) -> None:
    several(alice, 1)
    assert "Select all" not in client.get("/select/").text.split("<main")[1]


@pytest.mark.parametrize("address", ["/archive/", "/trash/"])
def test_dates_are_in_the_persons_language(
    client: Client, alice: User, three: list[Conversation], address: str
) -> None:
    User.objects.update(date_language="de")
    march = datetime(2025, 3, 1, 12, tzinfo=UTC)
    Conversation.objects.update(updated=march, archived=True)
    if address == "/trash/":
        Conversation.objects.update(trashed=march)
    assert "März 2025" in client.get(address).text


# Labels of several


def label(client: Client, do: str, *conversations: Conversation, **fields: object) -> str:
    sent = {"do": do, "conversation": [conversation.pk for conversation in conversations], **fields}
    return str(client.post("/select/labels/", sent, follow=True).text)


def labelled() -> dict[str, list[str]]:
    return {
        each.name: sorted(each.conversations.values_list("title", flat=True)) for each in Label.objects.order_by("key")
    }


def test_several_are_given_a_label_and_lose_it(
    client: Client, alice: User, three: list[Conversation], his: Conversation
) -> None:
    assert "2 conversations have the label “Work”." in label(client, "give", *three[:2], his, name="Work")
    assert "2 conversations have the label “Work”." in label(client, "give", *three[1:], name="WORK")
    assert labelled() == {"Work": ["Number 0", "Number 1", "Number 2"]}
    work = Label.objects.get().pk
    taken = "The label “Work” is taken from 2 conversations."
    assert taken in label(client, "take", *three[:2], label=work)
    assert labelled() == {"Work": ["Number 2"]}
    assert "1 conversation has the label “Work”." in label(client, "give", three[0], label=work)


def test_a_bad_choice_loses_no_selection(client: Client, bob: User, three: list[Conversation]) -> None:
    [hers] = make(bob, "Hers")
    cases: list[tuple[str, dict[str, object], str]] = [
        ("give", {}, "Choose a label, or write the name of a new one."),
        ("take", {"name": "New"}, "Choose the label to take away."),
        ("give", {"name": "x" * 51}, "This name has 51 characters. The limit is 50."),
        ("give", {"label": hers.pk}, "This label no longer exists. Choose another one."),
    ]
    for do, fields, sentence in cases:
        page = label(client, do, *three, **fields)
        assert sentence in page
        assert all(f'name="conversation" value="{each.pk}"' in page for each in three)
    assert not Labelling.objects.exists()


def test_all_or_none_are_given_a_label(client: Client, alice: User, three: list[Conversation]) -> None:
    for each in make(alice, *map(str, range(MOST_OF_CONVERSATION))):
        give(each, three[0])
    assert "A conversation can have 20 labels." in label(client, "give", *three, name="One more")
    assert Labelling.objects.count() == MOST_OF_CONVERSATION
    assert "3 conversations have the label “7”." in label(client, "give", *three, name="7")
