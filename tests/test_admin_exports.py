"""Conversations as files: what is in them, who gets them, what is recorded of that, and what they cost."""

import csv
import json
import tracemalloc
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat import exports, spreadsheets
from chat.models import AuditHead, AuditRecord, Conversation, Message, Reply, Review, ReviewLimit, User
from chat.search import finding
from chat.search.filling import reindex
from tests.client import Client
from tests.test_admin import HOSTILE, LIST, NOON, add_answer, page, reader, talk
from tests.test_admin_audit import content
from tests.test_admin_record import since

# A file is made in other threads.
pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["reader"]
CSV, JSON_LINES = (reverse("admin:chat_conversation_export", args=[suffix]) for suffix in ("csv", "jsonl"))
INCOMPLETE = "The rest is missing: the server ran into a problem. Try again in a moment."


def lines(browser: Client, query: str = "") -> list[dict[str, Any]]:
    # Not splitlines(): a text may have characters at which Python, but no reader of JSON Lines, begins a new line.
    return [json.loads(line) for line in content(browser.get(JSON_LINES + query)).split("\n") if line]


def rows(browser: Client, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(content(browser.get(CSV + query)), newline="")))


def exported(entries: list[AuditRecord]) -> list[tuple[str, Any]]:
    return [(entry.owner_name, entry.conversation) for entry in entries]


# What is in them


def test_a_conversation_is_a_line(reader: Client, alice: User) -> None:
    sent = {"instructions": "In verse.", "temperature": 0.5, "max_tokens": 100}
    ended = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}, "status": "failed", "error_code": "stalled"}
    judged = {"feedback": "bad", "feedback_reason": "Too salty", "upstream_id": "up-1", "finish_reason": "length"}
    conversation = talk(alice, "Answer.", title="On soup", model="large-1", **sent, **ended, **judged)
    add_answer(Message.objects.get(role="user"), "Another.", NOON)
    Review.objects.change(conversation.pk, 0, alice, state="done", assignee=alice, labels=["Cooking"])
    (line,) = lines(reader)
    facts = {"owner": "alice", "title": "On soup", "tokens": 7, "statuses": ["failed"], "bad": 1, "trashed": None}
    assert facts.items() <= line.items()
    assert line["review"] == {"state": "done", "assignee": "alice", "labels": ["Cooking"]}
    by_text = {message["text"]: message for message in line["messages"]}
    assert by_text["Another."]["parent"] == by_text["Answer."]["parent"] == by_text["Question 0?"]["id"]
    expected = {**sent, **ended, **judged, "model": "large-1"}
    expected["error"] = expected.pop("error_code")
    assert expected.items() <= by_text["Answer."].items()
    assert line["leaf"] == by_text["Answer."]["id"]


def test_a_message_is_a_row(reader: Client, alice: User) -> None:
    conversation = talk(alice, "Answer.", title="On soup", usage={"prompt_tokens": 3, "completion_tokens": 4})
    question, answer = rows(reader)
    about = {"conversation": str(conversation.pk), "owner": "alice", "title": "On soup"}
    assert {**about, "role": "user", "text": "Question 0?", "model": ""}.items() <= question.items()
    expected = {**about, "parent": question["id"], "model": "demo", "prompt_tokens": "3", "completion_tokens": "4"}
    assert expected.items() <= answer.items()


@pytest.mark.parametrize("start", [*"=+-@\t\r\n\x1b\x85", "＝", "＠"])
def test_a_cell_is_no_formula(start: str) -> None:
    (row,) = csv.reader(StringIO(spreadsheets.row([f"{start}1+1", f"1{start}1", -1]), newline=""))
    assert row == [f"'{start}1+1", f"1{start}1", "'-1"]


