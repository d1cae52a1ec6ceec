"""Queues in the administration: filling them, working through them, and their export."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from chat import rubric
from chat.models import AuditRecord, Conversation, Marking, ReviewLimit, ReviewQueue, User
from tests.client import Client
from tests.test_admin import LIST, change, page, talk
from tests.test_admin_review import allow

QUEUES = reverse("admin:chat_reviewqueue_changelist")
ADD = reverse("admin:chat_reviewqueue_add")
RUBRIC = "Correct: yes, no\nTone: 1-5\nComment: text"
RIGHTS = ("view_conversation", "read_conversation", "review_conversation")


@pytest.fixture
def soup(alice: User) -> Conversation:
    return talk(alice, "Two spoons.", title="On soup")


@pytest.fixture
def queue(soup: Conversation) -> ReviewQueue:
    """A queue of two conversations of Alice's, each for two reviewers."""
    queue = ReviewQueue.objects.create(name="Salt", instructions="Taste <b>it</b>", rubric=RUBRIC, reviewers=2)
    queue.put([soup.pk, talk(soup.owner, "Three spoons.", title="On tea").pk])
    return queue


def address(name: str, *args: object) -> str:
    return reverse(f"admin:chat_reviewqueue_{name}", args=args)


def name(line: str) -> str:
    """That of a criterion in forms."""
    return f"mark-{rubric.parse(line)[0].key}"


CORRECT, TONE, COMMENT = map(name, RUBRIC.splitlines())


def give(browser: Client, marking: Marking, **fields: str) -> Any:
    data = {CORRECT: "yes", TONE: "3", COMMENT: "", "correction": "", **fields}
    return browser.post(address("mark", marking.pk), data)


def work(browser: Client, queue: ReviewQueue) -> Any:
    return browser.post(address("work", queue.pk))


# Making and filling them


def test_a_queue_has_a_rubric_of_its_own(staff: Client) -> None:
    fields = {"name": "Salt", "instructions": "", "rubric": "Correct", "reviewers": "2", "minutes": "30"}
    assert "Line 1 is no criterion." in staff.post(ADD, fields).text
    assert "less than or equal to 5" in staff.post(ADD, {**fields, "rubric": RUBRIC, "reviewers": "6"}).text
    assert staff.post(ADD, {**fields, "rubric": RUBRIC}).status_code == 302
    queue = ReviewQueue.objects.get()
    change_queue = address("change", queue.pk)
    staff.post(change_queue, {**fields, "rubric": RUBRIC, "reviewers": "5", "minutes": "60"})
    queue.refresh_from_db()
    assert (queue.reviewers, queue.minutes) == (2, 60)


def test_a_rubric_stays_while_somebody_marks_by_it(staff: Client, sam: User, queue: ReviewQueue) -> None:
    def change_to(text: str) -> Any:
        fields = {"name": queue.name, "instructions": "New", "rubric": text, "reviewers": "2", "minutes": "30"}
        return staff.post(address("change", queue.pk), fields)

    other = "Correct: yes, no\nTone: good, bad\nComment: text"
    refusal = "Somebody marks by the old rubric. Make a new queue for another one."
    marking = Marking.objects.claim(queue, sam)
    assert marking
    assert refusal in change_to(other).text
    Marking.objects.update(reserved=timezone.now() - timedelta(minutes=1))
    assert change_to(other).status_code == 302
    assert marking.give(sam, {"Correct": "yes"})
    assert refusal in change_to(RUBRIC).text
    # As a browser sends it.
    assert change_to(other.replace("\n", "\r\n")).status_code == 302
    queue.refresh_from_db()
    assert (queue.rubric.splitlines(), queue.instructions) == (other.splitlines(), "New")


def test_a_queue_is_filled_from_the_list(staff: Client, queue: ReviewQueue, alice: User) -> None:
    new = talk(alice, "Answer.", title="On beer")
    data = {"action": f"queue_{queue.pk.hex}", "_selected_action": str(new.pk), "select_across": "1", "index": "0"}
    assert "Put into the queue “Salt”" in page(staff, LIST)
    assert staff.post(f"{LIST}?owner=alice", data).status_code == 302
    assert queue.progress()["all"] == 6
    assert "1 conversation is new in the queue." in page(staff, LIST)


def test_a_queue_is_filled_from_a_transcript(staff: Client, queue: ReviewQueue, alice: User) -> None:
    new = talk(alice, "Answer.")
    assert "Put into this queue" in page(staff, change(new))
    staff.post(address("put", new.pk), {"queue": str(queue.pk)})
    assert queue.markings.filter(conversation=new).count() == 2
    staff.post(address("put", new.pk), {"queue": "x"})
    assert "There is no such queue." in page(staff, LIST)


