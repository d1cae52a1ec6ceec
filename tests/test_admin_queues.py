"""Queues in the administration: filling them, working through them, and their export."""

import json
import re
import subprocess
import sys
from datetime import timedelta
from time import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from chat import rubric
from chat.models import AuditRecord, Conversation, Marking, Message, Reply, ReviewLimit, ReviewQueue, User
from tests.client import Client
from tests.test_admin import LIST, add_answer, change, page, talk
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
    shown = {"leaf": str(marking.conversation.leaf_id), "about": "", "opened": str(time())}
    data = {CORRECT: "yes", TONE: "3", COMMENT: "", "correction": "", **shown, **fields}
    return browser.post(address("mark", marking.queue_id, marking.pk), data)


def work(browser: Client, queue: ReviewQueue) -> Any:
    return browser.post(address("work", queue.pk))


# Making and filling them


def test_a_queue_has_a_rubric_of_its_own(staff: Client) -> None:
    fields = {"name": "Salt", "instructions": "", "rubric": "Correct", "reviewers": "2", "minutes": "30"}
    assert "Line 1 is no criterion." in staff.post(ADD, fields).text
    refused = staff.post(ADD, {**fields, "rubric": RUBRIC, "reviewers": "6", "minutes": "x"}).text
    assert "Write a number from 1 to 5." in refused
    assert "Write a number from 1 to 1440." in refused
    assert staff.post(ADD, {**fields, "rubric": RUBRIC}).status_code == 302
    assert "There is a queue with this name. Choose another one." in staff.post(ADD, {**fields, "rubric": RUBRIC}).text
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
    assert queue.progress(alice)["all"] == 6
    assert "1 conversation is new in the queue." in page(staff, LIST)


def test_a_queue_is_filled_with_as_many_as_the_list_has_pages_for(
    staff: Client, queue: ReviewQueue, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"action": f"queue_{queue.pk.hex}", "select_across": "1", "index": "0"}

    def put() -> str:
        staff.post(LIST, {**data, "_selected_action": str(Conversation.objects.first().pk)})  # type: ignore[union-attr]
        return page(staff, LIST)

    # Two are in the queue, and two are new.
    talk(alice, "Answer.")
    talk(alice, "Answer.")
    monkeypatch.setattr("chat.admin.conversations.MOST", 3)
    shown = put()
    assert "2 conversations are new in the queue." in shown
    assert "Only the first 3 conversations of the list were chosen. There are more" in shown
    monkeypatch.setattr("chat.admin.conversations.MOST", 4)
    assert "There are more" not in put()


def test_a_queue_is_filled_from_a_transcript(staff: Client, queue: ReviewQueue, alice: User) -> None:
    new = talk(alice, "Answer.")
    assert "Put into this queue" in page(staff, change(new))
    staff.post(address("put", new.pk), {"queue": str(queue.pk)})
    assert queue.markings.filter(conversation=new).count() == 2
    assert "1 conversation is new in the queue.<" in page(staff, QUEUES)
    # No other queue is left.
    assert "Put into this queue" not in page(staff, change(new))
    staff.post(address("put", new.pk), {"queue": str(queue.pk)})
    assert "0 conversations are new in the queue. The rest was in it already." in page(staff, QUEUES)
    staff.post(address("put", new.pk), {"queue": "x"})
    assert "There is no such queue." in page(staff, LIST)


# Working through them


