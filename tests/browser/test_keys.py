"""The keyboard: the palette of commands, the list of shortcuts, and keys that stay out of the way."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Show, Visit
from tests.browser.pages import answer, ask, button, expect_end, held, question, words
from tests.upstream import Upstream, finish, hang, pause, text

pytestmark = pytest.mark.chromium


def palette(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Search and commands")


def chosen(page: Page) -> Locator:
    return palette(page).get_by_role("option", selected=True)


def run(page: Page, typed: str) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")


def test_the_palette_finds_and_runs_a_command(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("Four."), finish())
    ask(alice, "Two and two?")
    expect_end(alice, "complete")
    run(alice, "new conv")
    expect(alice).to_have_url(re.compile(r"//[^/]+/$"))
    expect(question(alice)).to_be_focused()


def test_the_palette_is_read_searched_and_closed_by_keys(alice: Page) -> None:
    alice.keyboard.type("half a question")
    alice.keyboard.press("Control+k")
    first = chosen(alice).inner_text()
    alice.keyboard.press("ArrowDown")
    second = chosen(alice).inner_text()
    assert first != second
    alice.keyboard.press("ArrowUp")
    expect(chosen(alice)).to_have_text(first)
    # The screen reader follows, although the focus stays in the field.
    field = palette(alice).get_by_role("combobox")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-activedescendant", chosen(alice).get_attribute("id") or "none")
    alice.keyboard.type("fly to the moon")
    expect(palette(alice).get_by_role("option")).to_have_text(["All results for “fly to the moon”"])
    expect(palette(alice).get_by_role("status")).to_have_text("No title or message was found.")
    alice.keyboard.press("Escape")
    expect(palette(alice)).to_be_hidden()
    expect(question(alice)).to_be_focused()
    expect(question(alice)).to_have_value("half a question")


def test_commands_reach_what_is_hidden(alice: Page) -> None:
    run(alice, "dark")
    expect(alice.locator("html")).to_have_attribute("data-theme", "dark")
    new = alice.get_by_role("link", name="New conversation")
    run(alice, "sidebar")
    expect(new).to_be_hidden()
    run(alice, "sidebar")
    expect(new).to_be_visible()


def test_only_what_is_possible_now_is_offered(alice: Page, upstream: Upstream) -> None:
    alice.keyboard.press("Control+k")
    stop = palette(alice).get_by_role("option", name="Stop", exact=True)
    expect(stop).to_have_count(0)
    alice.keyboard.press("Escape")
    upstream.script(text("So far"), hang())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    run(alice, "stop")
    expect_end(alice, "stopped")


def test_the_last_messages_are_those_of_the_conversation(alice: Page) -> None:
    """They may not be on the page yet."""
    for asked in ["First?", "Second?"]:
        ask(alice, asked)
        expect_end(alice, "complete")
    with held(alice, "**/transcript/**"):
        with alice.expect_request("**/transcript/**"):
            alice.goto(f"{alice.url}?from=start&last=2")
        question(alice).press("ArrowUp")
        alice.keyboard.press("Control+k")
        alice.keyboard.type("last")
        offered = ["Go to the last message", "All results for “last”"]
        expect(palette(alice).get_by_role("option")).to_have_text(offered)
        alice.keyboard.press("Escape")
    expect(alice.locator("[data-role=user]")).to_have_count(2)
    question(alice).press("ArrowUp")
    expect(alice.locator("[data-role=user] textarea")).to_have_value("Second?")


def test_a_command_reaches_what_has_come_since_the_palette_opened(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One."), finish())
    upstream.script(text("So far"), pause("end"), text(" two."), finish())
    alice.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(alice, "First?")
    expect_end(alice, "complete")
    ask(alice, "Second?")
    expect(words(alice)).to_have_text("So far")
    alice.keyboard.press("Control+k")
    alice.keyboard.type("copy the last")
    upstream.release("end")
    expect_end(alice, "complete")
    alice.keyboard.press("Enter")
    expect(button(answer(alice), "Copied")).to_be_visible()
    assert alice.evaluate("navigator.clipboard.readText()") == "So far two."


def test_a_command_that_has_gone_since_is_no_longer_offered(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), pause("end"), finish())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    # Without words it asks, too.
    with alice.expect_response("**/search/offers/**"):
        alice.keyboard.press("Control+k")
    # Its answer would renew the list.
    with held(alice, "**/search/offers/**"):
        with alice.expect_request("**/search/offers/**"):
            alice.keyboard.type("stop")
        upstream.release("end")
        expect_end(alice, "complete")
        alice.keyboard.press("Enter")
        expect(palette(alice).get_by_role("option", name="Stop", exact=True)).to_have_count(0)
        expect(palette(alice)).to_be_visible()


def test_the_palette_works_by_touch(visit: Visit) -> None:
    alice = visit("alice", viewport={"width": 390, "height": 844}, has_touch=True)
    alice.goto("/")
    alice.keyboard.press("Control+k")
    palette(alice).get_by_role("option", name="Use the dark theme").tap()
    expect(alice.locator("html")).to_have_attribute("data-theme", "dark")


def test_up_in_the_empty_box_edits_the_last_question(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("Four."), finish())
    ask(alice, "Two and two?")
    expect_end(alice, "complete")
    alice.keyboard.type("a draft")
    alice.keyboard.press("ArrowUp")
    expect(question(alice)).to_be_focused()
    question(alice).fill("")
    question(alice).press("ArrowUp")
    expect(alice.locator("[data-role=user] textarea")).to_be_focused()
    expect(alice.locator("[data-role=user] textarea")).to_have_value("Two and two?")


def test_up_leads_to_an_editor_that_a_reload_has_opened_again(show: Show) -> None:
    page = show("Two and two?", "Four.")
    question(page).press("ArrowUp")
    edited = page.locator("[data-role=user] textarea")
    edited.fill("Two and three?")
    page.reload()
    expect(edited).to_have_value("Two and three?")
    expect(page.get_by_role("textbox", name="Your question")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(edited).to_be_focused()
    page.keyboard.type("!")
    expect(edited).to_have_value("Two and three?!")


def shortcuts(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Keyboard shortcuts")


def test_the_list_of_shortcuts_is_read_from_its_beginning(alice: Page) -> None:
    alice.set_viewport_size({"width": 844, "height": 390})
    alice.keyboard.press("Control+/")
    expect(shortcuts(alice).get_by_role("heading")).to_be_focused()
    expect(shortcuts(alice).get_by_role("heading")).to_be_in_viewport()
    alice.keyboard.press("Tab")
    expect(shortcuts(alice).get_by_role("checkbox")).to_be_focused()


def test_the_list_of_shortcuts_opens_by_key_and_from_the_menu(alice: Page) -> None:
    alice.keyboard.press("Control+/")
    expect(shortcuts(alice)).to_be_visible()
    # Other keys wait until it is closed.
    alice.keyboard.press("Control+k")
    expect(palette(alice)).to_be_hidden()
    alice.keyboard.press("Escape")
    expect(shortcuts(alice)).to_be_hidden()
    button(alice, "alice").click()
    button(alice, "Keyboard shortcuts").click()
    expect(shortcuts(alice)).to_be_visible()


def test_keys_copy_the_last_answer_and_start_a_new_conversation(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("Four."), finish())
    alice.context.grant_permissions(["clipboard-read", "clipboard-write"])
    # There is nothing to copy yet, so the key keeps the meaning that it has elsewhere.
    question(alice).press("Alt+Shift+C")
    ask(alice, "Two and two?")
    expect_end(alice, "complete")
    conversation = alice.url
    question(alice).fill("a draft")
    # Browsers have these for themselves.
    for key in ("Control+Shift+O", "Control+Shift+C", "Control+Alt+n", "Alt+n", "Shift+N"):
        question(alice).press(key)
    expect(alice).to_have_url(conversation)
    expect(button(answer(alice), "Copied")).to_have_count(0)
    question(alice).press("Alt+Shift+C")
    expect(button(answer(alice), "Copied")).to_be_visible()
    expect(alice.locator("[data-announcer]")).to_have_text("Copied")
    assert alice.evaluate("navigator.clipboard.readText()") == "Four."
    question(alice).press("Alt+Shift+N")
    expect(alice).to_have_url(re.compile(r"//[^/]+/$"))
    expect(question(alice)).to_be_focused()
    alice.goto(conversation)
    expect(question(alice)).to_have_value("a draftN")


# Over plain HTTP browsers offer none.
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"


def test_without_a_clipboard_the_key_copies_and_leaves_the_focus(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("Four."), finish())
    ask(alice, "Two and two?")
    expect_end(alice, "complete")
    alice.evaluate(NO_CLIPBOARD)
    question(alice).fill("It is ")
    question(alice).press("Alt+Shift+C")
    expect(button(answer(alice), "Copied")).to_be_visible()
    alice.keyboard.press("Control+v")
    expect(question(alice)).to_have_value("It is Four.")


def test_without_a_clipboard_the_key_copies_while_the_palette_is_open(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("Six."), finish())
    ask(alice, "Two and four?")
    expect_end(alice, "complete")
    alice.evaluate(NO_CLIPBOARD)
    alice.keyboard.press("Control+k")
    alice.keyboard.press("Alt+Shift+C")
    expect(alice.locator("[data-announcer]")).to_have_text("Copied")
    alice.keyboard.press("Control+v")
    expect(palette(alice).get_by_role("combobox")).to_have_value("Six.")


def test_without_a_clipboard_copied_is_said_only_if_it_was(alice: Page) -> None:
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    alice.evaluate(NO_CLIPBOARD)
    alice.evaluate("document.execCommand = () => false")
    question(alice).press("Alt+Shift+C")
    expect(button(answer(alice), "Not copied")).to_be_visible()


def test_on_a_mac_the_keys_are_other_ones(visit: Visit, upstream: Upstream) -> None:
    alice = visit("alice")
    alice.add_init_script("Object.defineProperty(navigator, 'platform', { value: 'MacIntel' })")
    alice.goto("/search/")
    alice.keyboard.press("Meta+/")
    expect(shortcuts(alice)).to_contain_text("⌃ Shift N")
    alice.keyboard.press("Escape")
    # It writes a character there.
    alice.keyboard.press("Alt+Shift+N")
    expect(alice).to_have_url(re.compile("/search/$"))
    alice.keyboard.press("Control+Shift+N")
    expect(question(alice)).to_be_focused()


def test_a_question_mark_opens_the_list_until_switched_off(alice: Page) -> None:
    alice.keyboard.type("Why?")
    expect(question(alice)).to_have_value("Why?")
    expect(shortcuts(alice)).to_be_hidden()
    alice.locator("main").focus()
    alice.keyboard.press("?")
    expect(shortcuts(alice)).to_be_visible()
    shortcuts(alice).get_by_role("checkbox").uncheck()
    alice.keyboard.press("Escape")
    alice.reload()
    alice.locator("main").focus()
    alice.keyboard.press("?")
    alice.keyboard.press("Control+k")
    expect(palette(alice)).to_be_visible()
    expect(shortcuts(alice)).to_be_hidden()
