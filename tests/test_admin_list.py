"""The list of conversations in the admin: what it is filtered by, its pages, and what both cost."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from html import unescape
from typing import Any, cast
from urllib.parse import parse_qs, quote

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from chat import asking, trash
from chat.admin import listing
from chat.admin.filters import BeforeFilter
from chat.conditions import CONDITIONS, Condition
from chat.models import Conversation, Message, Reply, ReviewLimit, SavedFilter, Searchable, User
from chat.search import finding
from chat.search.filling import reindex
from tests.client import Client
from tests.test_admin import LIST, NOON, add_answer, change, page, talk
from tests.test_tree import plan_of

OWNERS = reverse("admin:chat_conversation_owners")


def titles(browser: Client, query: str) -> set[str]:
    """Those of the conversations that are listed."""
    html = page(browser, LIST + query)
    return {title for title in Conversation.objects.values_list("title", flat=True) if f">{title}<" in html}


def limit(reviewer: User, group: Group) -> None:
    """Let an administrator only read what people of the group have."""
    User.objects.filter(pk=reviewer.pk).update(is_superuser=False)
    reviewer.user_permissions.set(Permission.objects.filter(codename__in=["view_conversation", "read_conversation"]))
    ReviewLimit.objects.create(reviewer=reviewer).groups.set([group])


# Columns


def test_a_row_sums_up_its_conversation(staff: Client, alice: User) -> None:
    conversation = talk(alice, "One", "Two", title="On soup", usage={"prompt_tokens": 1000, "completion_tokens": 34})
    question = conversation.messages.get(text="Question 0?")
    add_answer(question, "No", NOON, status="failed", feedback="bad")
    add_answer(question, "Yes", NOON, feedback="good")
    conversation.add_up()
    conversation.save()
    html = page(staff, LIST)
    for cell in [">6<", ">2,068<", 'status--failed">Failed<', ">1 good, 1 bad<", ">Review: New<"]:
        assert cell in html
    assert 'status--complete"' not in html


def test_sums_of_tokens_are_sorted_as_numbers(staff: Client, alice: User) -> None:
    for title, tokens in (("Large", 1234567), ("Small", 99)):
        Conversation.objects.filter(pk=talk(alice, title=title).pk).update(tokens=tokens)
    shown = staff.get(f"{LIST}?o=7")
    assert '">1,234,567<' in shown.text
    assert [row.title for row in shown.context["cl"].result_list] == ["Small", "Large"]


def test_a_row_says_that_a_reply_is_being_written(staff: Client, alice: User) -> None:
    asking.begin(alice, "How much?", "demo")
    talk(alice, "One")
    assert page(staff, LIST).count("Running</span>") == 1


# Filters


def of_bob(bob: User) -> None:
    group = Group.objects.create(name="Cooks & bakers")
    bob.groups.add(group)
    talk(bob, "One", title="Sought")


def failed_once(bob: User) -> None:
    conversation = talk(bob, "One", "Two", title="Sought")
    Reply.objects.filter(message__text="One").update(status="failed", error_code="too_large")
    conversation.add_up()
    conversation.save()


def by_another_model(bob: User) -> None:
    conversation = talk(bob, "One", "Two", title="Sought")
    Reply.objects.filter(message__text="One").update(model="large, 1")
    conversation.add_up()
    conversation.save()


def running(bob: User) -> None:
    asking.begin(bob, "Sought", "large, 1")


def judged(bob: User) -> None:
    talk(bob, "One", title="Sought", feedback="bad")


def deleted(bob: User) -> None:
    trash.put(bob, [talk(bob, title="Sought").pk])


def long_ago(bob: User) -> None:
    talk(bob, title="Sought")
    Conversation.objects.filter(title="Sought").update(updated=NOON - timedelta(days=60))


@pytest.mark.parametrize(
    ("make", "query"),
    [
        (of_bob, "?owner=bob"),
        (of_bob, f"?group={quote('Cooks & bakers')}"),
        (failed_once, "?status=failed"),
        (failed_once, "?error=too_large"),
        (failed_once, "?error=too_large&status=complete&owner=bob"),
        (by_another_model, "?model=large,+1"),
        (running, "?model=large,+1"),
        (running, "?status=queued"),
        (judged, "?feedback=bad"),
        (deleted, "?trash=in"),
        (long_ago, "?updated__lt=2026-02-01+00:00:00%2B00:00"),
    ],
)
def test_a_filter_finds_what_it_names(
    staff: Client, alice: User, bob: User, make: Callable[[User], None], query: str
) -> None:
    talk(alice, "One", title="Another", feedback="good")
    make(bob)
    assert titles(staff, "") == {"Sought", "Another"}
    assert titles(staff, query) == {"Sought"}


@pytest.mark.parametrize(
    "query",
    ["?status=x", "?error=x", "?error=%25", "?feedback=x", "?model=x", "?model=%5C", "?owner=x", "?group=x"],
)
def test_an_unknown_value_finds_nothing(staff: Client, alice: User, query: str) -> None:
    talk(alice, "One", title="Another", feedback="good")
    assert titles(staff, query) == set()
    # There is nothing to act on.
    assert 'name="action"' not in page(staff, f"{LIST}{query}")


def test_a_period_is_from_day_to_day(staff: Client, alice: User, settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    for day in (1, 2, 3):
        talk(alice, title=f"Day {day}")
        Conversation.objects.filter(title=f"Day {day}").update(updated=datetime(2026, 3, day, 23, 30, tzinfo=UTC))
    # Half past midnight, there.
    assert titles(staff, "?since=2026-03-03") == {"Day 2", "Day 3"}
    assert titles(staff, "?since=2026-03-02&until=2026-03-03") == {"Day 1", "Day 2"}
    assert titles(staff, "?until=2026-03-02&status=failed") == set()
    assert titles(staff, "?since=&until=") == {"Day 1", "Day 2", "Day 3"}
    saved = save(staff, "March", "since=2026-03-03&until=2026-03-31")
    assert titles(staff, saved["Location"].removeprefix(LIST)) == {"Day 2", "Day 3"}


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("since=31.3.2026", "This isn't a day. Write it like 2026-03-31."),
        ("until=2026-02-30", "This isn't a day. Write it like 2026-03-31."),
        ("since=9999-12-31", "This isn't a day. Write it like 2026-03-31."),
        ("since=2026-03-02&until=2026-03-01", "The last day comes before the first. Exchange them."),
    ],
)
def test_days_that_make_no_sense_get_a_sentence(staff: Client, alice: User, query: str, sentence: str) -> None:
    talk(alice, "One", title="Another")
    html = page(staff, f"{LIST}?{query}&status=complete")
    assert sentence in unescape(html)
    assert 'name="status" value="complete"' in html
    for value in parse_qs(query).values():
        assert f'value="{value[0]}"' in html
    assert titles(staff, f"?{query}") == set()


def test_a_value_of_a_field_keeps_the_other_filters(staff: Client, alice: User) -> None:
    talk(alice, "One")
    form = page(staff, f"{LIST}?owner=%22%3E&status=complete&q=one").split('<form class="field-filter">')[2]
    assert '<input type="hidden" name="status" value="complete">' in form
    assert '<input type="hidden" name="q" value="one">' in form
    assert 'value="&quot;&gt;"' in form


def test_names_of_owners_are_offered(staff: Client, alice: User, bob: User) -> None:
    assert staff.get(f"{OWNERS}?term=LIC").json() == {"names": ["alice"]}
    assert staff.get(f"{OWNERS}?term=bob@").json() == {"names": ["bob"]}
    assert staff.get(f"{OWNERS}?term=%25").json() == {"names": []}


def test_names_are_for_those_who_may_see_conversations(client: Client, bob: User) -> None:
    assert client.get(OWNERS).status_code == 302
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    client.force_login(bob)
    assert client.get(OWNERS).status_code == 403


def test_what_is_in_the_trash_is_listed_and_marked(staff: Client, alice: User) -> None:
    talk(alice, "Answer.", title="Kept")
    deleted = talk(alice, "Answer.", title="Thrown away")
    trash.put(alice, [deleted.pk])
    assert page(staff, LIST).count("In the trash</span>") == 1
    assert "In the trash</span>" in page(staff, change(deleted))
    assert titles(staff, "?trash=in") == {"Thrown away"}
    assert titles(staff, "?trash=out") == {"Kept"}


def test_groups_are_those_of_the_people_that_a_reviewer_sees(client: Client, alice: User, bob: User, sam: User) -> None:
    sales, cooks = Group.objects.create(name="Sales"), Group.objects.create(name="Cooks")
    alice.groups.set([sales, cooks])
    bob.groups.add(cooks)
    talk(alice, title="Hers")
    limit(sam, sales)
    client.force_login(sam)
    html = page(client, LIST)
    assert "?group=Sales" in html
    assert "Cooks" not in html
    assert titles(client, "?group=Sales") == {"Hers"}
    assert titles(client, "?group=Cooks") == set()


def test_the_rows_of_a_limited_reviewer_are_found_by_their_ids(client: Client, alice: User, sam: User) -> None:
    sales = Group.objects.create(name="Sales")
    alice.groups.add(sales)
    talk(alice, title="Hers")
    limit(sam, sales)
    client.force_login(sam)
    with CaptureQueriesContext(connection) as queries:
        assert titles(client, "") == {"Hers"}
    (rows,) = [query["sql"] for query in queries if 'LEFT OUTER JOIN "chat_review"' in query["sql"]]
    assert '"owner_id" IN' not in rows


# Search


def test_what_is_found_is_shown_under_the_title(staff: Client, alice: User, bob: User) -> None:
    talk(alice, "Two <b>spoons</b> of salt.", "Salt and SPOONS again.", title="On soup")
    talk(bob, "Of nothing.", title="Spoons")
    reindex(lambda done, total: None)
    html = page(staff, f"{LIST}?q=spoon")
    assert "Salt and </span>" not in html
    assert 'On soup<span class="snippet" dir="auto">Salt and <mark>SPOONS</mark> again.</span>' in html
    assert ">Spoons</a>" in html
    assert "&lt;b&gt;<mark>spoons</mark>&lt;/b&gt;" in page(staff, f"{LIST}?q=two+spoons")
    assert "snippet" not in page(staff, f"{LIST}?q=alice")


def test_a_search_looks_in_what_is_filtered(
    staff: Client, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "FOR_STAFF", 1)
    talk(alice, "Two spoons of salt.", title="Older")
    talk(bob, "Three spoons of salt.", title="Newer")
    reindex(lambda done, total: None)
    assert len(titles(staff, "?q=salt")) == 1
    assert titles(staff, "?q=salt&owner=alice") | titles(staff, "?q=salt&owner=bob") == {"Older", "Newer"}


@pytest.fixture
def rare(alice: User, bob: User, monkeypatch: pytest.MonkeyPatch) -> Conversation:
    """Bob's conversation, which has failed, with a word that is in newer texts of Alice's; a search looks at two."""
    conversation = talk(bob, "Of salt.", title="Rare", status="failed")
    talk(alice, "Nothing.", *(["Of salt."] * 4), title="Often")
    reindex(lambda done, total: None)
    monkeypatch.setattr(finding, "MOST", 2)
    monkeypatch.setattr(finding, "FOR_STAFF", 1)
    return conversation


@pytest.mark.usefixtures("rare")
@pytest.mark.parametrize("query", ["owner=bob", "until=2026-03-01"])
def test_a_search_begins_where_an_owner_or_days_have_texts(staff: Client, query: str) -> None:
    Conversation.objects.filter(title="Often").update(updated=NOON + timedelta(days=1))
    Message.objects.filter(conversation__title="Often").update(created=NOON + timedelta(days=1))
    Searchable.objects.all().delete()
    reindex(lambda done, total: None)
    assert titles(staff, f"?q=salt&{query}") == {"Rare"}


@pytest.mark.usefixtures("rare")
def test_a_search_says_how_far_it_has_looked_and_leads_on(staff: Client) -> None:
    query, found = "?q=salt&status=failed", []
    while query:
        html = page(staff, LIST + query)
        found.append(">Rare" in html)
        assert ("Texts since March 1, 2026" in html) == ("Search older texts" in html)
        query = unescape(html.partition('<p class="older">')[2].partition('href="')[2].partition('"')[0])
    assert found == [False, False, True]
    assert "Search older texts" not in page(staff, f"{LIST}?status=failed")


@pytest.mark.parametrize("below", ["x", "-1", "9" * 30, "²", "0"])
def test_a_place_among_texts_that_is_none_does_no_harm(staff: Client, alice: User, below: str) -> None:
    talk(alice, "Of salt.", title="On soup")
    reindex(lambda done, total: None)
    assert titles(staff, f"?q=salt&below={below}") == (set() if below == "0" else {"On soup"})


# Saved filters


def save(browser: Client, name: str, query: str) -> Any:
    return browser.post(reverse("admin:chat_conversation_save_filter"), {"name": name, "query": query})


def test_filters_are_saved_opened_and_deleted(staff: Client, sam: User, alice: User) -> None:
    talk(alice, "One")
    assert "Save filters" not in page(staff, LIST)
    assert "Save filters" in page(staff, f"{LIST}?status=failed")
    saved = save(staff, " <Failed>  at work ", "?status=failed&q=%22a+b%22&p=3&before=x&password=x")
    assert saved["Location"] == f"{LIST}?status=failed&q=%22a+b%22"
    html = page(staff, LIST)
    assert '<a href="?status=failed&amp;q=%22a+b%22">&lt;Failed&gt; at work</a>' in html
    save(staff, "<Failed> at work", "status=stopped")
    row = SavedFilter.objects.get(person=sam)
    assert row.query == "status=stopped"
    url = reverse("admin:chat_conversation_delete_filter", args=[row.pk])
    assert staff.post(url, {"query": "o=6"})["Location"] == f"{LIST}?o=6"
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize(
    ("name", "query"), [("", "q=x"), (" ", "q=x"), ("x" * 61, "q=x"), ("Name", "p=2"), ("Name", "q=" + "x" * 2000)]
)
def test_filters_that_cannot_be_saved_are_refused(staff: Client, name: str, query: str) -> None:
    save(staff, name, query)
    assert "The filters were not saved." in page(staff, LIST)
    assert not SavedFilter.objects.exists()


def test_a_person_saves_a_limited_number_of_filters(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.admin.saved_filters.MOST", 1)
    for name in ["First", "First", "Second"]:
        save(staff, name, "q=x")
    assert "Delete some others first" in page(staff, LIST)
    assert SavedFilter.objects.count() == 1


def test_saved_filters_are_ones_own(staff: Client, alice: User) -> None:
    row = SavedFilter.objects.create(person=alice, name="Hers", query="q=x")
    assert "Hers" not in page(staff, LIST)
    url = reverse("admin:chat_conversation_delete_filter", args=[row.pk])
    assert staff.post(url).status_code == 404
    assert staff.get(url).status_code == staff.get(reverse("admin:chat_conversation_save_filter")).status_code == 405


# Pages


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages hold three conversations in all."""
    monkeypatch.setattr(listing, "MOST", 3)
    monkeypatch.setattr("chat.admin.conversations.MOST", 3)


