"""Temporary chats: what a person sees of one, in two tabs, until it is kept or ended."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import expect_accessible
from tests.browser.conftest import Watch
from tests.browser.pages import ask, button, expect_end, question, words
from tests.browser.test_history import entries
from tests.upstream import Upstream, finish, hang, pause, text

pytestmark = pytest.mark.chromium


def begin(page: Page) -> None:
    """Ask something in a temporary chat, which the palette offers."""
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("temporary")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/temporary/$"))
    page.wait_for_load_state()
    expect(notice(page)).to_contain_text("at the latest 24 hours")
    ask(page, "How much salt?")


def notice(page: Page) -> Locator:
    return page.get_by_role("region", name="Temporary chat")


def kept(page: Page) -> list[str]:
    """What the tab keeps of texts that have not been sent, without the times at which they were written."""
    stored: dict[str, str] = page.evaluate("({...sessionStorage})")
    return [text for key, text in stored.items() if text and not key.endswith(" written")]


def test_one_is_left_found_again_and_ended(alice: Page, watch: Watch) -> None:
    watch.expect("404")
    begin(alice)
    expect_end(alice, "complete")
    expect(entries(alice)).to_have_count(0)
    expect_accessible(alice)
    chat = alice.url
    alice.get_by_role("link", name="New conversation").click()
    way_back = alice.get_by_role("link", name="A temporary chat")
    expect(way_back).to_be_visible()
    expect_accessible(alice)
    way_back.click()
    expect(words(alice)).to_have_text("Hello world")
    other = alice.context.new_page()
    other.goto(chat)
    other.wait_for_load_state()
    alice.get_by_role("link", name="Edit").click()
    alice.get_by_label("New wording").fill("How much pepper?")
    alice.get_by_role("textbox", name="Your question").fill("half a secret")
    button(notice(alice), "End").click()
    expect(alice.get_by_text("The temporary chat has ended and is deleted.")).to_be_visible()
    expect(way_back).to_have_count(0)
    assert kept(alice) == []
    expect(other.locator("[data-composer]").get_by_role("alert")).to_contain_text("has been deleted")


def test_the_end_of_one_drops_an_edit_of_a_queued_question(alice: Page, upstream: Upstream, watch: Watch) -> None:
    # Whatever the page asks for between the end and the answer to it.
    watch.expect("404")
    upstream.script(text("One"), hang())
    begin(alice)
    question(alice).fill("And pepper?")
    question(alice).press("Enter")
    queue = alice.get_by_role("region", name="Queued questions")
    queue.get_by_text("Edit", exact=True).click()
    queue.get_by_label("Queued question").fill("a secret")
    assert kept(alice) == ["a secret"]
    button(notice(alice), "End").click()
    expect(alice.get_by_text("The temporary chat has ended and is deleted.")).to_be_visible()
    assert kept(alice) == []


def test_one_is_kept_while_it_is_written(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("Two"), pause("rest"), text(" spoons"), finish())
    begin(alice)
    expect(words(alice)).to_have_text("Two")
    other = alice.context.new_page()
    other.goto(alice.url)
    expect(words(other)).to_have_text("Two")
    question(other).fill("half a question")
    button(notice(alice), "Keep").click()
    for page in (alice, other):
        expect(notice(page)).to_have_count(0)
        expect(page).to_have_title(re.compile("How much salt"))
        expect(entries(page)).to_have_text(["How much salt?"])
    expect(question(alice)).to_be_focused()
    upstream.release("rest")
    expect(words(other)).to_have_text("Two spoons")
    expect(question(other)).to_have_value("half a question")


def test_what_is_written_before_it_begins_stays_in_the_tab(alice: Page) -> None:
    alice.get_by_role("link", name="temporary chat", exact=True).click()
    expect(notice(alice)).to_be_visible()
    expect_accessible(alice)
    question(alice).fill("half a secret")
    alice.reload()
    expect(question(alice)).to_have_value("half a secret")
    alice.goto("/")
    expect(question(alice)).to_have_value("")