# Working through them


def test_a_reviewer_works_through_a_queue(client: Client, bob: User, queue: ReviewQueue, soup: Conversation) -> None:
    client.force_login(allow(bob, *RIGHTS))
    assert "0 of 4" in page(client, QUEUES)
    assert work(client, queue)["Location"] == change(soup)
    html = page(client, change(soup))
    assert "Taste &lt;b&gt;it&lt;/b&gt;" in html
    assert f'name="{CORRECT}" value="yes"' in html
    assert AuditRecord.objects.filter(action="read", conversation=soup.pk, by_name="bob").exists()
    mine = Marking.objects.get(reviewer=bob)
    response = give(client, mine, **{COMMENT: "More <salt>"}, correction="Three spoons.")
    assert response["Location"] == change(Marking.objects.get(reviewer=bob, done=None).conversation)
    mine.refresh_from_db()
    assert mine.marks == {"Correct": "yes", "Tone": "3", "Comment": "More <salt>"}
    assert (mine.correction, mine.corrected) == ("Three spoons.", soup.leaf)
    assert work(client, queue)["Location"] != change(soup)
    give(client, Marking.objects.get(reviewer=bob, done=None))
    assert work(client, queue)["Location"] == QUEUES
    html = page(client, QUEUES)
    assert "Nothing in this queue is open to you now." in html
    assert "2 of 4" in html
    assert "mark-form" not in page(client, change(soup))


@pytest.mark.parametrize("fields", [{CORRECT: "maybe"}, {CORRECT: ""}, {TONE: "6"}, {TONE: "x"}, {COMMENT: "x" * 2001}])
def test_marks_are_by_the_rubric(staff: Client, sam: User, queue: ReviewQueue, fields: dict[str, str]) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    response = give(staff, marking, **{"correction": "Kept <b>", **fields})
    assert response.status_code == 422
    assert 'class="errorlist"' in response.text
    assert "Kept &lt;b&gt;" in response.text
    assert not Marking.objects.exclude(done=None).exists()


def test_marks_by_an_older_rubric_are_given_under_no_other(staff: Client, sam: User, queue: ReviewQueue) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    ReviewQueue.objects.filter(pk=queue.pk).update(rubric="Comment: text\nTone: 1-6\nCorrect: yes, no")
    response = give(staff, marking, **{COMMENT: "Kept <b>"})
    assert response.status_code == 422
    assert "The rubric has changed since you opened it. Mark by this one. You had written: 3<" in response.text
    assert "Kept &lt;b&gt;" in response.text
    ReviewQueue.objects.update(rubric="Comment: text\nTone: 1-5\nCorrect: yes, no")
    assert give(staff, marking, **{COMMENT: "Kept <b>"}).status_code == 302
    marking.refresh_from_db()
    assert marking.marks == {"Correct": "yes", "Tone": "3", "Comment": "Kept <b>"}


def test_whoever_has_lost_the_reservation_is_told(staff: Client, sam: User, bob: User, queue: ReviewQueue) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    Marking.objects.filter(pk=marking.pk).update(reserved=timezone.now() - timedelta(minutes=1))
    assert marking.reserve(bob, timedelta(minutes=1))
    response = give(staff, marking, correction="Kept <b>")
    assert response.status_code == 409
    assert "your reservation ran out" in response.text
    assert "Kept &lt;b&gt;" in response.text
    Marking.objects.filter(pk=marking.pk).update(reviewer=sam, done=timezone.now())
    assert "you have given them already" in give(staff, marking).text


def test_agreement_is_shown(staff: Client, sam: User, bob: User, queue: ReviewQueue) -> None:
    for reviewer, marks in ((sam, [("yes", "1"), ("yes", "4")]), (bob, [("yes", "1"), ("no", "1")])):
        for place, (correct, tone) in enumerate(marks):
            conversation = Conversation.objects.order_by("pk")[place]
            own = queue.markings.filter(conversation=conversation, reviewer=None).earliest("place")
            assert own.reserve(reviewer, timedelta(minutes=1))
            assert own.give(reviewer, {"Correct": correct, "Tone": tone})
    assert "Correct: 50%, κ = -0.33; Tone: 50% the same, 1.5 apart on average<" in page(staff, QUEUES)


# The marks of others


