"""What the sidebar marks: replies that are being written, and ends that nobody has seen yet."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import expect_accessible
from tests.browser.pages import ask, button, expect_end, hide, words
from tests.upstream import Upstream, cut, finish, pause, text

pytestmark = pytest.mark.chromium


def marks(page: Page) -> Locator:
    return page.get_by_role("navigation", name="History").get_by_role("img")


@pytest.fixture
def tab(alice: Page) -> Page:
    """Another tab, with a new conversation."""
    tab = alice.context.new_page()
    tab.goto("/")
    return tab


def test_an_answer_is_marked_until_somebody_looks_at_it(alice: Page, tab: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two"), finish())
    ask(alice, "Count.")
    expect(words(alice)).to_have_text("One")
    expect(marks(tab)).to_have_accessible_name("A reply is being written")
    expect_accessible(tab)
    hide(alice, is_hidden=True)
    upstream.release("rest")
    expect(marks(tab)).to_have_accessible_name("New answer")
    expect_accessible(tab)
    tab.reload()
    expect(marks(tab)).to_have_accessible_name("New answer")
    hide(alice, is_hidden=False)
    expect_end(alice, "complete")
    expect(marks(tab)).to_have_count(0)
    tab.reload()
    expect(button(tab, "Options of “Count.”")).to_be_attached()
    expect(marks(tab)).to_have_count(0)


def test_a_failure_is_marked_until_its_page_is_opened(alice: Page, tab: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), pause("end"), cut())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    address = alice.url
    alice.goto("/")
    upstream.release("end")
    expect(marks(tab)).to_have_accessible_name("The reply failed")
    expect(marks(alice)).to_have_accessible_name("The reply failed")
    expect_accessible(tab)
    alice.goto(address)
    expect(marks(tab)).to_have_count(0)


def test_what_a_person_watches_is_not_marked(alice: Page, tab: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two"), finish())
    ask(alice, "Count.")
    expect(marks(tab)).to_have_accessible_name("A reply is being written")
    upstream.release("rest")
    expect_end(alice, "complete")
    expect(marks(tab)).to_have_count(0)
    expect(marks(alice)).to_have_count(0)
