"""The ways through a transcript: branches, hits, problems, and the conversations of the list."""

import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.urls import reverse

from chat.admin import filters, listing
from chat.admin.transcripts import MESSAGES_PER_PAGE
from chat.models import Comparison, Conversation, Message, Remark, Reply, Review, ReviewLimit, User
from chat.search.filling import reindex
from tests.client import Client
from tests.test_admin import LIST, NOON, add_answer, change, page, talk
from tests.test_admin_review import allow


@pytest.fixture
def forked(alice: User) -> Conversation:
    """Two answers to the first question, of which the second one is on screen, and a question after the first one."""
    conversation = talk(alice, "First answer.", "Another matter.")
    question = conversation.messages.get(text="Question 0?")
    conversation.leaf = add_answer(question, "Second answer.", NOON + timedelta(hours=1))
    conversation.save()
    return conversation


def found_in(listed: str) -> str:
    """The query of a transcript to which a list with this query has led."""
    return f"?_changelist_filters={quote(listed)}"


def link(html: str, words: str) -> str:
    """The address of a link."""
    (address,) = re.findall(rf'<a href="([^"]*)"[^>]*>{words}</a>', html)
    return unescape(address)


def messages(html: str) -> list[str]:
    return re.findall(r'<article class="message [^>]* id="message-([^"]*)"', html)


def at(response: Any) -> Message:
    """The message that a redirect leads to."""
    assert response.status_code == 302
    query, _, fragment = response["Location"].partition("#message-")
    assert f"at={fragment}" in query
    return Message.objects.get(pk=fragment)


# Branches


def test_a_transcript_opens_with_the_branch_on_screen(staff: Client, forked: Conversation) -> None:
    html = page(staff, change(forked))
    assert "Second answer." in html
    assert "First answer." not in html
    assert "Branch 2 of 2, as alice sees it" in re.sub(r"\s+", " ", html)
    assert "Answer 2 of 2" in re.sub(r"\s+", " ", html)


def test_links_lead_to_each_message_of_each_branch(staff: Client, forked: Conversation) -> None:
    html = page(staff, change(forked))
    for words in ["Previous answer", "Previous branch"]:
        other = page(staff, change(forked) + link(html, words))
        assert "First answer." in other
        assert "Another matter." in other
        assert "as alice sees it" not in other
        shown = {*messages(html), *messages(other)}
        assert shown == {str(pk) for pk in Message.objects.values_list("pk", flat=True)}
    assert "Second answer." in page(staff, change(forked) + link(other, "Next branch"))


def test_two_answers_that_are_compared_are_two_branches(staff: Client, alice: User) -> None:
    conversation = talk(alice, "One")
    question = conversation.messages.get(role="user")
    one, two = question.children.get(), add_answer(question, "Two", NOON + timedelta(hours=1))
    Comparison.objects.create(question=question, first=one, second=two)
    Conversation.objects.update(leaf=question)
    html = page(staff, change(conversation))
    assert messages(html) == [str(question.pk), str(two.pk)]
    first = page(staff, change(conversation) + link(html, "Previous answer"))
    assert messages(first) == [str(question.pk), str(one.pk)]
    for branch, shown in enumerate([first, html], 1):
        assert f"Branch {branch} of 2: alice has not yet chosen one of two answers" in " ".join(shown.split())


def test_a_message_is_on_its_page(staff: Client, alice: User) -> None:
    conversation = talk(alice, *(f"Answer {index}." for index in range(MESSAGES_PER_PAGE)))
    answer = conversation.messages.get(text="Answer 30.")
    html = page(staff, f"{change(conversation)}?at={answer.pk}")
    assert str(answer.pk) in messages(html)
    assert "Question 0?" not in html
    assert "Question 0?" in page(staff, f"{change(conversation)}?at={answer.pk}&p=1")


@pytest.mark.parametrize("value", ["x", "", "00000000-0000-0000-0000-000000000000", "another"])
def test_a_message_that_is_not_there_leads_nowhere_else(
    staff: Client, forked: Conversation, bob: User, value: str
) -> None:
    elsewhere = talk(bob, "Elsewhere").messages.get(text="Elsewhere")
    html = page(staff, f"{change(forked)}?at={elsewhere.pk if value == 'another' else value}")
    assert "Second answer." in html
    assert "Elsewhere" not in html


