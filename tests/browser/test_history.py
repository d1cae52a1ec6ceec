"""The sidebar: a person's conversations, found again and deleted."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from chat import asking
from chat.models import Conversation, Reply, User
from tests.browser.axe import expect_accessible
from tests.browser.conftest import Visit, Watch
from tests.browser.pages import (
    answer,
    ask,
    button,
    choose,
    expect_end,
    held,
    question,
    several_frames,
    top_at_rest,
    words,
)
from tests.browser.test_accessibility import PHONE
from tests.server import Server
from tests.upstream import Upstream, hang, text

pytestmark = pytest.mark.chromium


def entries(page: Page) -> Locator:
    return page.get_by_role("navigation", name="History").locator("[data-title]")


def remember(server: Server, username: str, *titles: str, days: int = 1) -> None:
    """Store conversations, the newest first, spread over this many days; open pages are told."""

    def store() -> None:
        now, step = timezone.now(), timedelta(days=days) / len(titles)
        owner = User.objects.get(username=username)
        Conversation.objects.bulk_create(
            Conversation(owner=owner, title=title, updated=now - number * step) for number, title in enumerate(titles)
        )
        User.change_list(owner.pk)

    server.database.run(store)


def test_the_newest_activity_comes_first_in_groups_of_a_period(alice: Page, server: Server) -> None:
    remember(server, "alice", "today", "yesterday", "the day before", "three days ago", days=4)
    alice.reload()
    expect(entries(alice)).to_have_text(["today", "yesterday", "the day before", "three days ago"])
    headings = alice.get_by_role("navigation", name="History").get_by_role("heading")
    expect(headings).to_have_text(["Today", "Yesterday", "Previous 7 days"])


def test_a_conversation_is_found_again_and_moves_to_the_top(alice: Page) -> None:
    ask(alice, "First")
    expect_end(alice, "complete")
    first = alice.url
    alice.goto("/")
    ask(alice, "Second")
    expect_end(alice, "complete")
    expect(entries(alice)).to_have_text(["Second", "First"])
    entries(alice).get_by_text("First").click()
    expect(alice).to_have_url(first)
    expect(alice.locator("[data-text]")).to_have_text(["First", "Hello world"])
    expect(entries(alice).and_(alice.locator("[aria-current=page]"))).to_have_text("First")
    ask(alice, "More")
    expect_end(alice, "complete")
    expect(entries(alice)).to_have_text(["First", "Second"])


def test_an_entry_stays_under_the_pointer(alice: Page, server: Server) -> None:
    remember(server, "alice", *(f"Number {number}" for number in range(40)), days=40)
    alice.reload()
    entry = alice.get_by_role("link", name="Number 3", exact=True)
    entry.hover()
    before = top_at_rest(entry)
    remember(server, "alice", "new")
    expect(entries(alice).first).to_have_text("new")
    assert abs(top_at_rest(entry) - before) < 2


def test_it_loads_further_as_it_is_scrolled(alice: Page, server: Server) -> None:
    titles = [f"Conversation {number}" for number in range(120)]
    remember(server, "alice", *titles, days=3)
    alice.reload()
    expect(entries(alice)).to_have_count(40)
    while (shown := entries(alice).count()) < len(titles):
        entries(alice).last.scroll_into_view_if_needed()
        expect(entries(alice).nth(shown)).to_be_attached()
    expect(alice.locator("[data-history-more]")).to_have_count(0)
    expect(entries(alice)).to_have_text(titles)
    headings = alice.get_by_role("navigation", name="History").get_by_role("heading").all_text_contents()
    assert len(headings) == len(set(headings))


def test_the_list_keeps_its_place_on_the_next_page(alice: Page, server: Server) -> None:
    remember(server, "alice", *map(str, range(200)))
    alice.reload()
    while entries(alice).count() < 160:
        entries(alice).last.scroll_into_view_if_needed()
    for title in ("151", "152"):
        entries(alice).get_by_text(title, exact=True).scroll_into_view_if_needed()
        place = entries(alice).get_by_text(title, exact=True).bounding_box()
        entries(alice).get_by_text(title, exact=True).click()
        expect(alice.get_by_role("heading", name=title, exact=True)).to_be_attached()
        current = alice.locator("[data-history] :not([data-apart]) > ul [aria-current]")
        expect(current).to_have_text(title)
        expect(current).to_be_in_viewport()
        assert current.bounding_box() == place


def test_the_drawer_of_a_phone_keeps_the_place_of_the_list(visit: Visit, server: Server) -> None:
    phone = visit("alice", **PHONE)
    remember(server, "alice", *map(str, range(100)))
    phone.goto("/")
    button(phone, "Menu").tap()
    while entries(phone).count() < 80:
        entries(phone).last.scroll_into_view_if_needed()
    entries(phone).get_by_text("71", exact=True).tap()
    expect(phone.get_by_role("heading", name="71", exact=True)).to_be_attached()
    button(phone, "Menu").tap()
    current = phone.locator("[data-history] :not([data-apart]) > ul [aria-current]")
    expect(current).to_have_text("71")
    expect(current).to_be_in_viewport()


def test_a_conversation_far_below_stands_apart_at_first(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    remember(server, "alice", *map(str, range(50)))
    url = server.database.run(lambda: Conversation.objects.get(title="45").get_absolute_url())
    alice.goto(url)
    heading = alice.get_by_role("navigation", name="History").get_by_role("heading").first
    expect(heading).to_have_text("Open now")
    expect(entries(alice)).to_have_count(41)
    expect(alice.locator("[data-history] [aria-current]")).to_have_text("45")
    entries(alice).last.scroll_into_view_if_needed()
    expect(heading).to_have_text("Today")
    expect(entries(alice)).to_have_count(50)
    expect(alice.locator("[data-history] [aria-current]")).to_have_text("45")


def test_what_could_not_be_loaded_is_loaded_by_a_press(alice: Page, server: Server, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    titles = [f"Conversation {number}" for number in range(60)]
    remember(server, "alice", *titles, days=3)
    # Not the renewal of the list, which the page before the reload may still ask for.
    alice.route("**/history/?before=*", lambda route: route.abort(), times=2)
    alice.reload()
    with alice.expect_event("requestfailed"):
        entries(alice).last.scroll_into_view_if_needed()
    more = alice.get_by_role("link", name="The server can't be reached. Try again in a moment.")
    with alice.expect_event("requestfailed"):
        more.click()
    more.click()
    expect(entries(alice)).to_have_text(titles)
    expect(more).to_have_count(0)


def test_earlier_messages_of_a_long_conversation_can_be_shown(alice: Page, server: Server) -> None:
    def store() -> str:
        conversation = Conversation.objects.create(
            owner=User.objects.get(username="alice"), title="Long", model="scripted"
        )
        for number in range(20):
            reply = asking.ask(conversation, f"Question {number}?", "scripted")
            Reply.objects.filter(pk=reply.pk).update(status="complete")
        return conversation.get_absolute_url()

    alice.goto(server.database.run(store))
    # The first 16 messages do not fill the window and what lies above it.
    expect(alice.locator("[data-role=user]")).to_have_count(14)
    expect(alice.get_by_text("Question 19?")).to_be_in_viewport()
    alice.evaluate("scrollTo(0, 0)")
    expect(alice.locator("[data-role=user]")).to_have_count(20)
    expect(alice.get_by_text("Question 0?")).to_be_attached()


def test_a_deleted_entry_leaves_a_line_that_can_undo_that(alice: Page, server: Server) -> None:
    remember(server, "alice", "one", "two", "three", "four", days=2)
    alice.reload()
    items = alice.get_by_role("navigation", name="History").get_by_role("listitem")
    expect(items).to_have_text(["one", "two", "three", "four"])
    for title in ("two", "three"):
        choose(alice, "Delete", title)
        expect(alice.locator("[data-announcer]")).to_have_text(f"“{title}” is in the trash.")
        expect(button(alice, "Undo").last).to_be_focused()
    # The list is renewed because of that, and because of what is done elsewhere; the lines stay where they are.
    remember(server, "alice", "new")
    expect(items).to_have_text(["new", "one", re.compile("Deleted"), re.compile("Deleted"), "four"])
    expect(button(alice, "Undo").last).to_be_focused()
    button(alice, "Undo").first.click()
    expect(items).to_have_text(["new", "one", "two", re.compile("Deleted"), "four"])
    expect(alice.get_by_role("link", name="two", exact=True)).to_be_focused()
    expect(alice.locator("[data-announcer]")).to_have_text("“two” is back in the list.")
    expect_accessible(alice)
    alice.reload()
    expect(items).to_have_text(["new", "one", "two", "four"])


def test_a_renewal_waits_for_the_line_of_what_is_being_deleted(alice: Page, server: Server) -> None:
    """Otherwise its entry would go, and the line would push the others down a moment later, maybe under a click."""
    remember(server, "alice", "one", "two", "three")
    alice.reload()
    answers: list[tuple[Route, APIResponse]] = []
    alice.route("**/delete/", lambda route: answers.append((route, route.fetch())))
    with alice.expect_response("**/history/?*"), held(alice, "**/history/?*"):
        with alice.expect_request("**/history/?*"):
            remember(server, "alice", "new")
        choose(alice, "Delete", "two")
        while not answers:
            several_frames(alice)
    # The list that comes now lacks the entry, and the page does not know yet that it is deleted.
    several_frames(alice)
    items = alice.get_by_role("navigation", name="History").get_by_role("listitem")
    expect(items).to_have_text(["one", "two", "three"])
    route, answer = answers[0]
    route.fulfill(response=answer)
    expect(items).to_have_text(["new", "one", re.compile("Deleted"), "three"])


def test_a_deletion_that_fails_says_so_at_its_entry(alice: Page, server: Server, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    remember(server, "alice", "one")
    alice.reload()
    alice.route("**/delete/", lambda route: route.abort())
    choose(alice, "Delete", "one")
    expect(entries(alice)).to_have_text(["one"])
    alert = alice.get_by_role("listitem").get_by_role("alert")
    expect(alert).to_have_text("The server can't be reached. Try again in a moment.")


def test_deleting_the_open_conversation_stops_its_reply(alice: Page, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 404")
    upstream.script(text("So far"), hang())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    choose(alice, "Delete", "Hello?")
    expect(alice.locator("[data-deleted-notice]")).to_contain_text("“Hello?” is in the trash.")
    expect(alice.locator("[data-announcer]")).to_have_text("“Hello?” is in the trash.")
    upstream.next_request().wait_closed()
    expect(alice.get_by_text("Your conversations will gather here.")).to_be_visible()
    expect(question(alice)).to_have_value("")
    expect_accessible(alice)
    button(alice, "Undo").click()
    expect(words(alice)).to_have_text("So far")
    expect(answer(alice).get_by_text("Interrupted.")).to_be_visible()
    expect(button(answer(alice), "Continue")).to_be_visible()


def test_the_heading_of_a_day_stays_with_the_lines_below_it(alice: Page, server: Server) -> None:
    remember(server, "alice", "one", "two", "three", days=3)
    alice.reload()
    history = alice.get_by_role("navigation", name="History")
    headings, items = history.get_by_role("heading"), history.get_by_role("listitem")
    days = ["Today", "Yesterday", "Previous 7 days"]
    expect(headings).to_have_text(days)
    lines = items.filter(has_text="Deleted")
    for count, title in enumerate(("one", "two"), start=1):
        version = int(history.get_attribute("data-list-version") or "")
        choose(alice, "Delete", title)
        # The list has been renewed.
        expect(history).to_have_attribute("data-list-version", str(version + 1))
        expect(lines).to_have_count(count)
        expect(headings).to_have_text(days)
    button(alice, "Undo").last.click()
    expect(lines).to_have_count(1)
    expect(items).to_have_count(3)
    expect(headings).to_have_text(days)


def test_the_trash_restores_and_deletes_for_ever(alice: Page, server: Server) -> None:
    remember(server, "alice", "one", "two", "three")
    alice.reload()
    for title in ("one", "two", "three"):
        choose(alice, "Delete", title)
        # Its line takes its place only now; until then it would push the next menu away from the pointer.
        expect(alice.locator("[data-announcer]")).to_have_text(f"“{title}” is in the trash.")
    button(alice, "alice").click()
    alice.get_by_role("link", name="Trash", exact=True).click()
    titles = alice.get_by_role("listitem").locator("p:first-child")
    expect(titles).to_have_text(["three", "two", "one"])
    expect_accessible(alice)
    button(alice, "Restore “two”").click()
    expect(alice.get_by_text("“two” is back in your list.")).to_be_visible()
    expect(titles).to_have_text(["three", "one"])
    alice.get_by_role("link", name="Delete for ever “three”").click()
    expect(alice.get_by_role("heading", name="Delete this conversation for ever?")).to_be_visible()
    expect_accessible(alice)
    alice.get_by_role("link", name="Keep it").click()
    alice.get_by_role("link", name="Delete for ever “three”").click()
    button(alice, "Delete for ever").click()
    expect(titles).to_have_text(["one"])
    alice.get_by_role("link", name="Empty the trash").click()
    button(alice, "Empty the trash").click()
    expect(alice.get_by_text("The trash is empty.")).to_be_visible()
    alice.get_by_role("link", name="Back to Parley").click()
    expect(entries(alice)).to_have_text(["two"])