def many(alice: User, count: int) -> None:
    """The first one is the latest, and all others are of one moment."""
    for number in range(count):
        talk(alice, "One", title=f"Talk {number}")
    Conversation.objects.filter(title="Talk 0").update(updated=NOON + timedelta(days=1))


@pytest.mark.usefixtures("few")
def test_older_conversations_follow_the_last_page(staff: Client, alice: User) -> None:
    many(alice, 7)
    found, query = [], "?status=complete"
    for _ in range(3):
        html = page(staff, LIST + query)
        found += [f"Talk {number}" for number in range(7) if f">Talk {number}<" in html]
        query = html.partition('<p class="older">')[2].partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert sorted(found) == [f"Talk {number}" for number in range(7)]
    assert query == ""


@pytest.mark.usefixtures("few")
def test_another_order_has_no_older_conversations(staff: Client, alice: User) -> None:
    many(alice, 4)
    assert "the first 3 in this order" in page(staff, f"{LIST}?o=-6")


def test_a_place_that_is_none_is_no_filter(staff: Client, alice: User, settings: Settings) -> None:
    settings.TIME_ZONE = "Pacific/Kiritimati"
    many(alice, 2)
    last = f"9999-12-31T23:59:59%2B00:00_{Conversation.objects.all()[0].pk}"
    for value in [last, "x", "2026-01-01_x", "2026-01-01T00:00:00_00000000-0000-0000-0000-000000000000", "_"]:
        assert titles(staff, f"?before={value}") == {"Talk 0", "Talk 1"}