# Stops


def test_a_transcript_opens_at_what_the_list_was_filtered_by(staff: Client, alice: User) -> None:
    conversation = talk(alice, "Answer 0.", "Answer 1.", "Answer 2.")
    Reply.objects.filter(message__text="Answer 1.").update(status="failed", error_code="busy")
    Reply.objects.filter(message__text="Answer 2.").update(feedback="bad")
    for listed, text in [("status=failed&o=6", 1), ("error=busy", 1), ("feedback=bad", 2)]:
        assert at(staff.get(change(conversation) + found_in(listed))).text == f"Answer {text}."
    for listed in ["", "owner=alice", "status=interrupted"]:
        assert "Question 0?" in page(staff, change(conversation) + found_in(listed))


def test_a_transcript_leads_from_problem_to_problem(staff: Client, alice: User) -> None:
    conversation = talk(alice, "Answer 0.", "Answer 1.", "Answer 2.", "Answer 3.")
    Reply.objects.filter(message__text="Answer 1.").update(status="failed")
    Reply.objects.filter(message__text="Answer 3.").update(feedback="bad")
    html = page(staff, change(conversation) + found_in("owner=alice"))
    first = link(html, "First problem")
    html = page(staff, change(conversation) + first)
    assert "Problem 1 of 2" in re.sub(r"\s+", " ", html)
    assert "Previous problem" not in html
    second = link(html, "Next problem")
    assert str(conversation.messages.get(text="Answer 3.").pk) in second
    assert "_changelist_filters=owner%3Dalice" in second
    html = page(staff, change(conversation) + second)
    assert "Next problem" not in html
    assert link(html, "Previous problem") == first


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("status=complete", "Answer"),
        ("feedback=good", "Answer"),
        ("status=complete&error=stalled", "Answer"),
        ("status=failed", "Problem"),
        ("error=stalled", "Problem"),
        ("status=failed&feedback=bad", "Problem"),
        ("flagged=yes", "Flag"),
        ("flagged=report", "Flag"),
    ],
)
def test_what_a_transcript_stops_at_has_its_name(staff: Client, sam: User, alice: User, listed: str, name: str) -> None:
    good = talk(alice, "Answer.", "No.", feedback="good")
    Reply.objects.filter(message__text="No.").update(status="failed", error_code="stalled", feedback="bad")
    message = good.messages.get(text="Answer.")
    Remark.objects.add(good.pk, message, sam, "flag", "Look")
    Remark.objects.report(message, alice, "Look")
    response = staff.get(change(good) + found_in(listed))
    html = page(staff, response["Location"])
    assert re.search(rf"\b{name} 1 of \d", re.sub(r"\s+", " ", html))


def test_what_a_conversation_has_not_is_no_word_of_python(staff: Client, alice: User) -> None:
    assert ">None<" not in page(staff, change(talk(alice, "Answer.")))


def test_a_conversation_without_problems_has_no_ways_to_them(staff: Client, alice: User) -> None:
    html = page(staff, change(talk(alice, "Answer.", status="stopped")))
    assert "problem" not in html[html.index('class="ways"') : html.index("<dialog")]


def test_hits_are_stops_on_whatever_branch(staff: Client, forked: Conversation) -> None:
    reindex(lambda done, total: None)
    opened = staff.get(change(forked) + found_in("q=alice+answer"))
    assert at(opened).text == "First answer."
    html = page(staff, opened["Location"])
    assert "Hit 1 of 2" in re.sub(r"\s+", " ", html)
    assert '<script id="hit-terms" type="application/json">[{"words": ["answer"], "is_prefix": true' in html
    assert "Second answer." in page(staff, change(forked) + link(html, "Next hit"))


def test_a_hit_of_the_owner_alone_opens_at_the_beginning(staff: Client, forked: Conversation) -> None:
    reindex(lambda done, total: None)
    for words in ["alice", "-x", "nothing"]:
        assert "hit-terms" not in page(staff, change(forked) + found_in(f"q={words}"))


