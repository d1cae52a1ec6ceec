"""What a page shows around it: title, icon and notification while another tab is in front. And Parley as an app."""

import json
import re
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.pages import ask, button, expect_end, hide, words
from tests.upstream import Step, Upstream, cut, finish, pause, text

pytestmark = pytest.mark.chromium

# Notes each notification. Chromium without a window shows none, and says that they are denied.
NOTE = """{
    window.notices = [];
    window.Notification = class extends Notification {
        static permission = "granted";
        constructor(title, options) {
            super(title, options);
            window.notices.push([title, options.body, options.tag]);
        }
    };
}"""


def icon(page: Page) -> str:
    """Which of the icons the tab shows: "writing", "done" or the plain one, ""."""
    href = page.locator("link[rel=icon]").get_attribute("href") or ""
    found = re.search(r"favicon-?(\w*)\.", href)
    return found[1] if found else href


def notices(page: Page) -> list[list[str]]:
    found: list[list[str]] = page.evaluate("window.notices")
    return found


@pytest.fixture
def alice(visit: Visit, upstream: Upstream) -> Page:
    """Alice's browser; it would let Parley show notifications."""
    page = visit("alice", permissions=["notifications"])
    page.add_init_script(NOTE)
    page.goto("/")
    return page


def switch_notifications_on(page: Page) -> None:
    button(page, "alice").click()
    page.get_by_label("Notify me when a reply is ready").check()
    page.keyboard.press("Escape")


def test_the_tab_shows_that_a_reply_is_written(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("so far"), pause("rest"), finish())
    ask(alice, "Hello?")
    expect(alice).to_have_title("● Hello? · Parley")
    assert icon(alice) == "writing"
    upstream.release("rest")
    expect_end(alice, "complete")
    expect(alice).to_have_title("Hello? · Parley")
    assert icon(alice) == ""


@pytest.mark.parametrize(("last", "sign", "shown"), [(finish, "✓", "done"), (cut, "!", "")])
def test_a_hidden_tab_shows_how_its_reply_ended_until_seen(
    alice: Page, upstream: Upstream, last: Callable[[], Step], sign: str, shown: str
) -> None:
    upstream.script(text("so far"), pause("rest"), last())
    ask(alice, "Hello?")
    hide(alice, is_hidden=True)
    upstream.release("rest")
    expect(alice).to_have_title(f"{sign} Hello? · Parley")
    assert icon(alice) == shown
    hide(alice, is_hidden=False)
    expect(alice).to_have_title("Hello? · Parley")
    assert icon(alice) == ""


def test_a_person_is_notified_if_they_wish_and_look_elsewhere(alice: Page, upstream: Upstream) -> None:
    for number in range(3):
        upstream.script(text("so far"), pause(f"{number}"), finish())
    ask(alice, "Hello?")
    hide(alice, is_hidden=True)
    upstream.release("0")
    expect_end(alice, "complete")
    assert notices(alice) == [], "they have not asked for it"
    hide(alice, is_hidden=False)
    switch_notifications_on(alice)
    ask(alice, "And now?")
    upstream.release("1")
    expect_end(alice, "complete")
    assert notices(alice) == [], "they see the reply"
    ask(alice, "And then?")
    expect(words(alice)).to_have_text("so far")
    hide(alice, is_hidden=True)
    upstream.release("2")
    expect_end(alice, "complete")
    assert notices(alice) == [["Your reply is ready", "Hello? · Parley", urlsplit(alice.url).path]]


def test_a_browser_that_blocks_notifications_says_so(visit: Visit) -> None:
    bob = visit("bob")
    bob.goto("/")
    button(bob, "bob").click()
    choice = bob.get_by_label("Notify me when a reply is ready")
    # Chromium without a window refuses at once, as a person might.
    choice.click()
    expect(bob.get_by_text("This browser blocks notifications")).to_be_visible()
    expect(choice).not_to_be_checked()


BAR_AND_PAGE = """() => {
    const bars = [...document.querySelectorAll("meta[name=theme-color]")];
    const { style } = new Option();
    style.color = bars.find(({ media }) => matchMedia(media).matches).content;
    return [style.color, getComputedStyle(document.documentElement).backgroundColor];
}"""


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_bar_of_the_window_has_the_colour_of_the_page(visit: Visit, system: Literal["light", "dark"]) -> None:
    alice = visit("alice", color_scheme=system)
    alice.goto("/")
    button(alice, "alice").click()
    colours = set()
    for theme in ("System", "Light", "Dark"):
        alice.get_by_text(theme, exact=True).click()
        bar, page = alice.evaluate(BAR_AND_PAGE)
        assert bar == page, theme
        colours.add(bar)
    assert len(colours) == 2
    alice.reload()
    bar, page = alice.evaluate(BAR_AND_PAGE)
    assert bar == page


def test_parley_can_be_installed_as_an_app(alice: Page) -> None:
    session = alice.context.new_cdp_session(alice)
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert json.loads(manifest["data"])["name"] == "Parley"
    assert session.send("Page.getInstallabilityErrors")["installabilityErrors"] == []
