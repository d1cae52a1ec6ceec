"""The sidebar: a person's conversations, found again and deleted."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from chat import asking
from chat.models import Conversation, Reply, User
from tests.browser.conftest import Watch
from tests.browser.pages import ask, button, expect_end, question
from tests.server import Server
from tests.upstream import Upstream, hang, text

pytestmark = pytest.mark.chromium


def entries(page: Page) -> Locator:
    return page.get_by_role("navigation", name="History").locator("[data-title]")


def remember(server: Server, username: str, *titles: str, days: int = 1) -> None:
    """Store conversations, the newest first, spread over this many days."""

    def store() -> None:
        now, step = timezone.now(), timedelta(days=days) / len(titles)
        owner = User.objects.get(username=username)
        Conversation.objects.bulk_create(
            Conversation(owner=owner, title=title, updated=now - number * step) for number, title in enumerate(titles)
        )

    server.database.run(store)


def test_the_newest_activity_comes_first_in_groups_of_a_day(alice: Page, server: Server) -> None:
    remember(server, "alice", "today", "yesterday", "the day before", "long ago", days=4)
    alice.reload()
    expect(entries(alice)).to_have_text(["today", "yesterday", "the day before", "long ago"])
    headings = alice.get_by_role("navigation", name="History").get_by_role("heading")
    expect(headings.first).to_have_text("Today")
    expect(headings.nth(1)).to_have_text("Yesterday")
    expect(headings).to_have_count(4)


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


def test_what_could_not_be_loaded_is_loaded_by_a_press(alice: Page, server: Server, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    titles = [f"Conversation {number}" for number in range(60)]
    remember(server, "alice", *titles, days=3)
    alice.route("**/history/?*", lambda route: route.abort(), times=2)
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
    expect(alice.locator("[data-role=user]")).to_have_count(15)
    expect(alice.get_by_text("Question 19?")).to_be_in_viewport()
    alice.evaluate("scrollTo(0, 0)")
    expect(alice.locator("[data-role=user]")).to_have_count(20)
    expect(alice.get_by_text("Question 0?")).to_be_attached()


def test_deleting_asks_first_and_removes_the_entry(alice: Page, server: Server) -> None:
    remember(server, "alice", "one", "two", "three")
    alice.reload()
    alice.get_by_role("link", name="Delete “two”").click()
    dialog = alice.get_by_role("dialog", name="Delete this conversation?")
    expect(dialog).to_contain_text("“two” will be permanently deleted.")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    expect(entries(alice)).to_have_text(["one", "two", "three"])
    alice.get_by_role("link", name="Delete “two”").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(entries(alice)).to_have_text(["one", "three"])
    expect(alice.get_by_role("link", name="Delete “three”")).to_be_focused()
    alice.reload()
    expect(entries(alice)).to_have_text(["one", "three"])


def test_deleting_the_open_conversation_stops_its_reply(alice: Page, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 404")
    upstream.script(text("So far"), hang())
    ask(alice, "Hello?")
    alice.get_by_role("link", name="Delete “Hello?”").click()
    alice.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(alice).to_have_url(re.compile(":[0-9]+/$"))
    upstream.next_request().wait_closed()
    expect(alice.get_by_text("Your conversations will gather here.")).to_be_visible()
    expect(button(alice, "Send")).to_be_visible()
    expect(question(alice)).to_have_value("")