# The list


def test_a_transcript_leads_through_the_list(staff: Client, alice: User, bob: User) -> None:
    for number, owner in enumerate([alice, bob, alice, alice]):
        pk = talk(owner, "Answer.", title=f"Talk {number}").pk
        Conversation.objects.filter(pk=pk).update(updated=NOON - timedelta(days=number))
    first, _, second, third = Conversation.objects.order_by("-updated")
    html = page(staff, change(first) + found_in("owner=alice"))
    opened = staff.get(link(html, "Next conversation"))
    assert opened["Location"] == change(second) + found_in("owner=alice").replace("=alice", "%3Dalice")
    html = page(staff, opened["Location"])
    assert staff.get(link(html, "Previous conversation"))["Location"].startswith(change(first))
    assert link(html, "List") == f"{LIST}?owner=alice"
    last = staff.get(link(page(staff, change(third) + found_in("owner=alice")), "Next conversation"))
    assert last["Location"] == f"{LIST}?owner=alice"
    assert "There is no further conversation in this list." in page(staff, last["Location"])


def follow(browser: Client, conversation: Conversation, way: str, listed: str) -> str:
    """The title of the conversation that a way leads to; none if it leads to the list."""
    address = browser.get(reverse(f"admin:chat_conversation_{way}", args=[conversation.pk]) + found_in(listed))[
        "Location"
    ]
    return next((row.title for row in Conversation.objects.all() if address.startswith(change(row))), "")


@pytest.fixture
def days(alice: User) -> list[Conversation]:
    """Talk 0 is the latest; the others are of one moment, a day before."""
    talks = [talk(alice, "Answer.", title=f"Talk {number}") for number in (3, 2, 1, 0)][::-1]
    Conversation.objects.filter(title="Talk 0").update(updated=NOON + timedelta(days=1))
    return talks


@pytest.mark.parametrize("listed", ["review=new", "review=new&q=talk"])
def test_a_review_keeps_its_place_in_the_list(staff: Client, sam: User, days: list[Conversation], listed: str) -> None:
    reindex(lambda done, total: None)
    for index in (1, 2):
        assert Review.objects.change(days[index].pk, 0, sam, state="done", assignee=sam, labels=[])
    assert follow(staff, days[1], "next", listed) == follow(staff, days[2], "next", listed) == "Talk 3"
    assert follow(staff, days[1], "previous", listed) == follow(staff, days[2], "previous", listed) == "Talk 0"
    assert follow(staff, days[3], "next", listed) == follow(staff, days[0], "previous", listed) == ""


def test_another_order_begins_again(staff: Client, sam: User, days: list[Conversation]) -> None:
    listed = "review=new&o=8"
    assert follow(staff, days[2], "previous", listed) == "Talk 1"
    Review.objects.change(days[2].pk, 0, sam, state="done", assignee=sam, labels=[])
    assert follow(staff, days[2], "next", listed) == "Talk 1"


def test_the_way_goes_on_where_the_pages_of_the_list_end(
    staff: Client, days: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST", 2)
    assert follow(staff, days[1], "next", "p=1") == "Talk 2"
    (before,) = filters.before(days[1]).values()
    assert follow(staff, days[2], "previous", f"before={quote(before)}") == "Talk 1"


@pytest.mark.parametrize("way", ["next", "previous"])
def test_a_conversation_that_somebody_may_not_see_has_no_place(
    client: Client, sam: User, days: list[Conversation], way: str
) -> None:
    User.objects.filter(pk=sam.pk).update(is_superuser=False)
    allow(sam, "view_conversation")
    ReviewLimit.objects.create(reviewer=sam)
    client.force_login(sam)
    assert follow(client, days[1], way, "") == ""


@pytest.mark.parametrize("listed", ["password=x", "updated__gte=x", "p=7", "q=%22", "owner=nobody"])
def test_a_list_that_is_none_leads_back(staff: Client, forked: Conversation, listed: str) -> None:
    url = reverse("admin:chat_conversation_next", args=[forked.pk]) + found_in(listed)
    assert staff.get(url).status_code in (302, 400)
