"""What the security log records: ids and IP addresses, and nothing that people wrote."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group, Permission
from django.urls import reverse

from chat.models import AuditRecord, Conversation, User
from tests.client import Client

pytestmark = pytest.mark.any_store

LOGIN = reverse("account_login")
SECRETS = ["alice", "sam", "password", "example.org"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "chat.security_log")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    """The messages so far, without the address that all requests of these tests come from."""
    messages = [record.getMessage() for record in log.records if record.name == "chat.security_log"]
    log.clear()
    for message in messages:
        for secret in SECRETS:
            assert secret not in message.partition(":")[2].replace("/password/", "")
    return [message.replace(" address=127.0.0.1", "") for message in messages]


def sign_in(client: Client, login: str, password: str) -> None:
    client.post(LOGIN, {"login": login, "password": password})


def test_signing_in_and_out(client: Client, alice: User, log: pytest.LogCaptureFixture) -> None:
    lines(log)
    sign_in(client, "alice", "alice's password")
    client.post(reverse("account_logout"))
    assert lines(log) == [f"Signed in: user={alice.pk} by={alice.pk}", f"Signed out: user={alice.pk} by={alice.pk}"]


def test_failures_to_sign_in(client: Client, alice: User, log: pytest.LogCaptureFixture) -> None:
    lines(log)
    sign_in(client, "alice@example.org", "not alice's password")
    sign_in(client, "nobody", "not alice's password")
    assert lines(log) == [f"Wrong password: user={alice.pk}", "Unknown login:"]


def test_ids_are_fields_for_machines(client: Client, alice: User, log: pytest.LogCaptureFixture) -> None:
    sign_in(client, "alice", "not alice's password")
    record = log.records[-1]
    assert (record.user, record.address) == (alice.pk, "127.0.0.1")  # type: ignore[attr-defined]


def test_limits_that_are_reached(client: Client, alice: User, log: pytest.LogCaptureFixture) -> None:
    for _ in range(6):
        sign_in(client, "alice", "not alice's password")
    assert lines(log)[-1] == f"Too many wrong passwords: user={alice.pk}"
    for _ in range(30):
        client.post(LOGIN)
    assert lines(log)[-1] == f"Too many requests: path={LOGIN}"


def test_a_change_of_the_password(client: Client, alice: User, log: pytest.LogCaptureFixture) -> None:
    client.force_login(alice)
    chosen = {"oldpassword": "alice's password", "password1": "a better one", "password2": "a better one"}
    lines(log)
    client.post(reverse("account_change_password"), chosen)
    assert f"Password changed: user={alice.pk} by={alice.pk}" in lines(log)


def test_a_change_of_somebody_elses_password(
    client: Client, alice: User, sam: User, log: pytest.LogCaptureFixture
) -> None:
    client.force_login(sam)
    chosen = {"password1": "a better one", "password2": "a better one", "usable_password": "true"}
    client.post(reverse("admin:auth_user_password_change", args=[alice.pk]), chosen)
    assert lines(log)[-1] == f"Password changed: user={alice.pk} by={sam.pk}"


def test_a_stronger_hash_is_no_change_of_the_password(alice: User, log: pytest.LogCaptureFixture) -> None:
    lines(log)
    alice.set_password("alice's password")
    alice.save(update_fields=["password"])
    assert lines(log) == []


def test_changes_of_rights(alice: User, log: pytest.LogCaptureFixture) -> None:
    readers = Group.objects.create(name="Readers")
    permission = Permission.objects.all()[0]
    lines(log)
    alice.is_staff, alice.is_active = True, False
    alice.save()
    alice.groups.add(readers)
    alice.user_permissions.add(permission)
    alice.user_permissions.remove(permission)
    readers.permissions.add(permission)
    readers.user_set.clear()
    pk = readers.pk
    readers.delete()
    assert lines(log) == [
        f"Rights changed: user={alice.pk} change=-is_active,+is_staff",
        f"Rights changed: user={alice.pk} change=+group:{pk}",
        f"Rights changed: user={alice.pk} change=+permission:{permission.pk}",
        f"Rights changed: user={alice.pk} change=-permission:{permission.pk}",
        f"Rights changed: group={pk} change=+permission:{permission.pk}",
        f"Rights changed: group={pk} change=-user:all",
        f"Rights changed: group={pk} change=-group",
    ]


def test_accounts_that_come_and_go(db: None, log: pytest.LogCaptureFixture) -> None:
    user = User.objects.create_superuser("sam")
    pk = user.pk
    user.delete()
    created, deleted = lines(log)
    assert created == f"Account created: user={pk} rights=is_active,is_staff,is_superuser"
    assert deleted == f"Account deleted: user={pk}"


def test_denied_access_to_the_admin(client: Client, alice: User, bob: User, log: pytest.LogCaptureFixture) -> None:
    client.force_login(alice)
    url = reverse("admin:chat_conversation_changelist")
    client.get(url, follow=True)
    assert lines(log)[-1] == f"Access denied: path={reverse('admin:login')} by={alice.pk}"
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    client.force_login(bob)
    client.get(f"{url}x%20y/change/")
    assert lines(log)[-1] == f"Access denied: path={url}x%20y/change/ by={bob.pk}"


def test_transcripts_that_are_read(client: Client, alice: User, sam: User, log: pytest.LogCaptureFixture) -> None:
    conversation = Conversation.objects.create(owner=alice, title="Secret", model="demo")
    client.force_login(sam)
    client.get(reverse("admin:chat_conversation_change", args=[conversation.pk]))
    assert lines(log)[-1] == f"Transcript read: conversation={conversation.pk} by={sam.pk}"
    client.get(reverse("admin:chat_conversation_change", args=["nowhere"]))
    assert lines(log) == []


def test_every_line_has_one_form(client: Client, alice: User, log: pytest.LogCaptureFixture) -> None:
    sign_in(client, "alice", "alice's password")
    for line in lines(log):
        assert re.fullmatch(r"[A-Z][a-z ]+:( \w+=\S+)* ?", line)


def details() -> list[str]:
    """What the record says of changed email addresses; the log does not."""
    return list(AuditRecord.objects.filter(action="email").order_by("number").values_list("detail", flat=True))


def test_changes_of_email_addresses(client: Client, alice: User, sam: User, log: pytest.LogCaptureFixture) -> None:
    before = len(details())
    lines(log)
    alice.email = "a@example.net"
    alice.save(update_fields=["email"])
    client.force_login(sam)
    lines(log)
    added = {"user": alice.pk, "email": "other@example.net", "verified": "on"}
    assert client.post(reverse("admin:account_emailaddress_add"), added).status_code == 302
    assert lines(log) == [f"Email address changed: user={alice.pk} by={sam.pk}"]
    address = EmailAddress.objects.get(email="other@example.net")
    changed = reverse("admin:account_emailaddress_change", args=[address.pk])
    client.post(changed, {**added, "email": "third@example.net", "primary": "on"})
    # As allauth does when an address becomes that of the account.
    EmailAddress.objects.get(pk=address.pk).set_as_primary()
    client.post(reverse("admin:account_emailaddress_delete", args=[address.pk]), {"post": "yes"})
    assert details()[before:] == [
        "alice@example.org → a@example.net",
        "+other@example.net",
        "other@example.net → third@example.net",
        "a@example.net → third@example.net",
        "-third@example.net",
    ]


def test_the_address_of_a_new_or_deleted_account_is_no_change(alice: User) -> None:
    before = details()
    EmailAddress.objects.create(user=alice, email=alice.email.upper(), primary=True)
    alice.delete()
    assert details() == before
