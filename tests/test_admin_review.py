"""The review of a conversation: its state, who does it, its labels, and two reviewers who change it at once."""

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.urls import reverse

from chat.database import in_thread
from chat.models import Conversation, Review, ReviewLabel, ReviewLabelError, ReviewLimit, User
from chat.models.labels import MOST_OF_CONVERSATION
from tests.client import Client
from tests.test_admin import LIST, change, page, talk

State = Review.State


@pytest.fixture
def reviewer(bob: User) -> User:
    """Bob, who sees, reads and reviews."""
    return allow(bob, "view_conversation", "read_conversation", "review_conversation")


@pytest.fixture
def soup(alice: User) -> Conversation:
    return talk(alice, "Answer.", title="On soup")


def allow(user: User, *codenames: str) -> User:
    User.objects.filter(pk=user.pk).update(is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)


def save(browser: Client, conversation: Conversation, version: int = 0, **fields: object) -> Any:
    data = {"version": version, "state": "new", "assignee": "", "labels": "", **fields}
    return browser.post(reverse("admin:chat_review_save", args=[conversation.pk]), data)


def sets(pk: object, by: User, state: str = State.IN_REVIEW, labels: tuple[str, ...] = ()) -> bool:
    """Change the review that nobody has changed yet."""
    return Review.objects.change(pk, 0, by, state=state, assignee=by, labels=labels)  # type: ignore[arg-type]


# Changing it


def test_a_review_is_changed_on_the_page_of_its_conversation(
    staff: Client, sam: User, reviewer: User, soup: Conversation
) -> None:
    assert 'value="new" selected' in page(staff, change(soup))
    fields: dict[str, Any] = {
        "state": "in review",
        "assignee": reviewer.pk,
        "labels": " too   salty, Soup,soup",
        "query": "p=1",
    }
    response = save(staff, soup, 0, **fields)
    assert (response.status_code, response["Location"]) == (302, f"{change(soup)}?p=1")
    html = page(staff, change(soup))
    assert 'value="in review" selected' in html
    assert f'value="{reviewer.pk}" selected' in html
    assert 'value="soup, too salty"' in html
    assert "Changed by sam" in html
    save(staff, soup, 1, state="done", labels="soup")
    assert Review.objects.of(soup).label_names == ["soup"]


@pytest.mark.parametrize(
    ("press", "state", "assignee"), [("take", State.IN_REVIEW, "sam"), ("done", State.DONE, "bob")]
)
def test_a_button_sets_what_it_says(
    staff: Client, reviewer: User, soup: Conversation, press: str, state: State, assignee: str
) -> None:
    save(staff, soup, assignee=reviewer.pk, press=press)
    review = Review.objects.of(soup)
    assert (review.state, str(review.assignee)) == (state, assignee)


def test_whoever_comes_second_is_told(staff: Client, soup: Conversation, reviewer: User) -> None:
    sets(soup.pk, reviewer, State.DONE, ("theirs",))
    response = save(staff, soup, state="in review", labels="mine")
    assert response.status_code == 409
    assert "Somebody else has changed this review" in response.text
    for words in ["Done, bob. Labels: theirs.", 'value="in review" selected', 'value="mine"']:
        assert words in response.text
    assert Review.objects.of(soup).label_names == ["theirs"]
    assert 'name="version" value="1"' in response.text
    save(staff, soup, 1, state="in review", labels="mine")
    assert Review.objects.of(soup).label_names == ["mine"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_of_several_at_once_one_changes_it(soup: Conversation, reviewer: User) -> None:
    here = in_thread(sets)
    changed = await asyncio.gather(*(here(soup.pk, reviewer, labels=(f"label {number}",)) for number in range(3)))
    assert sorted(changed) == [False, False, True]
    assert await Review.objects.filter(labellings__label__name=f"label {changed.index(True)}").acount() == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"state": "x"}, "Select a valid choice"),
        ({"assignee": "999"}, "Select a valid choice"),
        ({"assignee": "x'"}, "Select a valid choice"),
        ({"labels": "x" * 51}, "This name has 51 characters"),
        ({"labels": ",".join(f"l{number}" for number in range(21))}, "A conversation can have 20 labels"),
        ({"labels": "new"}, "There are 200 labels"),
        ({"version": "x"}, "The review was not changed"),
    ],
)
def test_what_cannot_be_is_said_beside_the_field(
    staff: Client, soup: Conversation, fields: dict[str, Any], sentence: str
) -> None:
    if fields == {"labels": "new"}:
        ReviewLabel.objects.bulk_create(ReviewLabel(name=str(number), key=str(number)) for number in range(200))
    response = save(staff, soup, **{"labels": "kept", **fields})
    assert response.status_code == 422
    assert sentence in response.text
    assert not Review.objects.exclude(version=0).exists()
    if "labels" not in fields:
        assert 'value="kept"' in response.text


def test_too_many_labels_change_nothing(soup: Conversation, sam: User) -> None:
    with pytest.raises(ReviewLabelError):
        sets(soup.pk, sam, labels=tuple(map(str, range(MOST_OF_CONVERSATION + 1))))
    assert Review.objects.of(soup).state == State.NEW


