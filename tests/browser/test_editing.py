"""Editing a question: another wording next to the first, in place."""

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Show, Visit, Watch
from tests.browser.pages import answer, ask, button, expect_end, question, several_frames, words
from tests.upstream import Upstream, finish, hang, text

pytestmark = pytest.mark.chromium


def edited(page: Page) -> Locator:
    return page.get_by_label("New wording")


def edit(page: Page, index: int = -1) -> None:
    """Open the form of a question, by default the last one."""
    asked = page.locator("[data-role=user]").nth(index)
    asked.hover()
    asked.get_by_role("link", name="Edit").click()
    expect(edited(page)).to_be_focused()


def questions(page: Page) -> Locator:
    return page.locator("[data-role=user] [data-text]")


@pytest.fixture
def conversation(show: Show) -> Page:
    """Alice's page after two questions."""
    return show("First question", "First answer", "Second question", "Second answer")


@pytest.mark.parametrize("index", [0, 1])
def test_an_edited_question_is_a_sibling(conversation: Page, upstream: Upstream, index: int) -> None:
    conversation.evaluate("window.isSamePage = true")
    old = questions(conversation).nth(index).inner_text()
    upstream.script(text("Another answer"), finish())
    edit(conversation, index)
    expect(edited(conversation)).to_have_value(old)
    edited(conversation).fill("Another\nwording")
    edited(conversation).press("Enter")
    expect(words(conversation)).to_have_text("Another answer")
    expect_end(conversation, "complete")
    expect(questions(conversation)).to_have_text(["First question", "Another wording"][1 - index :])
    expect(question(conversation)).to_be_focused()
    sent = upstream.requests[-1].body["messages"]
    assert sent[-1] == {"role": "user", "content": "Another\nwording"}
    assert len(sent) == 1 + 2 * index
    expect(conversation.locator("[data-role=user]").nth(index)).to_contain_text("2/2")
    button(conversation, "Show the previous question").click()
    expect(questions(conversation)).to_have_text(["First question", "Second question"])
    assert conversation.evaluate("window.isSamePage")


def test_escape_keeps_the_draft_of_an_edit_and_cancel_drops_it(conversation: Page) -> None:
    edit(conversation)
    edited(conversation).fill("Another wording")
    edited(conversation).press("Escape")
    expect(edited(conversation)).to_have_count(0)
    expect(conversation.get_by_role("link", name="Edit").last).to_be_focused()
    conversation.keyboard.press("Enter")
    expect(edited(conversation)).to_have_value("Another wording")
    edited(conversation).press("Shift+Enter")
    expect(edited(conversation)).to_have_value("Another wording\n")
    conversation.get_by_role("link", name="Cancel").click()
    expect(edited(conversation)).to_have_count(0)
    edit(conversation)
    expect(edited(conversation)).to_have_value("Second question")
    edited(conversation).press("Escape")
    expect(questions(conversation)).to_have_text(["First question", "Second question"])


def test_a_double_click_opens_one_editor(conversation: Page) -> None:
    is_second = iter([False, True])
    with conversation.expect_request_finished(lambda request: request.url.endswith("/edit/") and next(is_second)):
        conversation.get_by_role("link", name="Edit").last.evaluate("link => { link.click(); link.click(); }")
    several_frames(conversation)
    expect(conversation.locator("[data-edit]")).to_have_count(1)


def test_two_editors_have_their_own_names(conversation: Page) -> None:
    conversation.get_by_role("link", name="Edit").evaluate_all("links => links.map((link) => link.click())")
    expect(edited(conversation)).to_have_count(2)


def test_the_end_of_a_composition_does_not_close_an_editor(conversation: Page) -> None:
    edit(conversation)
    escape = "text => text.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', keyCode: 229, bubbles: true }))"
    edited(conversation).evaluate(escape)
    expect(edited(conversation)).to_be_focused()


def test_what_is_refused_or_left_stays_in_the_field(conversation: Page, watch: Watch) -> None:
    watch.expect("status of 422")
    edit(conversation)
    edited(conversation).fill("x" * 32_001)
    button(conversation.locator("[data-edit]"), "Send").click()
    alert = conversation.locator("[data-edit]").get_by_role("alert")
    expect(alert).to_contain_text("The limit is 32,000.")
    expect(edited(conversation)).to_have_value("x" * 32_001)
    expect(edited(conversation)).to_have_attribute("aria-invalid", "true")
    edited(conversation).fill("Half a word")
    expect(alert).to_be_hidden()
    expect(edited(conversation)).not_to_have_attribute("aria-invalid", "true")
    conversation.reload()
    # Nobody is taken away from what they read.
    expect(edited(conversation)).to_have_value("Half a word")
    expect(conversation.get_by_role("textbox", name="Your question")).to_be_focused()
    conversation.get_by_role("link", name="Cancel").click()
    conversation.reload()
    several_frames(conversation)
    expect(edited(conversation)).to_have_count(0)


def test_an_edit_takes_no_words_while_it_is_sent(conversation: Page, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    edit(conversation)
    routes: list[Route] = []
    conversation.route("**/edit/*", lambda route: routes.append(route), times=1)  # noqa: PLW0108 (it is marked)
    edited(conversation).fill("Another wording")
    edited(conversation).press("Enter")
    expect(edited(conversation)).not_to_be_editable()
    routes[0].abort()
    expect(edited(conversation)).to_be_editable()
    expect(edited(conversation)).to_be_focused()


def test_a_question_is_edited_while_its_answer_is_written(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), hang())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    edit(alice)
    edited(alice).fill("Good evening?")
    edited(alice).press("Control+Enter")
    expect(words(alice)).to_have_text("Hello world")
    expect_end(alice, "complete")
    expect(button(alice, "Send")).to_be_visible()
    button(alice, "Show the previous question").click()
    expect(words(alice)).to_have_text("So far")
    button(alice, "Stop").click()
    expect_end(alice, "stopped")


def test_without_scripts_a_page_has_the_form(visit: Visit, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 422")
    page = visit("alice", java_script_enabled=False)
    page.goto("/")
    question(page).fill("Hello?")
    button(page, "Send").click()
    expect(answer(page)).to_have_attribute("data-status", "complete")
    page.get_by_role("link", name="Edit").click()
    edited(page).fill("   ")
    button(page, "Send").click()
    expect(page.get_by_role("alert")).to_have_text("Write a question first.")
    expect(edited(page)).to_have_value("   ")
    page.get_by_role("link", name="Cancel").click()
    expect(questions(page)).to_have_text("Hello?")
    page.get_by_role("link", name="Edit").click()
    edited(page).fill("Good evening?")
    button(page, "Send").click()
    expect(page).to_have_url(re.compile("/c/[0-9a-f-]{36}/#message-"))
    expect(questions(page)).to_have_text("Good evening?")
    button(page, "Show the previous question").click()
    expect(questions(page)).to_have_text("Hello?")


def test_a_draft_is_gone_once_it_has_been_sent(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), finish())
    upstream.script(text("Two"), finish())
    ask(alice, "First wording")
    expect_end(alice, "complete")
    edit(alice)
    edited(alice).fill("Second wording")
    edited(alice).press("Enter")
    expect(words(alice)).to_have_text("Two")
    expect_end(alice, "complete")
    button(alice, "Show the previous question").click()
    expect(questions(alice)).to_have_text(["First wording"])
    edit(alice)
    expect(edited(alice)).to_have_value("First wording")