@pytest.mark.parametrize("text", [HOSTILE, 'a"b\r\n=1,2;3', "line\u2028break\u0085", "]}\n{", "=cmd|' /C calc'!A0"])
def test_hostile_texts_stay_texts(reader: Client, alice: User, text: str) -> None:
    talk(alice, text, title=text, reasoning=text)
    (line,) = lines(reader)
    assert (line["title"], line["messages"][1]["text"], line["messages"][1]["reasoning"]) == (text, text, text)
    answer = rows(reader)[1]
    assert {answer[name].removeprefix("'") for name in ("title", "text", "reasoning")} == {text}


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_batches_lose_and_repeat_nothing(
    reader: Client, alice: User, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(exports, "CONVERSATIONS", at_once)
    monkeypatch.setattr(exports, "MESSAGES", at_once)
    talks = [talk(alice, *(["Answer."] * count)) for count in (1, 2, 3)]
    # Of the same moment, as messages that have been copied may be.
    Message.objects.update(created=NOON)
    found = {line["id"]: [message["id"] for message in line["messages"]] for line in lines(reader)}
    assert list(found) == [str(conversation.pk) for conversation in talks]
    for conversation in talks:
        ids = map(str, conversation.messages.order_by("pk").values_list("pk", flat=True))
        assert found[str(conversation.pk)] == list(ids)


# What they are of


def test_the_buttons_carry_the_filters_and_the_words(reader: Client, alice: User) -> None:
    talk(alice, "Answer.")
    html = page(reader, f"{LIST}?q=soup+%22%26&status=failed&p=1")
    for address in (CSV, JSON_LINES):
        assert f'href="{address}?q=soup+%22%26&amp;status=failed"' in html


def test_a_file_has_what_filters_and_words_leave(reader: Client, alice: User) -> None:
    talk(alice, "With salt.", title="Good", status="complete")
    talk(alice, "With salt.", title="Bad", status="failed")
    talk(alice, "Without.", title="Other", status="failed")
    reindex(lambda done, total: None)
    assert [line["title"] for line in lines(reader, "?status=failed")] == ["Bad", "Other"]
    assert [line["title"] for line in lines(reader, "?q=salt&status=failed")] == ["Bad"]
    assert not lines(reader, "?owner=nobody")
    assert not rows(reader, "?owner=nobody")


def test_a_file_has_what_words_find_in_texts_of_any_age(
    reader: Client, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MOST", 1)
    monkeypatch.setattr(finding, "FOR_STAFF", 1)
    talk(bob, "Of salt.", title="Rare")
    talk(alice, *(["Of salt."] * 5), title="Often")
    reindex(lambda done, total: None)
    assert {line["title"] for line in lines(reader, "?q=salt")} == {"Rare", "Often"}
    assert {line["title"] for line in lines(reader, "?q=salt&owner=bob")} == {"Rare"}
    monkeypatch.setattr("chat.admin.listing.MOST_IN_FILE", 1)
    monkeypatch.setattr("chat.admin.conversations.MOST_IN_FILE", 1)
    refused = reader.get(f"{JSON_LINES}?q=salt")
    assert refused["Location"] == f"{LIST}?q=salt"
    assert "More than 1 conversations have this. Add words or filters" in page(reader, LIST)
    # Without words, there is no such limit.
    assert len(lines(reader)) == 2


def test_a_file_of_words_that_cannot_be_searched_is_refused(reader: Client, alice: User) -> None:
    talk(alice, "Of salt.")
    assert reader.get(f"{JSON_LINES}?q=-salt")["Location"] == f"{LIST}?q=-salt"
    # The list says why, once.
    assert page(reader, f"{LIST}?q=-salt").count('class="warning"') == 1


@pytest.mark.parametrize(("url", "status"), [(f"{CSV}?title__regex=x", 400), (CSV[:-3] + "exe", 404)])
def test_a_file_that_makes_no_sense_is_refused(reader: Client, url: str, status: int) -> None:
    assert reader.get(url).status_code == status


# Who gets them


@pytest.mark.parametrize("address", [CSV, JSON_LINES])
@pytest.mark.parametrize("rights", [[], ["view_conversation"], ["read_conversation"], ["view_auditrecord"]])
def test_a_file_takes_the_right_to_read(
    client: Client, bob: User, alice: User, rights: list[str], address: str
) -> None:
    talk(alice, "Answer.")
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    bob.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client.force_login(bob)
    assert not since(lambda: client.get(address))
    assert client.get(address).status_code == 403
    assert "Export as" not in client.get(LIST).text


def test_a_limited_reviewer_exports_nobody_elses(reader: Client, bob: User, alice: User, sam: User) -> None:
    talk(sam, "Answer.", title="His")
    talk(alice, "Answer.", title="Hers")
    sales = Group.objects.create(name="Sales")
    sales.user_set.add(alice)
    ReviewLimit.objects.create(reviewer=bob).groups.add(sales)
    assert [line["title"] for line in lines(reader)] == ["Hers"]


def lose_the_right(bob: User) -> None:
    bob.user_permissions.clear()


def be_limited(bob: User) -> None:
    ReviewLimit.objects.create(reviewer=bob)


@pytest.mark.parametrize(("change", "ending"), [(lose_the_right, [{"incomplete": INCOMPLETE}]), (be_limited, [])])
def test_whoever_may_no_longer_read_gets_no_further(
    reader: Client,
    bob: User,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[User], None],
    ending: list[dict[str, str]],
) -> None:
    monkeypatch.setattr(exports, "CONVERSATIONS", 1)
    first, _second = talk(alice, "Answer."), talk(alice, "Answer.")
    response = reader.get(JSON_LINES)

    read = exports.read_messages

    def read_and_change(conversation: Conversation, after: Message | None) -> list[Message]:
        change(User.objects.get(pk=bob.pk))
        return read(conversation, after)

    monkeypatch.setattr("chat.admin.exports.read_messages", read_and_change)
    found = [json.loads(line) for line in content(response).split("\n") if line]
    assert [line.get("id", line) for line in found] == [str(first.pk), *ending]


# What is recorded


def test_each_conversation_in_a_file_is_recorded(reader: Client, bob: User, alice: User, sam: User) -> None:
    talks = [talk(alice, "Answer."), talk(sam, "Answer.")]
    talk(alice, "Answer.", status="failed")
    asked, *entries = since(lambda: lines(reader, "?status=complete"))
    assert exported(entries) == [("alice", talks[0].pk), ("sam", talks[1].pk)]
    for entry in (asked, *entries):
        assert (entry.action, entry.by_name, entry.address) == ("exported", "bob", "127.0.0.1")
        assert entry.detail == "conversations, jsonl: status=complete"
    assert asked.conversation is None
    assert AuditRecord.objects.read_of(alice).filter(conversation=talks[0].pk).get().by_name == "bob"


@pytest.mark.parametrize("address", [CSV, JSON_LINES])
def test_a_reason_is_asked_before_a_file_and_recorded(
    reader: Client, alice: User, settings: Settings, address: str
) -> None:
    settings.CHAT_READ_REASON = True
    talk(alice, "Answer.")
    asking = reader.get(f"{address}?status=complete")
    assert asking.status_code == 302
    there = reader.post(asking["Location"], {"reason": "A complaint"})
    assert there["Location"] == f"{address}?status=complete"
    entries = since(lambda: content(reader.get(there["Location"])))
    assert [entry.reason for entry in entries] == ["A complaint", "A complaint"]


async def parts(response: Any, count: int) -> str:
    """The first parts of a file, after which the client goes away."""
    body = aiter(response.streaming_content)
    text = [(await anext(body)).decode() for _ in range(count)]
    await body.aclose()
    return "".join(text)


def test_a_text_is_recorded_before_it_is_sent(reader: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "CONVERSATIONS", 2)
    talks = [talk(alice, "Answer.", title=title) for title in ("One", "Two", "Three", "Four")]
    response = reader.get(JSON_LINES)
    # The header, and the first of two conversations that are recorded together.
    entries = since(lambda: async_to_sync(parts)(response, 2))
    assert [entry.conversation for entry in entries] == [conversation.pk for conversation in talks[:2]]


@pytest.mark.parametrize("address", [CSV, JSON_LINES])
def test_a_text_that_cannot_be_recorded_is_not_sent(reader: Client, alice: User, address: str) -> None:
    talk(alice, "Answer.", title="Secret")
    response = reader.get(address)
    head = AuditHead.objects.get()
    head.delete()
    text = content(response)
    AuditHead.objects.create(number=head.number, mac=head.mac)
    assert "Secret" not in text
    assert INCOMPLETE in text.rstrip().split("\n")[-1]


# What they cost


@pytest.mark.parametrize("address", [CSV, JSON_LINES])
def test_a_file_that_broke_off_says_so(
    reader: Client, alice: User, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(exports, "MESSAGES", 1)
    talk(alice, "Answer.", "Last.")
    response = reader.get(address)
    read = exports.read_messages

    def fail(conversation: Conversation, after: Message | None) -> list[Message]:
        if after and after.text == "Answer.":
            raise RuntimeError
        return read(conversation, after)

    monkeypatch.setattr("chat.admin.exports.read_messages", fail)
    *whole, last = content(response).rstrip().split("\n")
    assert "Answer." in "".join(whole)
    assert last in (INCOMPLETE, json.dumps({"incomplete": INCOMPLETE}))


@pytest.mark.parametrize("address", [CSV, JSON_LINES])
def test_memory_does_not_grow_with_a_file(reader: Client, alice: User, address: str) -> None:
    conversation = talk(alice, "Answer.")
    text, now = "x" * 100_000, timezone.now()
    messages = [Message(conversation=conversation, role="assistant", text=text, created=now) for _ in range(400)]
    Message.objects.bulk_create(messages, batch_size=50)
    Reply.objects.bulk_create([Reply(message=message, model="demo", status="complete") for message in messages])
    del messages
    response = reader.get(address)

    async def size() -> int:
        return sum([len(part) async for part in response.streaming_content])

    tracemalloc.start()
    try:
        assert async_to_sync(size)() > 400 * len(text)
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()