@pytest.fixture
def three(soup: Conversation) -> list[User]:
    """Ada, Ben and Cleo, who each mark the conversation in a queue of its own; Ada has done so."""
    queue = ReviewQueue.objects.create(name="Thrice", rubric=RUBRIC, reviewers=3)
    queue.put([soup.pk])
    people = [allow(User.objects.create_user(name), *RIGHTS) for name in ("ada", "ben", "cleo")]
    marks(people[0], "no", "1", "Too <b>salty</b>", "Half a spoon.")
    return people


def marks(reviewer: User, correct: str, tone: str, comment: str, correction: str = "") -> Marking:
    marking = Marking.objects.claim(ReviewQueue.objects.get(name="Thrice"), reviewer)
    assert marking
    assert marking.give(reviewer, {"Correct": correct, "Tone": tone, "Comment": comment}, correction)
    return marking


def everything(browser: Client, conversation: Conversation) -> str:
    """All that a reviewer gets to see of a queue and of a conversation in it."""
    queue = ReviewQueue.objects.get(name="Thrice")
    pages = [page(browser, url) for url in (QUEUES, LIST, change(conversation))]
    exported = browser.get(address("export", queue.pk))
    return "".join([*pages, async_to_sync(whole)(exported).decode()])


@pytest.mark.django_db(transaction=True)
def test_nobody_sees_marks_before_giving_theirs(client: Client, soup: Conversation, three: list[User]) -> None:
    _, ben, cleo = three
    client.force_login(ben)
    queue = ReviewQueue.objects.get(name="Thrice")
    assert work(client, queue)["Location"] == change(soup)
    mine = Marking.objects.get(reviewer=ben)
    # Also where their own are refused, and where they send somebody else's.
    seen = everything(client, soup) + give(client, mine, **{TONE: "9"}).text + give(client, mine_of("ada")).text
    assert "salty" not in seen
    assert "Half a spoon" not in seen
    assert give(client, mine, **{TONE: "4"})["Location"] == QUEUES
    html = page(client, QUEUES)
    assert f'<a href="{change(soup)}#marks-{queue.pk}">See the marks of 1 other</a>' in html
    seen = everything(client, soup)
    assert "Too &lt;b&gt;salty&lt;/b&gt;" in seen
    assert "Too <b>salty</b>" in seen, "in the file"
    assert "Half a spoon." in seen
    # Cleo has still to mark it.
    client.force_login(cleo)
    assert "salty" not in everything(client, soup)


def mine_of(name: str) -> Marking:
    return Marking.objects.get(reviewer__username=name)


def test_marks_stay_as_they_were_given(client: Client, soup: Conversation, three: list[User]) -> None:
    """Whoever has seen those of others cannot send other ones from an older page."""
    mine = marks(three[1], "yes", "3", "")
    client.force_login(three[1])
    assert "salty" in page(client, change(soup))
    assert give(client, mine, **{CORRECT: "no"}).status_code == 409
    mine.refresh_from_db()
    assert mine.marks["Correct"] == "yes"


def test_marks_stand_beside_each_other(client: Client, soup: Conversation, three: list[User]) -> None:
    marks(three[1], "no", "3", "Fine")
    marks(three[2], "yes", "3", "")
    client.force_login(three[1])
    table = " ".join(page(client, change(soup)).partition('class="given"')[2].partition("</table>")[0].split())
    assert re.findall(r'<th scope="col">(.*?)</th>', table) == ["ada", "you", "cleo", "Agreement"]
    rows = [re.findall(r"<td.*?>(.*?)</td>", row) for row in table.split("<tr")[2:]]
    assert rows == [
        ["no", "no", "yes", "33% agree"],
        ["1", "3", "3", "2 apart"],
        ["Too &lt;b&gt;salty&lt;/b&gt;", "Fine", "–", ""],
    ]
    assert table.count("given__differs") == 3


def test_marks_can_be_seen_when_nobody_is_to_give_any_more(
    client: Client, bob: User, soup: Conversation, three: list[User]
) -> None:
    client.force_login(allow(bob, *RIGHTS))
    marks(three[1], "yes", "3", "")
    assert "salty" not in page(client, change(soup))
    marks(three[2], "yes", "3", "")
    assert "salty" in page(client, change(soup))


def test_marks_by_an_older_rubric_break_no_page(client: Client, soup: Conversation, three: list[User]) -> None:
    marks(three[1], "no", "3", "")
    ReviewQueue.objects.filter(name="Thrice").update(rubric="Correct: 1-5\nTone: low, high\nComment: text")
    client.force_login(three[1])
    page(client, QUEUES)
    table = " ".join(page(client, change(soup)).partition('class="given"')[2].partition("</table>")[0].split())
    assert '<td data-by="you" dir="auto">no</td>' in table
    assert "% agree" not in table


