"""The menu under a person's name: it opens over the history, and no stray click signs anybody out."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.browser.pages import button, question

pytestmark = pytest.mark.chromium

PHONE = {"width": 390, "height": 844}


@pytest.fixture(params=["desktop", "phone"])
def alice(request: pytest.FixtureRequest, visit: Visit) -> Page:
    """Alice's browser, wide or narrow; her name is on screen."""
    options = {"viewport": PHONE, "has_touch": True} if request.param == "phone" else {}
    page = visit("alice", **options)
    page.goto("/")
    if request.param == "phone":
        button(page, "Menu").click()
    return page


def name(page: Page) -> Locator:
    return button(page, "alice")


def sign_out(page: Page) -> Locator:
    return button(page, "Sign out")


def test_the_menu_opens_over_the_page_and_closes_again(alice: Page) -> None:
    box = name(alice).bounding_box()
    assert box
    place = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    alice.mouse.click(*place)
    expect(sign_out(alice)).to_be_visible()
    assert name(alice).bounding_box() == box
    alice.mouse.click(*place)
    expect(sign_out(alice)).to_be_hidden()
    alice.mouse.dblclick(*place)
    expect(sign_out(alice)).to_be_hidden()
    assert "/accounts/" not in alice.url
    name(alice).click()
    expect(sign_out(alice)).to_be_visible()
    # Its middle may be under the menu.
    alice.get_by_role("navigation", name="History").click(position={"x": 5, "y": 5})
    expect(sign_out(alice)).to_be_hidden()
    name(alice).click()
    expect(sign_out(alice)).to_be_visible()
    alice.keyboard.press("Escape")
    expect(sign_out(alice)).to_be_hidden()
    # On a phone the drawer that it belongs to stays open.
    expect(name(alice)).to_be_in_viewport()


def test_escape_and_dialogs_close_the_menu(visit: Visit) -> None:
    page = visit("alice")
    page.goto("/")
    name(page).press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(name(page)).to_be_focused()
    name(page).click()
    expect(sign_out(page)).to_be_visible()
    page.evaluate("document.querySelector('[data-shortcuts]').showModal()")
    expect(sign_out(page)).to_be_hidden()


def test_signing_out_comes_last(visit: Visit) -> None:
    page = visit("alice")
    page.goto("/")
    focusable = page.locator("#account").locator("input, a, button")
    assert focusable.last.text_content() == "Sign out"
    links = ["Labels", "Archive", "Trash", "Settings", "Change password"]
    assert page.locator("#account a").all_text_contents() == links


def test_the_menu_needs_no_javascript(visit: Visit) -> None:
    page = visit("alice", java_script_enabled=False)
    page.goto("/")
    name(page).click()
    expect(sign_out(page)).to_be_visible()
    question(page).click()
    expect(sign_out(page)).to_be_hidden()