@pytest.mark.django_db(transaction=True)
def test_labels_of_reviewers_are_not_those_of_people(staff: Client, client: Client, soup: Conversation) -> None:
    save(staff, soup, labels="too salty")
    client.force_login(soup.owner)
    for name in ["options", "conversation"]:
        assert "salty" not in client.get(reverse(name, args=[soup.pk])).text
    assert not soup.labels.exists()


def test_a_review_goes_with_its_conversation(soup: Conversation, sam: User) -> None:
    sets(soup.pk, sam, labels=("salt",))
    Conversation.objects.filter(pk=soup.pk).erase()
    assert not Review.objects.exists()
    with pytest.raises(Conversation.DoesNotExist):
        sets(soup.pk, sam)


def test_a_review_outlives_the_account_of_its_reviewer(soup: Conversation, reviewer: User) -> None:
    sets(soup.pk, reviewer, State.DONE)
    reviewer.delete()
    review = Review.objects.of(soup)
    assert (review.state, review.assignee, review.changed_by) == (State.DONE, None, None)


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
def test_reviewing_takes_three_permissions(
    client: Client, bob: User, soup: Conversation, rights: list[str], status: int
) -> None:
    client.force_login(allow(bob, *rights))
    assert save(client, soup, state="done").status_code == status
    assert Review.objects.filter(state="done").exists() == (status == 302)


def test_without_the_permission_a_review_is_only_shown(
    client: Client, sam: User, bob: User, soup: Conversation
) -> None:
    sets(soup.pk, sam, State.DONE, ("too salty",))
    client.force_login(allow(bob, "view_conversation"))
    html = page(client, change(soup))
    assert "Review: Done, sam." in html
    assert "salty" not in html
    assert ">Review: Done, sam<" in page(client, LIST)
    assert "salty" not in page(client, LIST)
    assert "On soup" not in page(client, f"{LIST}?label=too+salty")
    client.force_login(allow(bob, "read_conversation"))
    html = page(client, change(soup))
    assert "Labels: too salty." in html
    assert "<form" not in html[html.index('id="content-main"') :]


def test_only_reviewers_can_be_given_one(staff: Client, soup: Conversation, reviewer: User) -> None:
    html = page(staff, change(soup))
    assert ">bob</option>" in html
    assert ">alice</option>" not in html
    save(staff, soup, assignee=reviewer.pk)
    reviewer.user_permissions.clear()
    assert ">bob</option>" in page(staff, change(soup))


# The list


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?review=new", {"Beer"}),
        ("?review=in+review", {"Soup"}),
        ("?review=done", {"Tea"}),
        ("?reviewer=sam", {"Soup", "Tea"}),
        ("?reviewer=bob", set()),
        ("?reviewer=(nobody)", {"Beer"}),
        ("?reviewer=(nobody)&review=new", {"Beer"}),
        ("?label=too+salty", {"Soup"}),
        ("?label=x", set()),
        ("?review=x", set()),
        ("?review=done&reviewer=sam&status=complete", {"Tea"}),
    ],
)
def test_the_list_is_filtered_by_reviews(staff: Client, alice: User, sam: User, query: str, found: set[str]) -> None:
    soup, tea, _ = (talk(alice, "Answer.", title=title) for title in ("Soup", "Tea", "Beer"))
    sets(soup.pk, sam, labels=("too salty",))
    sets(tea.pk, sam, State.DONE)
    html = page(staff, LIST + query)
    assert {title for title in ("Soup", "Tea", "Beer") if f">{title}<" in html} == found
    assert (">Review: In review, sam<" in html) == ("Soup" in found)


def test_filters_by_reviews_use_their_indexes(alice: User, sam: User) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by the size of a table, and this one is empty")
    plan = Review.objects.filter(state=State.DONE).values("pk").explain()
    assert "review_state" in plan


def test_labels_of_a_limited_reviewer_are_looked_for_one_by_one(alice: User, bob: User) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by the size of a table, and this one is empty")
    ReviewLimit.objects.create(reviewer=allow(bob, "view_conversation", "read_conversation"))
    plan = ReviewLabel.objects.for_reviewer(bob).explain()
    assert "USING INDEX" in plan.partition("CORRELATED")[2]
    assert "LIST SUBQUERY" not in plan.partition("CORRELATED")[0]


def test_a_label_is_deleted_from_all_conversations(staff: Client, soup: Conversation) -> None:
    save(staff, soup, state="done", labels="salt, soup")
    label = ReviewLabel.objects.get(name="salt")
    assert ">salt<" in (labels := page(staff, reverse("admin:chat_reviewlabel_changelist")))
    assert f'href="{LIST}?label=salt"' in labels
    staff.post(reverse("admin:chat_reviewlabel_delete", args=[label.pk]), {"post": "yes"})
    review = Review.objects.of(soup)
    assert (review.state, review.label_names) == (State.DONE, ["soup"])
