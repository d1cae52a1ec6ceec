"""Selecting all that a list shows."""

import pytest
from playwright.sync_api import Page, expect

from chat.models import Conversation
from tests.browser.axe import expect_accessible
from tests.browser.conftest import Visit
from tests.browser.pages import button, store
from tests.server import Server

pytestmark = pytest.mark.chromium


def test_all_of_the_list_are_selected_by_keyboard(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    for number in range(60):
        store(server, f"Number {number}", "Answer")
    alice.goto("/")
    history = alice.get_by_role("navigation", name="History")
    boxes = history.get_by_role("checkbox")
    checked = history.get_by_role("checkbox", checked=True)
    bar = alice.locator("[data-selecting]")
    count = bar.get_by_role("status")
    every, none = button(bar, "Select All"), button(bar, "Select None")
    alice.get_by_role("link", name="Select", exact=True).press("Enter")
    expect(every).to_be_visible()
    shown = boxes.count()
    every.focus()
    alice.keyboard.press("Space")
    expect(count).to_have_text(f"{shown} selected")
    expect(checked).to_have_count(shown)
    expect(none).to_be_focused()
    expect_accessible(alice)
    # What the list shows later is not selected yet.
    history.get_by_role("checkbox").last.scroll_into_view_if_needed()
    expect(boxes).to_have_count(60)
    expect(count).to_have_text(f"{shown} selected")
    every.click()
    expect(count).to_have_text("60 selected")
    none.press("Enter")
    expect(count).to_have_text("Select conversations")
    expect(checked).to_have_count(0)
    every.press("Enter")
    boxes.first.uncheck()
    expect(every).to_be_visible()
    button(bar, "Delete").click()
    expect(alice.get_by_text("59 conversations are in the trash.").first).to_be_visible()
    assert server.database.run(Conversation.objects.filter(trashed=None).count) == 1


@pytest.mark.parametrize("has_scripts", [True, False])
def test_all_of_a_page_are_selected_by_keyboard(visit: Visit, server: Server, has_scripts: bool) -> None:
    alice = visit("alice", java_script_enabled=has_scripts)
    for number in range(60):
        store(server, f"Number {number}", "Answer")
    alice.goto("/select/")
    alice.get_by_role("link", name="Select all 50 on this page").press("Enter")
    expect(alice.get_by_role("status").get_by_text("All 50 on this page have been selected.")).to_be_in_viewport()
    expect(alice.get_by_label("Select “Number 59”")).to_be_in_viewport()
    expect(alice.get_by_role("checkbox", checked=True)).to_have_count(50)
    if has_scripts:
        expect_accessible(alice)
    # The keyboard goes on with what to do with them.
    expect(alice.get_by_role("link", name="Select none")).to_be_focused()
    alice.keyboard.press("Tab")
    expect(button(alice, "Pin")).to_be_focused()
    button(alice, "Archive").press("Enter")
    expect(alice.get_by_text("50 conversations are in the archive.")).to_be_visible()
    expect(alice.get_by_role("checkbox", checked=True)).to_have_count(0)
    expect(alice.get_by_role("link", name="Select all 10 on this page")).to_be_visible()


def test_all_in_the_archive_and_the_trash_are_selected(visit: Visit, server: Server) -> None:
    alice = visit("alice", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    for number in range(3):
        store(server, f"Number {number}", "Answer")
    alice.goto("/select/")
    for done, sentence, address in [
        ("Archive", "3 conversations are in the archive.", "/archive/"),
        ("Delete", "The archive is empty.", "/trash/"),
        ("Restore", "3 conversations are back in your list.", "/archive/"),
    ]:
        select_all(alice)
        button(alice, done).click()
        expect(alice.get_by_text(sentence)).to_be_visible()
        alice.goto(address)


def select_all(page: Page) -> None:
    page.get_by_role("link", name="Select all 3 on this page").tap()
    expect(page.get_by_text("All 3 on this page have been selected.")).to_be_visible()
    expect_accessible(page)
