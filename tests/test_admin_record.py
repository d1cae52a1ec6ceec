"""What the administration records: each page with somebody else's text once, and each deletion."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat import trash
from chat.models import AuditHead, AuditRecord, Conversation, Marking, Remark, Review, ReviewLabel, ReviewQueue, User
from chat.search.filling import reindex
from tests.client import Client
from tests.test_admin import LIST, change, delete, talk

Action = AuditRecord.Action
FILE = reverse("admin:chat_conversation_export", args=["csv"])


def since(action: Callable[[], object]) -> list[AuditRecord]:
    """The records of an action."""
    before = AuditHead.objects.get().number
    action()
    return list(AuditRecord.objects.filter(pk__gt=before).order_by("pk"))


@pytest.mark.parametrize(
    ("address", "query", "action", "detail"),
    [
        (lambda _: LIST, "", Action.LISTED, "p=1"),
        (lambda _: LIST, "?p=1&status=complete", Action.LISTED, "p=1 status=complete"),
        (lambda _: LIST, "?q=salt+soup&model=demo", Action.SEARCHED, "p=1 q=salt soup model=demo"),
        (change, "", Action.READ, "p=1"),
        (change, "?p=2", Action.READ, "p=2"),
        (delete, "", Action.LISTED, "p=1"),
    ],
    ids=["list", "filter", "search", "transcript", "its second page", "deletion"],
)
def test_a_page_is_one_record(
    staff: Client,
    sam: User,
    alice: User,
    address: Callable[[Conversation], str],
    query: str,
    action: Action,
    detail: str,
) -> None:
    conversation = talk(alice, "Answer.")
    (read,) = since(lambda: staff.get(address(conversation) + query))
    assert (read.action, read.detail) == (action, detail)
    assert (read.by_id, read.by_name, read.address) == (str(sam.pk), "sam", "127.0.0.1")
    about = (conversation.pk, str(alice.pk), "alice") if address in (change, delete) else (None, "", "")
    assert (read.conversation, read.owner_id, read.owner_name) == about


def found_by(words: str) -> str:
    """The query of a transcript to which a search has led."""
    return f"?_changelist_filters=q%3D{words}"


# Answers without a text of anybody's tell whether there is one: where they lead, or a number.
ANSWERS: dict[str, Callable[[Client, Conversation], Any]] = {
    "the next one": lambda browser, one: browser.get(way(one, "next") + found_by("soup")),
    "the one before": lambda browser, one: browser.get(way(one, "previous") + found_by("soup")),
    "a hit": lambda browser, one: browser.get(change(one) + found_by("soup")),
    "an action": lambda browser, _: browser.post(f"{LIST}?q=soup", {**into_queue(), "select_across": "1"}),
    "a deletion": lambda browser, one: browser.post(f"{LIST}?q=soup", {**deletion(one), "post": "yes"}),
    "a large file": lambda browser, _: browser.get(f"{FILE}?q=soup"),
    "a refused file": lambda browser, _: browser.get(f"{FILE}?q=-soup"),
}


def way(conversation: Conversation, name: str) -> str:
    return reverse(f"admin:chat_conversation_{name}", args=[conversation.pk])


def into_queue() -> dict[str, str]:
    queue = ReviewQueue.objects.create(name="Salt", rubric="Correct: yes, no")
    return {
        "action": f"queue_{queue.pk.hex}",
        "_selected_action": str(Conversation.objects.earliest("pk").pk),
        "index": "0",
    }


def deletion(conversation: Conversation) -> dict[str, str]:
    return {"action": "delete_selected", "_selected_action": str(conversation.pk)}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_search_whose_answer_is_no_text_is_recorded(
    staff: Client, alice: User, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("chat.admin.exports.MANY", 1)
    conversation = talk(alice, "Soup.")
    reindex(lambda done, total: None)
    searched = [entry for entry in since(lambda: ANSWERS[name](staff, conversation)) if entry.action == Action.SEARCHED]
    (entry,) = searched
    assert "soup" in entry.detail
    assert (entry.conversation, entry.owner_name) == ((conversation.pk, "alice") if name == "a hit" else (None, ""))


@pytest.mark.parametrize("name", ANSWERS)
def test_a_reason_is_asked_before_each_search(staff: Client, alice: User, settings: Settings, name: str) -> None:
    settings.CHAT_READ_REASON = True
    conversation = talk(alice, "Soup.")
    reindex(lambda done, total: None)
    before = AuditHead.objects.get().number
    response = ANSWERS[name](staff, conversation)
    assert response["Location"].startswith(reverse("admin:chat_conversation_reason"))
    assert AuditHead.objects.get().number == before
    assert Conversation.objects.count() == 1
    assert not Marking.objects.exists()


def test_what_is_refused_is_no_reading(client: Client, bob: User, alice: User) -> None:
    conversation = talk(alice, "Answer.")
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    client.force_login(bob)
    assert not since(lambda: [client.get(LIST), client.get(change(conversation)), client.get(delete(conversation))])


def test_a_conversation_that_does_not_exist_is_no_reading(staff: Client) -> None:
    assert not since(lambda: staff.get(reverse("admin:chat_conversation_change", args=["nowhere"])))


@pytest.mark.parametrize("address", [lambda _: LIST, change], ids=["list", "transcript"])
def test_no_text_is_sent_that_cannot_be_recorded(
    staff: Client, alice: User, address: Callable[[Conversation], str]
) -> None:
    conversation = talk(alice, "Answer.")
    AuditHead.objects.all().delete()
    staff.raise_request_exception = False
    response = staff.get(address(conversation))
    assert response.status_code == 500
    assert "A talk" not in response.text


def test_a_deletion_is_recorded(staff: Client, alice: User) -> None:
    conversation = talk(alice, "Answer.")
    (erased,) = since(lambda: staff.post(delete(conversation), {"post": "yes"}))
    assert (erased.action, erased.conversation, erased.owner_name) == (Action.ERASED, conversation.pk, "alice")
    assert erased.by_name == "sam"


def test_each_of_several_deletions_is_recorded(staff: Client, alice: User, bob: User) -> None:
    pks = [talk(owner, "Answer.").pk for owner in (alice, bob)]
    data = {"action": "delete_selected", "_selected_action": list(map(str, pks))}
    (listed,) = since(lambda: staff.post(LIST, data))
    assert (listed.action, listed.detail) == (Action.LISTED, "p=1 action=delete_selected")
    erased = since(lambda: staff.post(LIST, {**data, "post": "yes"}))
    assert [(entry.action, entry.conversation) for entry in erased] == [(Action.ERASED, pk) for pk in sorted(pks)]


def test_the_deletion_of_a_queue_is_recorded(staff: Client, alice: User) -> None:
    queues = [ReviewQueue.objects.create(name=name, rubric="Correct: yes, no") for name in ("Beer", "Salt")]
    queues[1].put([talk(alice, "Answer.").pk, talk(alice, "Answer.").pk])
    queues[1].markings.filter(pk=queues[1].markings.earliest("pk").pk).update(done=timezone.now())
    (deleted,) = since(
        lambda: staff.post(reverse("admin:chat_reviewqueue_delete", args=[queues[1].pk]), {"post": "yes"})
    )
    assert (deleted.action, deleted.detail) == (Action.QUEUE_DELETED, "queue Salt: 1 of 2 marked")
    assert deleted.by_name == "sam"
    data = {"action": "delete_selected", "_selected_action": str(queues[0].pk), "post": "yes"}
    (deleted,) = since(lambda: staff.post(reverse("admin:chat_reviewqueue_changelist"), data))
    assert deleted.detail == "queue Beer: 0 of 0 marked"


def test_the_deletion_of_a_label_is_recorded(staff: Client, sam: User, alice: User) -> None:
    conversation = talk(alice, "Answer.")
    Review.objects.change(conversation.pk, 0, sam, state="new", assignee=None, labels=["Soup"])
    label = ReviewLabel.objects.get()
    (deleted,) = since(lambda: staff.post(reverse("admin:chat_reviewlabel_delete", args=[label.pk]), {"post": "yes"}))
    assert (deleted.action, deleted.detail) == (Action.LABEL_DELETED, "label Soup: conversations=1")


def test_the_deletion_of_a_remark_is_recorded(staff: Client, sam: User, alice: User) -> None:
    conversation = talk(alice, "Answer.")
    Remark.objects.add(conversation.pk, None, sam, "note", "Too salty")
    address = reverse("admin:chat_remark_remove", args=[conversation.pk, Remark.objects.get().pk])
    (deleted,) = since(lambda: staff.post(address))
    assert (deleted.action, deleted.detail, deleted.owner_name) == (Action.REMARK_DELETED, "note", "alice")
    assert deleted.conversation == conversation.pk


def test_the_deletion_of_an_account_says_what_went_with_it(staff: Client, alice: User) -> None:
    for _ in range(2):
        talk(alice, "Answer.")
    (deleted,) = since(lambda: staff.post(reverse("admin:chat_user_delete", args=[alice.pk]), {"post": "yes"}))
    assert (deleted.action, deleted.detail, deleted.owner_name) == (Action.DELETED, "conversations=2", "alice")


@pytest.mark.django_db(transaction=True)
def test_what_people_delete_for_ever_is_recorded(client: Client, alice: User) -> None:
    client.force_login(alice)
    conversation = talk(alice, "Answer.")
    assert not since(lambda: trash.put(alice, [conversation.pk]))
    (erased,) = since(lambda: client.post(reverse("erase_conversation", args=[conversation.pk])))
    assert (erased.action, erased.by_name, erased.conversation) == (Action.ERASED, "alice", conversation.pk)


def test_what_parley_purges_is_recorded(alice: User) -> None:
    conversation = talk(alice, "Answer.")
    Conversation.objects.update(trashed=timezone.now() - timedelta(days=1000))
    (erased,) = since(lambda: trash.erase_some(trash.expired()))
    assert (erased.action, erased.by_id, erased.owner_name) == (Action.ERASED, "", "alice")
    assert erased.conversation == conversation.pk
