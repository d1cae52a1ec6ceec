"""The reason that reviewers give before they read, where it is asked."""

import time
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from pytest_django import Settings

from chat.admin import reasons
from chat.models import AuditHead, AuditRecord, Conversation, User
from tests.client import Client
from tests.test_admin import LIST, change, page, talk

REASON = reverse("admin:chat_conversation_reason")


@pytest.fixture(autouse=True)
def _asked(settings: Settings) -> None:
    settings.CHAT_READ_REASON = True


@pytest.fixture
def conversation(alice: User) -> Conversation:
    return talk(alice, "Answer.", title="On soup")


def test_a_reason_is_asked_before_the_first_text(staff: Client, conversation: Conversation) -> None:
    before = AuditHead.objects.get().number
    for address in (LIST, f"{LIST}?q=soup", change(conversation)):
        response = staff.get(address)
        assert response.status_code == 302
        assert response["Location"] == f"{REASON}?next={quote(address, safe='')}"
    assert "Why do you need to read" in page(staff, REASON)
    assert AuditHead.objects.get().number == before


def test_a_reason_leads_back_and_is_recorded(staff: Client, conversation: Conversation) -> None:
    address = change(conversation) + "?p=1"
    response = staff.post(f"{REASON}?next={quote(address)}", {"reason": "  A <b>complaint</b> "})
    assert (response.status_code, response["Location"]) == (302, address)
    assert "“A &lt;b&gt;complaint&lt;/b&gt;”" in page(staff, address)
    assert AuditRecord.objects.latest("number").reason == "A <b>complaint</b>"


def test_a_reason_holds_for_an_hour(staff: Client, conversation: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    staff.post(REASON, {"reason": "A complaint"})
    for seconds, status in [(reasons.SECONDS - 60, 200), (reasons.SECONDS + 60, 302)]:
        later = time.time() + seconds
        monkeypatch.setattr(reasons, "time", SimpleNamespace(time=lambda later=later: later))
        assert staff.get(change(conversation)).status_code == status


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_reason_has_to_be_one(staff: Client, reason: str) -> None:
    response = staff.post(REASON, {"reason": reason})
    assert response.status_code == 422
    assert "errorlist" in response.text
    assert reason.strip() in response.text


@pytest.mark.parametrize("following", ["https://evil.example/", "//evil.example/admin/", "/", ""])
def test_a_reason_leads_nowhere_else(staff: Client, following: str) -> None:
    response = staff.post(f"{REASON}?next={quote(following)}", {"reason": "A complaint"})
    assert response["Location"] == reverse("admin:index")


def test_who_may_not_read_is_not_asked(client: Client, bob: User, conversation: Conversation) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    bob.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    client.force_login(bob)
    page(client, LIST)
    assert client.get(REASON).status_code == 403


def test_without_the_setting_nobody_is_asked(staff: Client, conversation: Conversation, settings: Settings) -> None:
    staff.post(REASON, {"reason": "A complaint"})
    settings.CHAT_READ_REASON = False
    assert "You read because" not in page(staff, change(conversation))
    assert AuditRecord.objects.latest("number").reason == ""