@pytest.mark.usefixtures("few")
def test_all_are_those_on_the_pages(staff: Client, alice: User) -> None:
    many(alice, 5)
    selected = {"action": "delete_selected", "_selected_action": str(Conversation.objects.all()[0].pk)}
    shown = staff.post(LIST, {**selected, "select_across": "1"}).text
    assert "Conversations: 3" in shown
    # Nothing is done yet.
    assert "Only the first 3 conversations of the list were chosen. There are more" in shown
    assert "Conversations: 1" in staff.post(LIST, {**selected, "select_across": "0"}).text


# Cost


@pytest.mark.parametrize(
    "query", ["", "?q=talk", "?status=complete", "?feedback=good", "?model=demo", "?o=6", "?owner=alice"]
)
def test_a_long_list_takes_few_queries(
    staff: Client, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries, query: str
) -> None:
    for index in range(30):
        talk(alice, "One", "Two", title=f"Talk {index}", feedback="good")
    reindex(lambda done, total: None)
    # Session, person, groups, the ids, the rows, what is running, reviewers, their labels, flags, queues. To search:
    # people, texts, their conversations; on PostgreSQL a limit of time in a savepoint and which texts are the newest.
    # The record takes five.
    with django_assert_max_num_queries(26):
        assert page(staff, LIST + query).count("status--complete") == 30


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value", "index"),
    [
        (
            "before",
            "2026-01-01T00:00:00+00:00_00000000-0000-0000-0000-000000000000",
            "conversation_updated",
        ),
        ("status", "failed", "conversation_statuses"),
        ("error", "busy", "conversation_statuses"),
        ("model", "demo", "conversation_updated"),
        ("feedback", "bad", "conversation_bad"),
        ("feedback", "good", "conversation_good"),
        ("trash", "in", "conversation_purge"),
        ("trash", "out", "conversation_updated"),
        ("owner", "alice", "conversation_trash"),
    ],
)
def test_filters_use_indexes(name: str, value: str, index: str) -> None:
    listed = Conversation.objects.order_by("-updated", "-pk").values("pk")
    # It uses nothing of itself.
    before: Condition = partial(BeforeFilter.filter, cast("Any", None))
    plan = plan_of(CONDITIONS.get(name, before)(listed, value)[: listing.MOST + 1])
    # PostgreSQL, which may not sort here, walks through the list where that is all it could do with a few rows.
    assert index in plan or (connection.vendor == "postgresql" and "conversation_updated" in plan)