def test_a_reviewer_works_through_a_queue(
    client: Client, bob: User, queue: ReviewQueue, soup: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(allow(bob, *RIGHTS))
    monkeypatch.setattr("chat.models.queues.MOST_LEFT", 2)
    monkeypatch.setattr("chat.admin.marks.MOST_LEFT", 2)
    assert "0 of 4" in page(client, QUEUES)
    assert work(client, queue)["Location"] == change(soup)
    html = page(client, change(soup))
    assert "Taste &lt;b&gt;it&lt;/b&gt;" in html
    assert "More than 2 marks are still to be given." in html
    assert f'name="{CORRECT}" value="yes"' in html
    assert AuditRecord.objects.filter(action="read", conversation=soup.pk, by_name="bob").exists()
    mine = Marking.objects.get(reviewer=bob)
    response = give(client, mine, **{COMMENT: "More <salt>"}, correction="Three spoons.")
    assert response["Location"] == change(Marking.objects.get(reviewer=bob, done=None).conversation)
    mine.refresh_from_db()
    assert mine.marks == {"Correct": "yes", "Tone": "3", "Comment": "More <salt>"}
    assert (mine.correction, mine.corrected, mine.leaf) == ("Three spoons.", soup.leaf, soup.leaf)
    assert work(client, queue)["Location"] != change(soup)
    give(client, Marking.objects.get(reviewer=bob, done=None))
    assert work(client, queue)["Location"] == QUEUES
    html = page(client, QUEUES)
    assert "Nothing in this queue is open to you now." in html
    assert "2 of 4" in html
    assert "mark-form" not in page(client, change(soup))


@pytest.mark.parametrize(
    "fields",
    [{CORRECT: "maybe"}, {CORRECT: ""}, {CORRECT: "", "leaf": ""}, {TONE: "6"}, {TONE: "x"}, {COMMENT: "x" * 2001}],
)
def test_marks_are_by_the_rubric(staff: Client, sam: User, queue: ReviewQueue, fields: dict[str, str]) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    response = give(staff, marking, **{"correction": "Kept <b>", **fields})
    assert response.status_code == 422
    assert 'class="errorlist"' in response.text
    assert "\nKept &lt;b&gt;</textarea>" in response.text
    assert not Marking.objects.exclude(done=None).exists()


def test_marks_by_an_older_rubric_are_given_under_no_other(staff: Client, sam: User, queue: ReviewQueue) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    ReviewQueue.objects.filter(pk=queue.pk).update(rubric="Comment: text\nTone: 1-6\nCorrect: yes, no")
    response = give(staff, marking, **{COMMENT: "Kept <b>"})
    assert response.status_code == 422
    assert "The rubric has changed since you opened it. Mark by this one. You had written: 3<" in response.text
    assert "\nKept &lt;b&gt;</textarea>" in response.text
    ReviewQueue.objects.update(rubric="Comment: text\nTone: 1-5\nCorrect: yes, no")
    assert give(staff, marking, **{COMMENT: "Kept <b>"}).status_code == 302
    marking.refresh_from_db()
    assert marking.marks == {"Correct": "yes", "Tone": "3", "Comment": "Kept <b>"}


def test_a_better_answer_is_about_what_was_on_screen(staff: Client, sam: User, queue: ReviewQueue) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    conversation = marking.conversation
    html = page(staff, change(conversation))
    assert f'name="leaf" value="{conversation.leaf_id}"' in html
    # Meanwhile its person goes on.
    shown, fields = conversation.leaf_id, {"leaf": str(conversation.leaf_id), "correction": "Better <b>"}
    more(conversation)
    assert give(staff, marking, **fields).status_code == 302
    marking.refresh_from_db()
    assert (marking.corrected_id, marking.leaf_id) == (shown, shown)
    html = page(staff, f"{change(conversation)}?at={shown}")
    entry = html.partition(f'data-entry="{shown}"')[2].partition('class="entry"')[0]
    assert "Better &lt;b&gt;" in entry
    assert html.count("Better &lt;b&gt;") == 1


def more(conversation: Conversation, **reply: object) -> Message:
    """Another question after the one on screen, and its answer."""
    asked = timezone.now()
    question = conversation.messages.create(role="user", text="More?", created=asked, parent=conversation.leaf)
    conversation.leaf = add_answer(question, "Later.", asked, **reply)
    conversation.save()
    return conversation.leaf


def test_a_better_answer_can_be_about_an_earlier_one(staff: Client, sam: User, queue: ReviewQueue) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    first = marking.conversation.leaf_id
    last = more(marking.conversation)
    assert f'<input type="radio" name="about" value="{first}" form="mark-form">' in page(
        staff, change(marking.conversation)
    )
    give(staff, marking, leaf=str(last.pk), about=str(first), correction="Better")
    marking.refresh_from_db()
    assert (marking.corrected_id, marking.leaf_id) == (first, last.pk)


def test_the_words_of_the_answer_are_no_better_one(staff: Client, sam: User, queue: ReviewQueue) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    answer = marking.conversation.leaf
    assert answer
    Message.objects.filter(pk=answer.pk).update(text="\nTwo\n\nspoons. \n")
    # As a browser sends it.
    assert give(staff, marking, correction="\r\nTwo\r\n\r\nspoons. \r\n").status_code == 302
    marking.refresh_from_db()
    assert (marking.correction, marking.corrected) == ("", None)
    assert marking.done


@pytest.mark.parametrize("now", ["running", "continued", "on another branch", "a question", "of another conversation"])
def test_a_better_answer_to_what_is_not_there_is_kept(
    staff: Client, sam: User, queue: ReviewQueue, alice: User, now: str
) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    leaf = marking.conversation.leaf
    assert leaf
    fields = {"correction": "Kept <b>"}
    later = timezone.now() + timedelta(minutes=1)
    match now:
        case "running":
            Reply.objects.filter(message=leaf).update(status="streaming")
        case "continued":
            Reply.objects.filter(message=leaf).update(ended=later)
        case "on another branch":
            assert leaf.parent
            fields |= {"about": str(add_answer(leaf.parent, "Other.", later).pk)}
        case "a question":
            fields |= {"about": str(leaf.parent_id)}
        case "of another conversation":
            fields |= {"leaf": str(talk(alice, "Other.").leaf_id)}
    response = give(staff, marking, **fields)
    assert response.status_code == 409
    assert "the answer that yours is about has changed since you opened it" in response.text
    assert "\nKept &lt;b&gt;</textarea>" in response.text
    assert not Marking.objects.exclude(done=None).exists()
    assert give(staff, marking).status_code == 302


def test_an_answer_that_was_continued_can_be_corrected_once_it_is_seen(
    staff: Client, sam: User, queue: ReviewQueue
) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    Reply.objects.update(ended=timezone.now())
    response = give(staff, marking, correction="Better", opened=str(time() - 60))
    assert response.status_code == 409
    opened = re.search(r'name="opened" value="(.*?)"', response.text)
    assert opened
    assert give(staff, marking, correction="Better", opened=opened[1]).status_code == 302


def test_whoever_has_lost_the_reservation_is_told(staff: Client, sam: User, bob: User, queue: ReviewQueue) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    Marking.objects.filter(pk=marking.pk).update(reserved=timezone.now() - timedelta(minutes=1))
    assert marking.reserve(bob, timedelta(minutes=1))
    response = give(staff, marking, correction="Kept <b>")
    assert response.status_code == 409
    assert "your reservation ran out" in response.text
    assert "then press <em>Review the next</em>" in response.text
    assert "\nKept &lt;b&gt;</textarea>" in response.text
    Marking.objects.filter(pk=marking.pk).update(reviewer=sam, done=timezone.now())
    assert "you have given them already" in give(staff, marking).text


def test_whoever_marks_what_has_been_taken_out_keeps_what_they_wrote(
    staff: Client, sam: User, queue: ReviewQueue, soup: Conversation
) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    Marking.objects.filter(pk=marking.pk).update(reserved=timezone.now() - timedelta(minutes=1))
    assert queue.take_out([soup.pk]) == 1
    response = give(staff, marking, **{TONE: "", COMMENT: "Kept <i>"}, correction="Kept <b>")
    assert response.status_code == 409
    assert "No marks were saved: this conversation is no longer in the queue." in response.text
    assert "then press <em>Review the next</em>" in response.text
    for kept in ["\nKept &lt;b&gt;</textarea>", "\nKept &lt;i&gt;</textarea>"]:
        assert kept in response.text
    assert re.search(r'value="yes"[^>]* checked', response.text)
    assert 'class="errorlist' not in response.text
    assert "Save marks" not in response.text
    assert f'action="{address("work", queue.pk)}"' in response.text
    # To skip it is no mistake.
    following = staff.post(address("skip", queue.pk, marking.pk))["Location"]
    assert following == change(Conversation.objects.get(title="On tea"))


def test_whoever_marks_what_its_person_has_erased_is_told_nothing_of_a_reservation(
    staff: Client, sam: User, queue: ReviewQueue
) -> None:
    marking = Marking.objects.claim(queue, sam)
    assert marking
    Conversation.objects.filter(pk=marking.conversation.pk).erase()
    response = give(staff, marking)
    assert response.status_code == 409
    assert "No marks were saved: this conversation is no longer in the queue." in response.text
    assert "reservation" not in response.text


def lose(queue: ReviewQueue, reviewer: User) -> Marking:
    """A marking that the reviewer has reserved, whose conversation has been taken out of the queue since."""
    marking = Marking.objects.claim(queue, reviewer)
    assert marking
    Marking.objects.filter(pk=marking.pk).update(reserved=timezone.now() - timedelta(minutes=1))
    assert queue.take_out([marking.conversation_id]) == 1
    return marking


def test_marks_for_what_has_been_taken_out_come_back_also_by_an_older_rubric(
    staff: Client, sam: User, queue: ReviewQueue
) -> None:
    marking = lose(queue, sam)
    rubric = "Correct: yes, no\nSeasoned: yes, no"
    fields = {"name": queue.name, "instructions": "", "rubric": rubric, "reviewers": "2", "minutes": "30"}
    assert staff.post(address("change", queue.pk), fields).status_code == 302
    response = give(staff, marking, **{COMMENT: "Kept <i>"}, lost="x", correction="Kept <b>")
    assert response.status_code == 409
    assert written(response.text) == "3\n\nKept &lt;i&gt;"
    assert "\nKept &lt;b&gt;</textarea>" in response.text
    assert re.search(f'name="{CORRECT}" value="yes"[^>]* checked', response.text)
    # Where all of it has a field, there is nothing else.
    assert written(give(staff, marking, **{TONE: "", COMMENT: ""}).text) is None


def written(html: str) -> str | None:
    """What the page shows of marks by criteria that the rubric no longer has."""
    shown = re.search(r"You had written</label>\s*<textarea[^>]* readonly[^>]*>\n(.*?)</textarea>", html, re.DOTALL)
    return shown and shown[1]


def test_marks_for_a_queue_that_has_been_deleted_come_back(
    client: Client, bob: User, queue: ReviewQueue, soup: Conversation
) -> None:
    client.force_login(allow(bob, *RIGHTS))
    marking = lose(queue, bob)
    queue.delete()
    response = give(client, marking, **{COMMENT: "Kept <i>"}, correction="Kept <b>")
    assert response.status_code == 409
    assert "No marks were saved: this queue has been deleted." in response.text
    assert written(response.text) == "yes\n\n3\n\nKept &lt;i&gt;"
    assert "\nKept &lt;b&gt;</textarea>" in response.text
    assert f'href="{QUEUES}"' in response.text
    # Nothing leads into it, and nothing of it is told.
    assert "Review the next" not in response.text
    assert not re.search("Salt|Taste|On soup", response.text)
    bob.user_permissions.clear()
    assert give(client, marking).status_code == 403


def test_agreement_is_shown(staff: Client, sam: User, bob: User, queue: ReviewQueue) -> None:
    for reviewer, marks in ((sam, [("yes", "1"), ("yes", "4")]), (bob, [("yes", "1"), ("no", "1")])):
        for place, (correct, tone) in enumerate(marks):
            conversation = Conversation.objects.order_by("pk")[place]
            own = queue.markings.filter(conversation=conversation, reviewer=None).earliest("place")
            assert own.reserve(reviewer, timedelta(minutes=1))
            assert own.give(reviewer, {"Correct": correct, "Tone": tone})
    assert "Correct: 50%, κ = -0.33; Tone: 50% the same, 1.5 apart on average<" in page(staff, QUEUES)


def test_a_limited_reviewer_knows_nothing_of_others(
    client: Client, sam: User, bob: User, queue: ReviewQueue, alice: User
) -> None:
    for reviewer, correct in ((sam, "yes"), (bob, "no")):
        while marking := Marking.objects.claim(queue, allow(reviewer, *RIGHTS)):
            assert marking.give(reviewer, {"Correct": correct})
    ReviewLimit.objects.create(reviewer=bob).groups.add(group := Group.objects.create(name="Cooks"))
    client.force_login(bob)
    html = page(client, QUEUES)
    assert "0 of 0 marks given" in html
    assert "Correct:" not in html
    # Nothing is left to mark.
    assert "Review the next" not in html
    alice.groups.add(group)
    html = page(client, QUEUES)
    assert "4 of 4 marks given" in html
    assert "Correct: 0%" in html


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
    of = marking.conversation.leaf
    assert marking.give(reviewer, {"Correct": correct, "Tone": tone, "Comment": comment}, correction, of, of)
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
    assert "Correct: " not in page(client, QUEUES)
    assert give(client, mine, **{TONE: "4"})["Location"] == QUEUES
    html = page(client, QUEUES)
    assert "Correct: 0%" in html
    assert f'<a href="{change(soup)}#marks-{queue.pk}">See the marks of 1 other</a>' in html
    seen = everything(client, soup)
    assert "Too &lt;b&gt;salty&lt;/b&gt;" in seen
    assert "Too <b>salty</b>" in seen, "in the file"
    assert "Half a spoon." in seen
    # Cleo has still to mark it.
    client.force_login(cleo)
    assert "Correct: " not in page(client, QUEUES)
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


# What is in a queue


def items(browser: Client, queue: ReviewQueue, query: str = "") -> list[str]:
    """A row for each conversation, in words."""
    html = page(browser, f"{address('items', queue.pk)}{query}").partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [" ".join(re.sub(r"<.*?>", " ", row).split()) for row in rows]


def test_a_reviewer_sees_what_is_in_a_queue(
    client: Client, sam: User, bob: User, queue: ReviewQueue, soup: Conversation
) -> None:
    assert f'<a href="{address("items", queue.pk)}">0 of 4 marks given</a>' in page(staff_of(client, sam), QUEUES)
    marking = Marking.objects.claim(queue, sam)
    assert marking
    tea, salt = (row.partition("2026, noon ")[2] for row in reversed(items(client, queue)))
    assert re.fullmatch(r"Reserved for sam until .*; 1 reviewer wanted Mark", salt)
    assert tea == "2 reviewers wanted Mark"
    give(client, marking)
    assert "On soup alice" in items(client, queue, "?state=open")[0]
    assert items(client, queue, "?state=marked") == []
    second = queue.markings.get(conversation=soup, done=None)
    assert second.reserve(bob, timedelta(minutes=1))
    assert second.give(bob, {"Correct": "no", "Tone": "3"})
    (row,) = items(client, queue, "?state=marked")
    assert row.endswith("Marked by sam and bob Marks differ")
    assert items(client, queue, "?state=differ") == [row]
    recorded = AuditRecord.objects.filter(action="listed", by_name="sam").latest("pk")
    assert recorded.detail == "queue=Salt p=1 state=differ"


def staff_of(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


@pytest.mark.django_db(transaction=True)
def test_what_is_in_a_queue_tells_nothing_of_marks_before_ones_own(
    client: Client, soup: Conversation, three: list[User]
) -> None:
    marks(three[1], "yes", "3", "")
    queue = ReviewQueue.objects.get(name="Thrice")
    (row,) = items(staff_of(client, three[2]), queue)
    assert row.endswith("Marked by ada and ben; 1 reviewer wanted Mark")
    assert items(client, queue, "?state=differ") == []
    assert len(items(staff_of(client, three[1]), queue, "?state=differ")) == 1


def test_a_reviewer_chooses_what_to_mark(client: Client, sam: User, bob: User, queue: ReviewQueue) -> None:
    tea = Conversation.objects.get(title="On tea")

    def choose(which: object) -> Any:
        return client.post(address("work", queue.pk), {"only": str(which), "query": "state=open"})

    client.force_login(sam)
    assert choose(tea.pk)["Location"] == change(tea)
    assert Marking.objects.get(reviewer=sam).conversation == tea
    assert "Save marks" in page(client, change(tea))
    give(client, Marking.objects.get(reviewer=sam))
    (row,) = (row for row in items(client, queue) if "On tea" in row)
    assert not row.endswith("Mark")
    assert choose(tea.pk)["Location"] == f"{address('items', queue.pk)}?state=open"
    assert "You cannot mark this now" in page(client, QUEUES)
    assert choose("x").status_code == 404
    # Whoever may not see it does not get it.
    ReviewLimit.objects.create(reviewer=allow(bob, *RIGHTS))
    client.force_login(bob)
    assert choose(tea.pk)["Location"] == f"{address('items', queue.pk)}?state=open"
    assert not Marking.objects.filter(reviewer=bob).exists()


def test_conversations_are_taken_out_of_a_queue(
    client: Client, sam: User, bob: User, queue: ReviewQueue, soup: Conversation
) -> None:
    out = address("take_out", queue.pk)
    data = {
        "conversation": [str(pk) for pk in Conversation.objects.values_list("pk", flat=True)],
        "query": "state=open",
    }
    client.force_login(allow(bob, *RIGHTS))
    assert 'type="checkbox" name="conversation"' not in page(client, address("items", queue.pk))
    assert client.post(out, data).status_code == 403
    client.force_login(allow(bob, "change_reviewqueue"))
    assert " checked" in page(client, f"{address('items', queue.pk)}?all=1")
    assert queue.markings.get(conversation=soup, place=0).reserve(sam, timedelta(minutes=1))
    assert client.post(out, data)["Location"] == f"{address('items', queue.pk)}?state=open"
    assert "2 conversations are taken out." in page(client, address("items", queue.pk))
    assert queue.markings.count() == 1
    client.post(out, data)
    assert "0 conversations are taken out. What is marked or reserved stays." in page(client, QUEUES)
    client.post(out, {"conversation": "x"})
    assert queue.markings.count() == 1


def test_a_limited_reviewer_sees_and_takes_out_nothing_of_others(client: Client, bob: User, queue: ReviewQueue) -> None:
    ReviewLimit.objects.create(reviewer=allow(bob, *RIGHTS, "change_reviewqueue"))
    client.force_login(bob)
    assert items(client, queue) == []
    client.post(
        address("take_out", queue.pk), {"conversation": list(queue.markings.values_list("conversation", flat=True))}
    )
    assert queue.markings.count() == 4


def test_a_reviewer_skips_one(client: Client, sam: User, bob: User, queue: ReviewQueue, soup: Conversation) -> None:
    client.force_login(sam)
    assert work(client, queue)["Location"] == change(soup)
    first = Marking.objects.get(reviewer=sam)
    assert "Skip for now" in page(client, change(soup))
    second = client.post(address("skip", queue.pk, first.pk))["Location"]
    assert second != change(soup)
    assert client.post(address("skip", queue.pk, Marking.objects.get(reviewer=sam).pk))["Location"] == QUEUES
    sentence = "Nothing in this queue is open to you now. What you have skipped comes back after a day."
    assert sentence in page(client, QUEUES)
    assert not Marking.objects.exclude(reviewer=None).exists()
    # Whoever it goes to keeps it.
    mine = Marking.objects.claim(queue, bob := allow(bob, *RIGHTS))
    assert mine
    client.post(address("skip", queue.pk, mine.pk))
    mine.refresh_from_db()
    assert mine.reviewer == bob
    bob.user_permissions.clear()
    client.force_login(bob)
    assert client.post(address("skip", queue.pk, mine.pk)).status_code == 403


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
    assert marking.give(sam, {"Correct": "no"}, "Three spoons.", soup.leaf, soup.leaf)
    Reply.objects.update(instructions="Be <b>brief</b>.", status="stopped")
    (line,) = lines(staff, queue)
    question, answer = soup.messages.order_by("created")
    assert line["messages"] == [
        {"role": "system", "content": "Be <b>brief</b>."},
        {"id": str(question.pk), "role": "user", "content": "Question 0?"},
        {
            "id": str(answer.pk),
            "role": "assistant",
            "content": "Two spoons.",
            "model": "demo",
            "status": "stopped",
        },
    ]
    assert line["reviews"] == [
        {"reviewer": "sam", "marks": {"Correct": "no"}, "correction": "Three spoons.", "corrects": str(soup.leaf_id)}
    ]
    exported = AuditRecord.objects.get(action="exported", conversation=soup.pk)
    assert (exported.owner_name, exported.by_name, exported.detail) == ("alice", "sam", "queue Salt")


@pytest.mark.django_db(transaction=True)
def test_an_export_has_the_branch_that_was_judged(
    staff: Client, sam: User, bob: User, queue: ReviewQueue, soup: Conversation
) -> None:
    first, second = queue.markings.filter(conversation=soup).order_by("place")
    assert first.reserve(sam, timedelta(minutes=1))
    assert first.give(sam, {"Correct": "no"}, leaf=soup.leaf)
    early, late = soup.leaf, more(soup, instructions="Be brief.")
    assert second.reserve(bob, timedelta(minutes=1))
    assert second.give(bob, {"Correct": "yes"}, leaf=late)
    # Their person has another branch on screen since.
    soup.leaf = early
    soup.save()
    one, other = lines(staff, queue)
    assert [message["content"] for message in one["messages"]] == ["Question 0?", "Two spoons."]
    assert [review["reviewer"] for review in one["reviews"]] == ["sam"]
    assert [message["content"] for message in other["messages"]] == [
        *("Be brief.", "Question 0?", "Two spoons.", "More?", "Later.")
    ]
    assert [message.get("instructions") for message in other["messages"]] == [None, None, "", None, None]
    assert [review["reviewer"] for review in other["reviews"]] == ["bob"]
    # Marks of before branches were noted.
    queue.markings.update(leaf=None)
    queue.markings.filter(pk=second.pk).update(corrected=late)
    assert [len(line["messages"]) for line in lines(staff, queue)] == [2, 5]


@pytest.mark.django_db(transaction=True)
def test_the_manuals_program_makes_examples_of_an_export(
    staff: Client, sam: User, queue: ReviewQueue, soup: Conversation
) -> None:
    Reply.objects.update(instructions="Be brief.")
    marking = queue.markings.filter(conversation=soup).earliest("pk")
    assert marking.reserve(sam, timedelta(minutes=1))
    assert marking.give(sam, {"Correct": "no"}, "Three spoons.", soup.leaf, more(soup, instructions="Be long."))
    program = (settings.BASE_DIR / "docs/queues.md").read_text().partition("```python\n")[2].partition("```")[0]
    exported = "".join(f"{json.dumps(line)}\n" for line in lines(staff, queue))
    made = subprocess.run(
        [sys.executable, "-c", program], input=exported, capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(made) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Question 0?"},
            {"role": "assistant", "content": "Three spoons."},
        ]
    }


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