@pytest.mark.parametrize("right", RIGHTS)
def test_seeing_marks_takes_three_permissions(
    client: Client, soup: Conversation, three: list[User], right: str
) -> None:
    ada = three[0]
    ada.user_permissions.remove(Permission.objects.get(codename=right))
    client.force_login(ada)
    assert "salty" not in client.get(change(soup)).text


def test_marks_of_another_queue_are_not_shown(client: Client, soup: Conversation, three: list[User]) -> None:
    other = ReviewQueue.objects.create(name="Other", rubric="Correct: yes, no")
    other.put([soup.pk])
    ben = three[1]
    marking = Marking.objects.claim(other, ben)
    assert marking
    assert marking.give(ben, {"Correct": "yes"})
    client.force_login(ben)
    html = page(client, change(soup))
    assert "Marks in “Other”" in html
    assert "salty" not in html


# Who may


@pytest.mark.parametrize("rights", [RIGHTS[:2], (RIGHTS[0], RIGHTS[2]), RIGHTS[1:]])
def test_working_takes_three_permissions(
    client: Client, bob: User, queue: ReviewQueue, soup: Conversation, rights: tuple[str, ...]
) -> None:
    client.force_login(allow(bob, *rights))
    marking = queue.markings.filter(conversation=soup).earliest("pk")
    assert marking.reserve(bob, timedelta(minutes=1))
    assert give(client, marking).status_code in (403, 404)
    assert "change" not in work(client, queue).get("Location", "")
    assert not Marking.objects.exclude(done=None).exists()


def test_reviewing_does_not_allow_to_manage(client: Client, bob: User, queue: ReviewQueue, soup: Conversation) -> None:
    client.force_login(allow(bob, *RIGHTS))
    assert client.get(ADD).status_code == 403
    assert client.post(address("put", soup.pk), {"queue": str(queue.pk)}).status_code == 403
    assert "Put into" not in page(client, LIST) + page(client, change(soup))
    client.force_login(allow(bob, "add_reviewqueue", "change_reviewqueue"))
    page(client, ADD)
    assert client.post(address("put", soup.pk), {"queue": str(queue.pk)}).status_code == 302


# Export


@pytest.mark.django_db(transaction=True)
def test_a_queue_is_exported_as_json_lines(staff: Client, sam: User, queue: ReviewQueue, soup: Conversation) -> None:
    marking = queue.markings.filter(conversation=soup).earliest("pk")
    assert marking.reserve(sam, timedelta(minutes=1))
    assert marking.give(sam, {"Correct": "no"}, "Three spoons.", soup.leaf)
    (line,) = lines(staff, queue)
    assert [(message["role"], message["content"]) for message in line["messages"]] == [
        ("user", "Question 0?"),
        ("assistant", "Two spoons."),
    ]
    assert line["reviews"] == [
        {"reviewer": "sam", "marks": {"Correct": "no"}, "correction": "Three spoons.", "corrects": str(soup.leaf_id)}
    ]
    exported = AuditRecord.objects.get(action="exported", conversation=soup.pk)
    assert (exported.owner_name, exported.by_name, exported.detail) == ("alice", "sam", "queue Salt")


@pytest.mark.django_db(transaction=True)
def test_an_export_has_every_conversation_that_the_reviewer_sees(
    client: Client, bob: User, sam: User, alice: User
) -> None:
    queue = ReviewQueue.objects.create(name="Salt", rubric=RUBRIC)
    queue.put([talk(owner, "Answer.").pk for owner in [alice] * 45 + [sam]])
    queue.markings.update(done=timezone.now())
    alice.groups.add(group := Group.objects.create(name="Cooks"))
    ReviewLimit.objects.create(reviewer=allow(bob, *RIGHTS)).groups.add(group)
    client.force_login(bob)
    assert len(lines(client, queue)) == 45
    exported = AuditRecord.objects.filter(action="exported", by_name="bob", detail="queue Salt").exclude(
        conversation=None
    )
    assert set(exported.values_list("owner_name", flat=True)) == {"alice"}
    bob.user_permissions.clear()
    assert client.get(address("export", queue.pk)).status_code == 403


def lines(browser: Client, queue: ReviewQueue) -> list[Any]:
    response = browser.get(address("export", queue.pk))
    assert response.status_code == 200
    return [json.loads(line) for line in async_to_sync(whole)(response).decode().splitlines()]


async def whole(response: Any) -> bytes:
    return b"".join([part async for part in response.streaming_content])
