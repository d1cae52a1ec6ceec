"""A person's settings: on all devices, at once where they are chosen, and from the first paint."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import expect_accessible
from tests.browser.conftest import Visit, Watch
from tests.browser.pages import button, question, store
from tests.server import Server
from tests.upstream import Upstream

pytestmark = pytest.mark.chromium

PHONE = {"width": 390, "height": 844}


def open_settings(page: Page) -> None:
    button(page, "alice").click()
    page.get_by_role("link", name="Settings").click()


def test_settings_hold_on_another_device(alice: Page, visit: Visit) -> None:
    open_settings(alice)
    expect_accessible(alice)
    alice.get_by_label("Your instructions").fill("Be brief.")
    alice.get_by_label("Theme").select_option("Dark")
    alice.get_by_label("Size of text").select_option("Large")
    alice.get_by_label("Typeface of answers").select_option("Without serifs")
    alice.get_by_label("The Enter key").select_option(index=1)
    button(alice, "Save").click()
    expect(alice.get_by_text("Your settings are saved.")).to_be_visible()
    expect_accessible(alice)
    other = visit("alice", viewport=PHONE, color_scheme="light", java_script_enabled=False)
    other.goto("/")
    style = "getComputedStyle(document.documentElement)"
    assert other.evaluate(f"[{style}.colorScheme, {style}.fontSize]") == ["dark", "18px"]
    alice.goto("/")
    question(alice).press_sequentially("One")
    question(alice).press("Enter")
    question(alice).press_sequentially("two")
    expect(question(alice)).to_have_value("One\ntwo")
    question(alice).press("Control+Enter")
    expect(alice.locator("[data-role=user] [data-text]")).to_have_text("One\ntwo")


def test_the_switch_in_the_menu_holds_on_another_device(alice: Page, visit: Visit) -> None:
    button(alice, "alice").click()
    with alice.expect_response("**/settings/theme/"):
        alice.get_by_text("Dark", exact=True).click()
    expect(alice.locator("html")).to_have_attribute("data-theme", "dark")
    other = visit("alice", color_scheme="light")
    other.goto("/")
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")
    # Signed out, the browser still knows.
    button(other, "alice").click()
    button(other, "Sign out").click()
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")


def test_settings_need_no_javascript(visit: Visit, server: Server, upstream: Upstream, watch: Watch) -> None:
    watch.expect("422")
    page = visit("alice", java_script_enabled=False, viewport=PHONE)
    page.goto(store(server, "Hello?", "Hello!"))
    page.get_by_role("link", name="Instructions").click()
    page.get_by_label("Temperature").fill("3")
    button(page, "Save").click()
    expect(page.get_by_text("Enter a number from 0 to 2, or nothing.")).to_be_visible()
    page.get_by_label("Temperature").fill("0.5")
    button(page, "Save").click()
    expect(page.locator("[data-applied]")).to_have_text("Instructions · temperature 0.5")
    page.goto("/settings/")
    page.get_by_label("Theme").select_option("Dark")
    button(page, "Save").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_conversation_begins_with_its_own_instructions(alice: Page, watch: Watch) -> None:
    watch.expect("422")
    alice.keyboard.press("Control+k")
    alice.get_by_role("combobox").fill("instructions for")
    alice.keyboard.press("Enter")
    alice.get_by_role("textbox", name="Instructions").fill("In verse.")
    alice.get_by_label("Temperature").fill("3")
    expect_accessible(alice)
    question(alice).fill("Hello?")
    question(alice).press("Enter")
    expect(alice.get_by_text("Enter a number from 0 to 2, or nothing.")).to_be_visible()
    expect(alice.get_by_label("Temperature")).to_be_focused()
    expect_accessible(alice)
    alice.get_by_label("Temperature").fill("0.5")
    alice.get_by_label("Temperature").press("Enter")
    expect(alice.locator("[data-applied]")).to_have_text("Instructions for this conversation · temperature 0.5")
    expect(alice.locator("[data-role=user] [data-text]")).to_have_text("Hello?")
