"""What a person sees when more is asked than the server makes at once."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch
from tests.browser.pages import answer, ask, button, expect_end, question, words
from tests.upstream import Upstream, finish, pause, text

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def settings_of_server() -> dict[str, str]:
    """It makes one reply at a time and lets one more wait."""
    return {"CHAT_PROCESS_RUNNING": "1", "CHAT_PROCESS_QUEUED": "1"}


def another_tab(page: Page) -> Page:
    tab = page.context.new_page()
    tab.goto("/")
    return tab


def fill(page: Page, upstream: Upstream) -> Page:
    """Ask all that the server takes, in two tabs: the first reply pauses, and that of the returned tab is queued."""
    upstream.script(text("One"), pause("rest"), finish())
    ask(page, "First?")
    expect(words(page)).to_have_text("One")
    second = another_tab(page)
    ask(second, "Second?")
    return second


def test_a_full_server_queues_a_reply_and_refuses_the_next(alice: Page, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 503")
    second = fill(alice, upstream)
    expect(answer(second).get_by_text("Queued. Your reply starts")).to_be_visible()
    third = another_tab(alice)
    refusal = third.get_by_role("alert").filter(has_text="The server is busy.")
    button(third, "Explain how a rainbow forms").click()
    expect(refusal).to_be_visible()
    question(third).fill("Third?")
    expect(refusal).to_be_hidden()
    question(third).press("Enter")
    expect(refusal).to_be_visible()
    expect(question(third)).to_have_value("Third?")
    upstream.release("rest")
    expect_end(second, "complete")
    expect(words(second)).to_have_text("Hello world")
    question(third).press("Enter")
    expect(words(third)).to_have_text("Hello world")
