"""The page of a queue's rule: setting, trying and removing it, and who may."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from chat import rules
from chat.models import AuditRecord, Conversation, QueueRule, Reply, ReviewLimit, ReviewQueue, SavedFilter, User
from tests.client import Client
from tests.test_admin import page, talk
from tests.test_admin_queues import QUEUES, RIGHTS
from tests.test_admin_review import allow

MANAGER = (*RIGHTS, "view_reviewqueue", "change_reviewqueue")


@pytest.fixture
def queue(db: None) -> ReviewQueue:
    return ReviewQueue.objects.create(name="Salt", rubric="Correct: yes, no")


def address(queue: ReviewQueue) -> str:
    return reverse("admin:chat_reviewqueue_rule", args=[queue.pk])


def press(browser: Client, queue: ReviewQueue, button: str, **fields: object) -> Any:
    return browser.post(address(queue), {"press": button, "share": 100, **fields})


def details() -> list[str]:
    return list(AuditRecord.objects.filter(action="queue rule").order_by("number").values_list("detail", flat=True))


def test_a_rule_is_set_changed_and_removed(staff: Client, sam: User, queue: ReviewQueue, alice: User) -> None:
    before = len(details())
    assert "Set a rule" in page(staff, QUEUES)
    assert "Remove rule" not in page(staff, address(queue))
    assert press(staff, queue, "save", share=10, feedback="bad", owner="alice").status_code == 302
    rule = QueueRule.objects.get()
    conditions = {"feedback": "bad", "owner": "alice"}
    assert (rule.queue, rule.owner, rule.share, rule.conditions) == (queue, sam, 10, conditions)
    html = page(staff, QUEUES)
    assert "10% of new ones" in html
    assert "From now on, 10% of the new conversations of this kind come into “Salt”." in html
    html = page(staff, address(queue))
    assert '<option value="bad" selected>' in html
    assert 'value="alice"' in html
    press(staff, queue, "save", share=20)
    rule.refresh_from_db()
    assert (rule.share, rule.conditions) == (20, {})
    press(staff, queue, "remove")
    press(staff, queue, "remove")
    assert not QueueRule.objects.exists()
    assert details()[before:] == [
        "queue Salt: +10% of feedback=bad owner=alice",
        "queue Salt: +20% of all",
        "queue Salt: -20% of all",
    ]


def test_whoever_changes_a_rule_becomes_its_owner(
    staff: Client, sam: User, bob: User, queue: ReviewQueue, alice: User
) -> None:
    press(staff, queue, "save")
    talk(alice, "Answer.")
    staff.force_login(allow(bob, *MANAGER))
    ReviewLimit.objects.create(reviewer=bob)
    press(staff, queue, "save")
    QueueRule.objects.update(since=timezone.now() - timedelta(hours=1))
    rules.fill(str(queue.pk))()
    assert QueueRule.objects.get().owner == bob
    assert not queue.markings.exists(), "he sees nobody's"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"share": "101"}, "Write a number from 0 to 100."),
        ({"share": "x"}, "Write a number from 0 to 100."),
        ({"status": "x"}, "“x” is not there to choose"),
        ({"error": "<b>"}, "“&lt;b&gt;” is not there to choose"),
        ({"group": "Cooks"}, "“Cooks” is not there to choose"),
        ({"model": "x"}, "“x” is not there to choose"),
        ({"label": "x"}, "“x” is not there to choose"),
        ({"owner": "nobody"}, "You see conversations of nobody called “nobody”."),
    ],
)
def test_a_bad_filter_gets_a_sentence_beside_its_field(
    staff: Client, queue: ReviewQueue, fields: dict[str, str], sentence: str
) -> None:
    response = press(staff, queue, "save", **{"feedback": "bad", **fields})
    assert response.status_code == 422
    row = response.text.partition(f"field-{next(iter(fields))} errors")[2].partition('class="form-row')[0]
    assert sentence in row
    assert '<option value="bad" selected>' in response.text
    assert not QueueRule.objects.exists()


def test_a_preview_counts_what_would_have_been_chosen(
    staff: Client, queue: ReviewQueue, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        talk(alice, "Answer.")
    Reply.objects.get(message__conversation=Conversation.objects.earliest("pk")).judge("bad", "")
    html = press(staff, queue, "preview").text
    assert "chosen <strong>3</strong> of the 3 conversations" in html
    html = press(staff, queue, "preview", share=0, feedback="bad").text
    assert "chosen <strong>0</strong> of the 1 conversation that" in html
    assert not QueueRule.objects.exists()
    monkeypatch.setattr(rules, "PREVIEWED", 2)
    assert "at least 2 conversations met" in press(staff, queue, "preview").text


def test_a_rule_begins_with_the_filters_of_an_address(staff: Client, sam: User, queue: ReviewQueue) -> None:
    SavedFilter.objects.create(person=sam, name="<Bad>", query="feedback=bad")
    assert '<a href="?feedback=bad">&lt;Bad&gt;</a>' in page(staff, address(queue))
    html = page(staff, f"{address(queue)}?feedback=bad&q=salt&trash=in&since=2026-01-01&until=2026-02-01&o=-6")
    assert '<option value="bad" selected>' in html
    assert "This one leaves out: days of last activity, trash, words that are searched for." in html


def test_a_filter_that_has_gone_is_told(staff: Client, sam: User, queue: ReviewQueue) -> None:
    QueueRule.objects.create(queue=queue, owner=sam, share=5, conditions={"owner": "gone", "model": "gone"})
    response = staff.get(address(queue))
    assert "nobody called “gone”" in response.text
    assert "“gone” is not there to choose" in response.text


def test_a_rule_whose_owner_may_no_longer_read_says_so(staff: Client, bob: User, queue: ReviewQueue) -> None:
    QueueRule.objects.create(queue=queue, owner=bob, share=5)
    assert "Rests: bob may not read" in page(staff, QUEUES)
    assert "It rests, because bob may no longer read conversations." in page(staff, address(queue))


@pytest.mark.parametrize("left_out", ["view_conversation", "read_conversation", "change_reviewqueue"])
def test_a_rule_takes_three_permissions(client: Client, bob: User, queue: ReviewQueue, left_out: str) -> None:
    client.force_login(allow(bob, *(right for right in MANAGER if right != left_out)))
    for response in [client.get(address(queue)), *(press(client, queue, button) for button in ("preview", "save"))]:
        assert response.status_code == 403
    assert "Set a rule" not in page(client, QUEUES)
    QueueRule.objects.create(queue=queue, owner=bob, share=5)
    assert press(client, queue, "remove").status_code == 403
    assert QueueRule.objects.exists()


def test_a_limited_manager_chooses_among_whom_they_see(
    client: Client, bob: User, queue: ReviewQueue, alice: User
) -> None:
    alice.groups.add(Group.objects.create(name="Cooks"))
    talk(alice, "Answer.")
    client.force_login(allow(bob, *MANAGER))
    ReviewLimit.objects.create(reviewer=bob)
    assert "of the 0 conversations" in press(client, queue, "preview").text
    assert press(client, queue, "save", owner="alice").status_code == 422
    assert press(client, queue, "save", group="Cooks").status_code == 422
    assert client.get(f"{address(queue)}?group=Cooks").status_code == 422
