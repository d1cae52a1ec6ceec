"""The sidebar of a wide window can be hidden, and every control is large enough for a finger."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.pages import button, expect_end
from tests.upstream import Upstream, finish, text

pytestmark = pytest.mark.chromium


def test_a_hidden_sidebar_stays_hidden_until_the_menu_shows_it(alice: Page) -> None:
    new = alice.get_by_role("link", name="New conversation")
    button(alice, "Hide the sidebar").click()
    expect(new).to_be_hidden()
    expect(button(alice, "Menu")).to_be_focused()
    alice.reload()
    expect(new).to_be_hidden()
    button(alice, "Menu").press("Enter")
    expect(new).to_be_visible()
    expect(button(alice, "Hide the sidebar")).to_be_focused()
    alice.reload()
    expect(new).to_be_visible()
    # In a narrow window it is a drawer, whether hidden or not.
    button(alice, "Hide the sidebar").click()
    alice.set_viewport_size({"width": 390, "height": 844})
    expect(new).to_be_hidden()
    button(alice, "Menu").click()
    expect(new).to_be_visible()
    expect(button(alice, "Hide the sidebar")).to_be_hidden()


def too_small(page: Page) -> list[str]:
    """The controls on screen that have less than 44 pixels in either direction. No finger reaches the skip link."""
    controls = page.locator("button:visible, label:visible:not(.visually-hidden), a:visible:not(.skip-link, p a)").all()
    boxes = [(control.inner_text(), control.bounding_box()) for control in controls]
    return [name for name, box in boxes if box and min(box["width"], box["height"]) < 44]


def test_a_finger_hits_every_control(visit: Visit, upstream: Upstream) -> None:
    upstream.script(text("Four."), finish())
    alice = visit("alice", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    alice.goto("/")
    assert too_small(alice) == []
    alice.get_by_label("Your question").fill("Two and two?")
    button(alice, "Send").click()
    expect_end(alice, "complete")
    assert too_small(alice) == []
    button(alice, "Menu").click()
    button(alice, "alice").click()
    assert too_small(alice) == []
