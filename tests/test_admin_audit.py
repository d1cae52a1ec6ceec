"""The audit record in the admin: its list, its search, its exports, and that nobody changes it there."""

import csv
import json
import re
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import Q
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from chat import audit
from chat.admin.audit import CappedPaginator
from chat.models import AuditRecord, Conversation, User
from tests.client import Client
from tests.test_admin import page

Action = AuditRecord.Action
LIST = reverse("admin:chat_auditrecord_changelist")
CSV, JSON_LINES = (reverse("admin:chat_auditrecord_export", args=[suffix]) for suffix in ("csv", "jsonl"))


@pytest.fixture
def conversation(alice: User) -> Conversation:
    return Conversation.objects.create(owner=alice, title="Secret", model="demo")


@pytest.fixture
def rita(client: Client, conversation: Conversation) -> User:
    """Staff: she may look at the audit record and at nothing else. Her browser has read one conversation."""
    rita = User.objects.create_user("rita", is_staff=True)
    rita.user_permissions.add(Permission.objects.get(codename="view_auditrecord"))
    client.force_login(rita)
    by = {"by_id": str(rita.pk), "by_name": "rita", "address": "192.0.2.7"}
    read = audit.new(Action.READ, conversation=conversation, detail="=p 1")
    for name, value in by.items():
        setattr(read, name, value)
    audit.append(read)
    return rita


def shown(client: Client, query: str, owner: User) -> list[str]:
    """The actions about this owner that the list shows, the newest first. Other tests have left records, too."""
    rows = client.get(f"{LIST}?{query}").context["cl"].result_list
    return [row.action for row in rows if row.owner_id == str(owner.pk)]


def content(response: Any) -> str:
    async def whole() -> bytes:
        return b"".join([part async for part in response.streaming_content])

    assert response.status_code == 200
    return async_to_sync(whole)().decode()


# Who may look


@pytest.mark.parametrize("url", [LIST, CSV, JSON_LINES])
def test_the_record_needs_its_own_permission(client: Client, bob: User, url: str) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    bob.user_permissions.add(*Permission.objects.filter(codename__endswith="conversation"))
    client.force_login(bob)
    assert client.get(url).status_code == 403


def test_nobody_changes_the_record(client: Client, sam: User) -> None:
    client.force_login(sam)
    number = AuditRecord.objects.latest("number").number
    assert client.get(reverse("admin:chat_auditrecord_add")).status_code == 403
    change, delete = (reverse(f"admin:chat_auditrecord_{name}", args=[number]) for name in ("change", "delete"))
    shown = client.get(change)
    assert shown.status_code == 200
    assert re.search(r'<div class="readonly">\w+\.? \d+, \d+, \d+:\d\d:\d\d [ap]\.m\.</div>', shown.text)
    assert "History" not in shown.text
    assert client.post(change, {"detail": "other"}).status_code == 403
    assert client.post(delete, {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [number], "post": "yes"})
    assert AuditRecord.objects.get(pk=number).detail != "other"


# The list


def test_the_list_shows_who_read_what(client: Client, rita: User, conversation: Conversation) -> None:
    html = page(client, LIST)
    cells = [">rita</a>", ">alice</a>", "Transcript read", "192.0.2.7", f"…{str(conversation.pk)[-12:]}</a>", "=p 1"]
    for cell in cells:
        assert cell in html
    assert "Secret" not in html


def test_the_list_is_filtered(client: Client, rita: User, alice: User, conversation: Conversation) -> None:
    assert shown(client, "action__exact=read", alice) == ["read"]
    assert shown(client, f"by_id={rita.pk}", alice) == ["read"]
    assert shown(client, f"owner_id={alice.pk}", alice) == ["read", "created"]
    assert shown(client, f"conversation={conversation.pk}", alice) == ["read"]
    assert shown(client, "time__lt=2026-01-01+00:00:00%2B00:00", alice) == []


def test_the_list_is_searched(client: Client, rita: User, alice: User, conversation: Conversation) -> None:
    for term in (conversation.pk, "192.0.2.7"):
        assert shown(client, f"q={term}", alice) == ["read"]
    assert shown(client, "q=alice", alice) == ["read", "created"]
    User.objects.filter(pk=alice.pk).update(username="alicia")
    assert shown(client, "q=alicia", alice) == ["read", "created"]
    assert shown(client, "q=alic", alice) == []


