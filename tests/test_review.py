"""Reviewers: what they see, what they read, and whose conversations."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.urls import reverse

from chat.models import AuditRecord, Conversation, ReviewLimit, User
from tests.client import Client
from tests.test_admin import LIST, change, delete, page, queue, talk


@pytest.fixture
def seer(client: Client, bob: User) -> Client:
    """The browser of Bob, who is staff, and may see conversations but not read them."""
    bob.is_staff = True
    bob.save()
    bob.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    client.force_login(bob)
    return client


@pytest.fixture
def sales(alice: User) -> Group:
    """Alice's group."""
    group = Group.objects.create(name="Sales")
    alice.groups.add(group)
    return group


def limit(reviewer: User, *groups: Group) -> User:
    ReviewLimit.objects.create(reviewer=reviewer).groups.set(groups)
    return User.objects.get(pk=reviewer.pk)


# Seeing


def test_the_list_without_titles_cannot_be_searched(seer: Client, alice: User) -> None:
    conversation = talk(alice, "Answer.", title="On soup")
    html = page(seer, f"{LIST}?q=nothing")
    assert str(conversation.pk) in html
    assert "soup" not in html
    assert "searchbar" not in html
    assert "status--complete" in html


def test_a_transcript_without_texts_has_the_facts(seer: Client, alice: User) -> None:
    judged = {"feedback": "bad", "feedback_reason": "Too salty", "instructions": "In verse", "reasoning": "Let me see"}
    conversation = talk(alice, "Answer.", title="On soup", model="large-1", usage={"prompt_tokens": 12}, **judged)
    queue(conversation, "And then?")
    html = page(seer, change(conversation))
    for fact in ["large-1", "12 prompt", "<dt>Feedback</dt><dd>Bad</dd>", "Can read conversation", ">Queued</span>"]:
        assert fact in html
    for text in ["soup", "Question 0?", "Answer.", "salty", "verse", "Let me see", "And then?"]:
        assert text not in html


def test_seeing_is_not_recorded_as_reading(seer: Client, alice: User) -> None:
    conversation = talk(alice, "Answer.")
    before = AuditRecord.objects.count()
    page(seer, LIST)
    page(seer, change(conversation))
    assert AuditRecord.objects.count() == before


def test_people_who_may_not_read_delete_by_id(seer: Client, bob: User, alice: User) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="delete_conversation"))
    conversation = talk(alice, "Answer.", title="On soup")
    html = page(seer, delete(conversation))
    assert "soup" not in html
    assert f"conversation {conversation.pk}" in html
    seer.post(delete(conversation), {"post": "yes"})
    assert LogEntry.objects.get().object_repr == f"conversation {conversation.pk}"


# Limits


@pytest.mark.parametrize(
    ("groups", "seen"),
    [(None, ["Alice's", "Sam's"]), (["Sales"], ["Alice's"]), (["Sales", "Tall"], ["Alice's"]), ([], [])],
)
def test_a_reviewer_sees_the_people_of_their_groups(
    bob: User, alice: User, sam: User, sales: Group, groups: list[str] | None, seen: list[str]
) -> None:
    alice.groups.add(Group.objects.create(name="Tall"))
    talk(alice, "Answer.", title="Alice's")
    talk(sam, "Answer.", title="Sam's")
    bob.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    reviewer = User.objects.get(pk=bob.pk) if groups is None else limit(bob, *Group.objects.filter(name__in=groups))
    rows = Conversation.objects.for_reviewer(reviewer).order_by("title")
    assert [conversation.title for conversation in rows] == seen


def test_without_the_permission_nothing_is_seen(bob: User, alice: User, sales: Group) -> None:
    talk(alice, "Answer.")
    assert not Conversation.objects.for_reviewer(limit(bob, sales)).exists()


def test_a_limited_reviewer_finds_nobody_elses(seer: Client, bob: User, alice: User, sam: User, sales: Group) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="read_conversation"))
    limit(bob, sales)
    hers, his = talk(alice, "Answer.", title="Alice's"), talk(sam, "Answer.", title="Sam's")
    html = page(seer, LIST)
    assert "Alice&#x27;s" in html
    assert "Sam&#x27;s" not in html
    assert "1 conversation\n" in html
    page(seer, change(hers))
    for address in (change(his), delete(his), change(his).replace("change", "history")):
        assert seer.get(address).status_code in (302, 403)


def test_a_limited_reviewer_does_not_delete_accounts_with_conversations_of_others(
    seer: Client, bob: User, alice: User
) -> None:
    rights = ["view_user", "delete_user", "delete_conversation"]
    bob.user_permissions.add(*Permission.objects.filter(codename__in=rights))
    limit(bob)
    talk(alice, "Answer.")
    address = reverse("admin:chat_user_delete", args=[alice.pk])
    assert "Conversations: 1" not in page(seer, address)
    assert seer.post(address, {"post": "yes"}).status_code == 403
    ReviewLimit.objects.all().delete()
    assert "Conversations: 1" in page(seer, address)
    assert seer.post(address, {"post": "yes"}).status_code == 302


def test_a_superuser_limits_a_reviewer(client: Client, sam: User, bob: User, sales: Group) -> None:
    client.force_login(sam)
    address = reverse("admin:chat_reviewlimit_add")
    assert client.post(address, {"reviewer": bob.pk, "groups": [sales.pk]}).status_code == 302
    assert ReviewLimit.objects.get().reviewer == bob
    assert "Sales" in page(client, reverse("admin:chat_reviewlimit_changelist"))
    ReviewLimit.objects.get().delete()
    recorded = AuditRecord.objects.filter(action="rights", owner_id=bob.pk).order_by("pk")
    assert [entry.detail for entry in recorded] == [
        "+review limit",
        "review limit limit of bob: +group Sales",
        "-review limit",
    ]


def test_only_superusers_limit_reviewers(seer: Client, bob: User, sales: Group) -> None:
    bob.user_permissions.add(*Permission.objects.filter(codename__endswith="reviewlimit"))
    limit(bob, sales)
    address = reverse("admin:chat_reviewlimit_delete", args=[ReviewLimit.objects.get().pk])
    assert seer.post(address, {"post": "yes"}).status_code == 403
    assert seer.get(reverse("admin:chat_reviewlimit_add")).status_code == 403


# From earlier versions


def test_who_could_read_before_still_may(bob: User, sales: Group) -> None:
    view, read = (Permission.objects.get(codename=f"{name}_conversation") for name in ("view", "read"))
    bob.user_permissions.add(view)
    sales.permissions.add(view)
    migration = import_module("chat.migrations.0019_review")
    migration.grant(apps, connection.schema_editor())
    assert read in bob.user_permissions.all()
    assert read in sales.permissions.all()


def test_titles_leave_the_log_of_the_admin(sam: User, alice: User) -> None:
    conversation = talk(alice, "Answer.")
    LogEntry.objects.log_actions(sam.pk, [conversation], 3)
    LogEntry.objects.update(object_repr="On soup")
    migration = import_module("chat.migrations.0019_review")
    migration.forget_titles(apps, connection.schema_editor())
    assert LogEntry.objects.get().object_repr == f"conversation {conversation.pk}"
