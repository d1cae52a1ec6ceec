"""The ledger in the admin: sums of people and days, whose they are for, and what they cost."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from chat.models import LedgerEntry, ReviewLimit, User
from tests.client import Client
from tests.test_admin import page
from tests.test_admin_audit import content
from tests.test_admin_record import since
from tests.test_tree import plan_of

LIST, CSV = reverse("admin:chat_ledgerentry_changelist"), reverse("admin:chat_ledgerentry_export")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def enter(person: User | None, days: int = 0, model: str = "demo", **tokens: int) -> LedgerEntry:
    """A request so many days before the second of March."""
    asked = NOON - timedelta(days=days)
    return LedgerEntry.objects.create(person=person, asked=asked, model=model, reply_id=uuid4(), **tokens)


def sums(browser: Client, query: str = "") -> list[tuple[Any, ...]]:
    rows = browser.get(f"{LIST}?{query}").context["cl"].result_list
    return [(str(row.day), row.name, row.model, row.requests, row.input_tokens, row.output_tokens) for row in rows]


@pytest.fixture
def bobs(client: Client, bob: User) -> Client:
    """The browser of Bob, who may see that conversations exist."""
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    bob.user_permissions.set(Permission.objects.filter(codename="view_conversation"))
    client.force_login(bob)
    return client


def test_requests_of_a_day_are_added_up(bobs: Client, alice: User, bob: User) -> None:
    enter(alice, input_tokens=3, output_tokens=4)
    enter(alice, input_tokens=30)
    enter(alice, model="large", input_tokens=1, output_tokens=1)
    enter(bob)
    enter(alice, days=1, output_tokens=5)
    assert sums(bobs) == [
        ("2026-03-02", "alice", "demo", 2, 33, 4),
        ("2026-03-02", "alice", "large", 1, 1, 1),
        ("2026-03-02", "bob", "demo", 1, None, None),
        ("2026-03-01", "alice", "demo", 1, None, 5),
    ]
    assert 'href="/admin/chat/ledgerentry/?person=alice"' in page(bobs, LIST)


def test_large_figures_can_be_read(bobs: Client, alice: User) -> None:
    enter(alice, input_tokens=12345678, output_tokens=1000)
    cells = [cell in page(bobs, LIST) for cell in ('tokens_in">12,345,678<', 'tokens_out">1,000<')]
    assert cells == [True, True]


def test_the_ledger_is_filtered(bobs: Client, alice: User, bob: User) -> None:
    enter(alice)
    enter(bob, days=1, model="large, 1")
    enter(alice, days=2)
    assert [row[1:3] for row in sums(bobs, "person=bob")] == [("bob", "large, 1")]
    assert [row[0] for row in sums(bobs, "model=demo")] == ["2026-03-02", "2026-02-28"]
    assert [row[0] for row in sums(bobs, "since=2026-03-01&until=2026-03-01")] == ["2026-03-01"]
    assert sums(bobs, "person=nobody") == sums(bobs, "since=yesterday") == []


def test_a_day_is_one_of_the_servers_time_zone(bobs: Client, alice: User, settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    LedgerEntry.objects.create(person=alice, asked=NOON.replace(hour=16), model="demo", reply_id=uuid4())
    assert [row[0] for row in sums(bobs)] == ["2026-03-03"]


def test_deleted_accounts_are_named_as_such(bobs: Client, alice: User) -> None:
    enter(alice, input_tokens=7)
    alice.delete()
    assert sums(bobs) == [("2026-03-02", None, "demo", 1, 7, None)]
    assert "Deleted account" in page(bobs, LIST)


def test_a_limited_reviewer_sees_the_people_of_their_groups(bobs: Client, alice: User, bob: User, sam: User) -> None:
    sales = Group.objects.create(name="Sales")
    sales.user_set.add(alice)
    ReviewLimit.objects.create(reviewer=bob).groups.add(sales)
    for person in (alice, sam, None):
        enter(person)
    assert [row[1] for row in sums(bobs)] == ["alice"]
    assert sums(bobs, "person=sam") == []


@pytest.mark.parametrize("rights", ["", "read_conversation", "view_auditrecord", "view_ledgerentry"])
def test_the_ledger_takes_the_right_to_see_conversations(bobs: Client, bob: User, alice: User, rights: str) -> None:
    entry = enter(alice)
    bob.user_permissions.set(Permission.objects.filter(codename=rights))
    for url in (LIST, CSV, reverse("admin:chat_ledgerentry_change", args=[entry.pk])):
        assert bobs.get(url).status_code == 403


def test_earlier_days_are_a_link_away(bobs: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.admin.ledger.MOST", 3)
    for days in (0, 0, 1, 1, 2, 2, 2, 2):
        enter(alice, days)
    pages: list[Any] = []
    query: str | None = "person=alice"
    while query is not None:
        pages.append([(row[0], row[3]) for row in sums(bobs, query)])
        older = bobs.get(f"{LIST}?{query}").context["cl"].older
        query = older and older.removeprefix("?")
    # More than so many are of one day.
    assert pages == [[("2026-03-02", 2)], [("2026-03-01", 2)], [("2026-02-28", 4)], []]


@pytest.mark.django_db(transaction=True)
def test_the_ledger_is_exported(bobs: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.admin.ledger.MOST", 1)
    User.objects.filter(pk=alice.pk).update(username="=alice")
    for days in (0, 1, 1, 2):
        enter(alice, days, input_tokens=2)
    enter(alice, 9)
    (recorded,) = since(lambda: bobs.get(f"{CSV}?since=2026-02-28"))
    assert (recorded.action, recorded.detail) == ("exported", "ledger, csv: since=2026-02-28")
    rows = list(csv.reader(StringIO(content(bobs.get(f"{CSV}?since=2026-02-28")), newline="")))
    assert rows == [
        ["day", "person", "model", "requests", "input_tokens", "output_tokens"],
        ["2026-03-02", "'=alice", "demo", "1", "2", "0"],
        ["2026-03-01", "'=alice", "demo", "2", "4", "0"],
        ["2026-02-28", "'=alice", "demo", "1", "2", "0"],
    ]


def test_the_ledger_takes_few_queries(
    bobs: Client, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for days in range(30):
        enter(alice, days)
    # Session, person, their permissions twice, the limit, the entries.
    with django_assert_max_num_queries(6):
        assert len(sums(bobs)) == 30


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("filters", "index"), [({}, "ledger_asked"), ({"model": "x"}, "ledger_model"), ({"person": 1}, "ledger_person")]
)
def test_the_ledger_uses_indexes(filters: dict[str, Any], index: str) -> None:
    assert index in plan_of(LedgerEntry.objects.filter(**filters).order_by("-asked").values("asked")[:10])
