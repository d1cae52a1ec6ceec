"""Where things are on a page, and what people do there."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin

from playwright.sync_api import Locator, Page, Route, expect

from chat.models import User
from tests.conversations import conversation_of
from tests.server import Server


def question(page: Page) -> Locator:
    return page.get_by_label("Your question")


def ask(page: Page, text: str) -> None:
    """Write a question, send it, and wait until the conversation's page shows it."""
    question(page).fill(text)
    question(page).press("Enter")
    expect(page).to_have_url(re.compile("/c/[0-9a-f-]{36}/$"))
    # Until its scripts run, a page follows nothing.
    page.wait_for_load_state()
    expect(page.locator("[data-role=user]").last).to_contain_text(text)


def store(server: Server, *texts: str) -> str:
    """Store a conversation of Alice's with these questions and answers, in turn; returns its address."""
    return server.database.run(lambda: conversation_of(User.objects.get(username="alice"), [*texts]).get_absolute_url())


def answer(page: Page) -> Locator:
    """The answer to the last question, whole: its thinking, its text, how it ended."""
    return page.locator("[data-messages] > [data-role=assistant]:last-child")


def words(page: Page) -> Locator:
    """The text of that answer."""
    return answer(page).locator("[data-text]")


def expect_end(page: Page, status: str) -> None:
    """Wait until that answer has ended like this and shows the server's own rendering."""
    expect(answer(page).and_(page.locator(":not([data-events-url])"))).to_have_attribute("data-status", status)


def button(page: Page | Locator, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def choose(page: Page, option: str, title: str) -> None:
    """Choose an option of a conversation in the history."""
    button(page, f"Options of “{title}”").click()
    button(page.locator("[data-options-menu]"), option).click()


def keep_still(page: Page) -> None:
    """Follow the link that ends the reloads of a page without scripts; such a reload can swallow a click."""
    link = page.get_by_role("link", name="Keep the page still to write")
    page.goto(urljoin(page.url, link.get_attribute("href") or ""))


@contextmanager
def held(page: Page, url: str) -> Iterator[None]:
    """Let the next request to this address reach the server only afterwards."""
    routes: list[Route] = []
    page.route(url, lambda route: routes.append(route), times=1)  # noqa: PLW0108 (it is marked)
    yield
    routes[0].continue_()


def several_frames(page: Page) -> None:
    """Wait until the page has drawn itself a few times: long enough for observers to report again."""
    page.evaluate(SEVERAL_FRAMES)


SEVERAL_FRAMES = """() => new Promise((done) => {
    let left = 20;
    const frame = () => (left-- ? requestAnimationFrame(frame) : done());
    frame();
})"""


def top_at_rest(element: Locator) -> float:
    """Pixels between the top of the window and the element, once nothing moves."""
    position: float | None = None
    while position is None:
        # A list that is renewed meanwhile has another element by this name.
        position = element.evaluate(TOP_AT_REST)
    return position


TOP_AT_REST = """async (element) => {
    for (let before; before !== element.getBoundingClientRect().top; ) {
        before = element.getBoundingClientRect().top;
        for (let frame = 0; frame < 10; frame++) await new Promise(requestAnimationFrame);
    }
    return element.isConnected ? element.getBoundingClientRect().top : null;
}"""


def hide(page: Page, *, is_hidden: bool) -> None:
    """Hide the page's tab, or show it again. Chromium without a window has no hidden tabs."""
    page.evaluate(HIDE, is_hidden)


HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