def test_people_are_found_after_their_account_is_deleted(client: Client, rita: User, alice: User) -> None:
    account = User(pk=alice.pk)
    alice.delete()
    assert shown(client, "q=alice", account) == ["deleted", "read", "created"]


def test_a_search_finds_the_newest_of_what_is_filtered(
    client: Client, rita: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CappedPaginator, "most", 2)
    audit.append(*(audit.new(Action.SIGNED_IN, owner=alice) for _ in range(3)))
    assert shown(client, "q=alice", alice) == ["signed in", "signed in"]
    assert shown(client, "q=alice&action__exact=read", alice) == ["read"]
    assert shown(client, "q=nobody", alice) == []


@pytest.mark.parametrize("person", ["by", "owner"])
def test_what_somebody_did_of_a_kind_has_an_index(db: None, person: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by the size of a table, and this one is empty")
    found = AuditRecord.objects.filter(**{f"{person}_id__in": ["7"]}, action=Action.RIGHTS).order_by("-number")
    plan = found[:10].explain()
    assert f"audit_{person}_action" in plan
    assert "TEMP B-TREE" not in plan


def test_a_long_list_has_an_end(client: Client, rita: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CappedPaginator, "most", 2)
    assert "\n2 audit records\n" in page(client, LIST)


def test_a_list_takes_few_queries(
    client: Client, rita: User, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    audit.append(*(audit.new(Action.SIGNED_IN, owner=alice) for _ in range(30)))
    # Session, person, their permissions twice, a count, the rows.
    with django_assert_max_num_queries(6):
        assert page(client, LIST).count("Signed in") >= 30


# Exports


@pytest.mark.django_db(transaction=True)
def test_the_list_is_exported_for_spreadsheets(client: Client, rita: User, conversation: Conversation) -> None:
    response = client.get(f"{CSV}?conversation={conversation.pk}")
    assert response["Content-Disposition"] == 'attachment; filename="audit.csv"'
    (row,) = csv.DictReader(content(response).splitlines())
    assert (row["by_name"], row["owner_name"], row["action"]) == ("rita", "alice", "read")
    assert row["detail"] == "'=p 1"


@pytest.mark.django_db(transaction=True)
def test_the_list_is_exported_for_programs(client: Client, rita: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.admin.audit.BATCH", 2)
    stored = {entry.number: entry.mac for entry in AuditRecord.objects.all()}
    rows = [json.loads(line) for line in content(client.get(JSON_LINES)).splitlines()]
    assert {row["number"]: row["mac"] for row in rows} == stored
    assert rows == sorted(rows, key=lambda row: row["number"])


@pytest.mark.django_db(transaction=True)
def test_an_export_has_all_that_is_found(
    client: Client, rita: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CappedPaginator, "most", 1)
    monkeypatch.setattr("chat.admin.audit.BATCH", 2)
    # By her and of her, in turn, and both.
    for by, owner in ((alice, rita), (rita, alice), (alice, alice), (rita, rita)) * 2:
        audit.append(audit.new(Action.SIGNED_IN, by=by, owner=owner))
    found = [json.loads(line) for line in content(client.get(f"{JSON_LINES}?q=alice")).splitlines()]
    hers = AuditRecord.objects.filter(Q(by_id=alice.pk) | Q(owner_id=alice.pk)).order_by("number")
    assert [row["number"] for row in found] == list(hers.values_list("number", flat=True))
    assert len(found) >= 8


def test_an_export_is_recorded(client: Client, rita: User) -> None:
    client.get(CSV + "?action__exact=read&q=alice")
    exported = AuditRecord.objects.latest("number")
    assert (exported.action, exported.by_name) == (Action.EXPORTED, "rita")
    assert exported.detail == "audit record, csv: p=1 action__exact=read q=alice"


@pytest.mark.parametrize(("url", "status"), [(f"{CSV}?title__regex=x", 400), (CSV[:-3] + "exe", 404)])
def test_an_export_that_makes_no_sense_is_refused(client: Client, rita: User, url: str, status: int) -> None:
    assert client.get(url).status_code == status
