"""Notes and flags of reviewers, and what becomes of reports."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.urls import reverse

from chat.database import in_thread
from chat.forms import REASON_CHARS
from chat.models import Conversation, Remark, TooManyRemarks, User
from chat.models.remarks import MOST_REMARKS
from tests.client import Client
from tests.test_admin import LIST, change, page, talk
from tests.test_admin_review import allow
from tests.test_admin_transcript import link

Kind = Remark.Kind


@pytest.fixture
def soup(alice: User) -> Conversation:
    return talk(alice, "First.", "Second.", title="On soup")


def add(browser: Client, conversation: Conversation, **fields: object) -> Any:
    data = {"kind": "note", "text": "Look at the salt", **fields}
    return browser.post(reverse("admin:chat_remark_new", args=[conversation.pk]), data)


def flag(conversation: Conversation, by: User, text: str = "First.", kind: str = "flag") -> Remark:
    """Flag the message with this text."""
    message = conversation.messages.get(text=text)
    return Remark.objects.create(conversation=conversation, message=message, by=by, kind=kind, text="Too salty")


def settle(browser: Client, remark: Remark) -> Any:
    return browser.post(reverse("admin:chat_remark_settle", args=[remark.conversation_id, remark.pk]), {"query": "p=1"})


def remove(browser: Client, remark: Remark) -> Any:
    return browser.post(reverse("admin:chat_remark_remove", args=[remark.conversation_id, remark.pk]))


# Notes and flags


def test_a_remark_is_beside_its_message(staff: Client, soup: Conversation) -> None:
    second = soup.messages.get(text="Second.")
    response = add(staff, soup, message=second.pk, kind="flag", text="<b>Too</b> salty", query="p=1")
    assert response["Location"] == f"{change(soup)}?p=1#remark-{second.remarks.get().pk}"
    add(staff, soup, text="About all of it")
    html = page(staff, change(soup))
    about_all, first, about_second = (
        html.index("About all of it"),
        html.index("First."),
        html.index("Too&lt;/b&gt; salty"),
    )
    assert about_all < first < html.index("Second.") < about_second
    assert ">Settle</button>" in html


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text": " \u200b "}, "Write a text first."),
        ({"text": "x" * (REASON_CHARS + 1)}, "This text has 2,001 characters."),
        ({"kind": "report"}, "Select a valid choice"),
        ({"message": "x"}, "Enter a valid UUID"),
    ],
)
def test_what_cannot_be_stored_is_said(
    staff: Client, soup: Conversation, fields: dict[str, str], sentence: str
) -> None:
    response = add(staff, soup, **fields)
    assert response.status_code == 422
    assert sentence in response.text
    if "text" not in fields:
        assert "Look at the salt" in response.text
    assert not Remark.objects.exists()


def test_a_remark_is_about_a_message_of_its_conversation(staff: Client, soup: Conversation, alice: User) -> None:
    other = talk(alice, "Elsewhere")
    assert add(staff, soup, message=other.leaf_id).status_code == 404
    assert add(staff, soup, message=uuid4()).status_code == 404
    remark = flag(other, alice, "Elsewhere")
    wrong = reverse("admin:chat_remark_settle", args=[soup.pk, remark.pk])
    assert staff.post(wrong).status_code == 404


def test_remarks_of_a_conversation_have_a_limit(staff: Client, soup: Conversation, sam: User) -> None:
    notes = [Remark(conversation=soup, kind="note", by=sam, text="x") for _ in range(MOST_REMARKS)]
    Remark.objects.bulk_create(notes)
    assert "There are too many notes" in add(staff, soup).text


def test_only_its_reviewer_takes_a_remark_back(staff: Client, soup: Conversation, sam: User, bob: User) -> None:
    assert remove(staff, flag(soup, bob)).status_code == 404
    assert remove(staff, flag(soup, sam, "Second.", "report")).status_code == 404
    mine, about_all = flag(soup, sam), Remark.objects.add(soup.pk, None, sam, Kind.NOTE, "Salt")
    assert page(staff, change(soup)).count("Delete the flag") == 1
    for remark, about in ((mine, mine.message_id), (about_all, soup.pk)):
        place = f"remarks-{about}"
        assert remove(staff, remark)["Location"] == f"{change(soup)}#{place}"
        assert f'id="{place}"' in page(staff, change(soup))
    assert Remark.objects.count() == 2


def test_a_remark_outlives_the_account_of_its_reviewer(staff: Client, soup: Conversation, bob: User) -> None:
    flag(soup, bob)
    bob.delete()
    assert "a deleted account" in page(staff, change(soup))


def test_remarks_go_with_their_conversation(soup: Conversation, sam: User) -> None:
    flag(soup, sam)
    Conversation.objects.filter(pk=soup.pk).erase()
    assert not Remark.objects.exists()
    with pytest.raises(Conversation.DoesNotExist):
        Remark.objects.add(soup.pk, None, sam, Kind.NOTE, "Late")


# Settling


def test_a_flag_is_settled_once(staff: Client, soup: Conversation, bob: User, sam: User) -> None:
    remark = flag(soup, bob)
    response = settle(staff, remark)
    assert response["Location"] == f"{change(soup)}?p=1#remark-{remark.pk}"
    remark.refresh_from_db()
    assert (remark.is_open, remark.settled_by) == (False, sam)
    html = page(staff, change(soup))
    assert "Settled by sam" in html
    assert ">Settle</button>" not in html
    settle(staff, remark)
    assert "Somebody else has settled this already." in page(staff, LIST)


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_of_several_at_once_one_settles_a_flag(soup: Conversation, sam: User) -> None:
    remark = await in_thread(flag)(soup, sam)
    here = in_thread(lambda: Remark.objects.filter(pk=remark.pk).settle(sam))
    assert sorted(await asyncio.gather(*(here() for _ in range(3)))) == [False, False, True]


# The list and the transcript


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?flagged=yes", {"Soup", "Tea"}),
        ("?flagged=report", {"Tea"}),
        ("?flagged=note", set()),
        ("?flagged=x", set()),
        ("?flagged=yes&owner=alice&status=complete", {"Soup", "Tea"}),
    ],
)
def test_the_list_is_filtered_by_open_flags(staff: Client, alice: User, sam: User, query: str, found: set[str]) -> None:
    soup, tea, beer, wine = (talk(alice, "First.", title=title) for title in ("Soup", "Tea", "Beer", "Wine"))
    flag(soup, sam)
    flag(tea, alice, kind="report")
    flag(beer, sam, kind="note")
    Remark.objects.filter(pk=flag(wine, sam).pk).settle(sam)
    html = page(staff, LIST + query)
    assert {title for title in ("Soup", "Tea", "Beer", "Wine") if f">{title}<" in html} == found
    assert html.count("Flagged</span>") == len(found)


FLAGGED = "?_changelist_filters=flagged%3Dyes"


def test_a_transcript_opens_at_the_first_flag(staff: Client, soup: Conversation, sam: User) -> None:
    flag(soup, sam, kind="note")
    remark = flag(soup, sam, "Second.")
    flag(soup, sam, "Second.")
    response = staff.get(change(soup) + FLAGGED)
    assert response.status_code == 302
    query, _, place = response["Location"].partition("#")
    assert f"at={remark.message_id}" in query
    assert place == f"remark-{remark.pk}"
    html = page(staff, response["Location"])
    assert f'id="{place}"' in html
    assert "Flag 1 of 1" in html


def test_a_flag_on_the_whole_conversation_is_the_first_stop(staff: Client, soup: Conversation, sam: User) -> None:
    of_answer = flag(soup, sam)
    of_all = Remark.objects.create(conversation=soup, kind="flag", by=sam, text="All too salty")
    response = staff.get(change(soup) + FLAGGED)
    assert response["Location"].endswith(f"#remark-{of_all.pk}")
    html = page(staff, response["Location"])
    assert "Flag 1 of 2" in html
    assert html.index(f'id="remark-{of_all.pk}"') < html.index("First.")
    html = page(staff, change(soup) + link(html, "Next flag"))
    assert "Flag 2 of 2" in html
    assert link(html, "Previous flag").endswith(f"#remark-{of_all.pk}")
    Remark.objects.filter(pk=of_answer.pk).settle(sam)
    assert "Flag 1 of 1" in page(staff, staff.get(change(soup) + FLAGGED)["Location"])


def test_without_text_a_transcript_opens_at_the_flagged_message(
    client: Client, bob: User, soup: Conversation, sam: User
) -> None:
    client.force_login(allow(bob, "view_conversation"))
    Remark.objects.create(conversation=soup, kind="flag", by=sam, text="All too salty")
    page(client, change(soup) + FLAGGED)
    remark = flag(soup, sam)
    assert client.get(change(soup) + FLAGGED)["Location"].endswith(f"#message-{remark.message_id}")


def test_the_filter_by_flags_uses_its_index(alice: User) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by the size of a table, and this one is empty")
    assert "remark_open" in Remark.objects.open().values("conversation").explain()


# Who may


@pytest.mark.parametrize(
    ("rights", "status"),
    [
        (["view_conversation", "read_conversation"], 403),
        (["view_conversation", "review_conversation"], 403),
        (["read_conversation", "review_conversation"], 404),
        (["view_conversation", "read_conversation", "review_conversation"], 302),
    ],
)
def test_remarks_take_three_permissions(
    client: Client, bob: User, sam: User, soup: Conversation, rights: list[str], status: int
) -> None:
    client.force_login(allow(bob, *rights))
    remark = flag(soup, sam)
    assert settle(client, remark).status_code == status
    assert Remark.objects.open().exists() == (status != 302)
    assert add(client, soup).status_code == status
    assert Remark.objects.filter(kind="note").exists() == (status == 302)


def test_remarks_are_for_who_may_read(client: Client, bob: User, sam: User, soup: Conversation) -> None:
    flag(soup, sam)
    client.force_login(allow(bob, "view_conversation"))
    assert "Too salty" not in page(client, change(soup))
    assert "Flagged</span>" in page(client, LIST)
    client.force_login(allow(bob, "read_conversation"))
    html = page(client, change(soup))
    assert "Too salty" in html
    assert "Settle" not in html


@pytest.mark.django_db(transaction=True)
def test_people_do_not_see_remarks(client: Client, soup: Conversation, sam: User) -> None:
    flag(soup, sam)
    client.force_login(soup.owner)
    assert "salty" not in client.get(soup.get_absolute_url()).text


def test_too_many_remarks_store_nothing(soup: Conversation, sam: User) -> None:
    Remark.objects.bulk_create(Remark(conversation=soup, kind="note", text="x") for _ in range(MOST_REMARKS))
    with pytest.raises(TooManyRemarks):
        Remark.objects.add(soup.pk, None, sam, Kind.FLAG, "One more")
