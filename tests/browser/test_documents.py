"""Taking a conversation along: copies, downloads, and the page to print."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import expect_accessible
from tests.browser.conftest import Show, Visit
from tests.browser.pages import button, store
from tests.server import Server

pytestmark = pytest.mark.chromium


def open_menu(page: Page) -> None:
    button(page, "This conversation").click()


def test_a_conversation_is_copied_and_downloaded(show: Show) -> None:
    page = show("What is two and two?", "It is *four*.")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_menu(page)
    expect_accessible(page)
    button(page, "Copy as Markdown").click()
    expect(button(page, "Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(
        r"# What is two and two\?\n\n## You, .*\n\nWhat is two and two\?\n\n## demo, .*\n\nIt is \*four\*.\n", copied
    )
    for link, name in [("Download as Markdown", "md"), ("Download with all branches as JSON", "json")]:
        with page.expect_download() as download:
            page.get_by_role("link", name=link).click()
        assert download.value.suggested_filename == f"What_is_two_and_two.{name}"
        text = Path(download.value.path()).read_text()
        assert text == copied if name == "md" else json.loads(text)["messages"][1]["text"] == "It is *four*."


@pytest.mark.parametrize("scripts", [True, False])
def test_the_page_to_print_has_everything(visit: Visit, server: Server, *, scripts: bool) -> None:
    page = visit("alice", java_script_enabled=scripts)
    texts = [f"Message {number}" for number in range(120)] + ["Formula?", "It is $$x^2$$."]
    page.goto(store(server, *texts))
    page.goto(page.url + "print/")
    expect(page.locator("[data-message]")).to_have_count(len(texts))
    if scripts:
        expect(page.locator(".katex")).to_be_visible()
        expect_accessible(page)
        left, right = (box.bounding_box() for box in page.locator(".printed__actions > *").all())
        assert left
        assert right
        assert right["x"] >= left["x"] + left["width"] + 8
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", level=1)).to_have_text("Message 0")
    expect(page.get_by_role("link", name="Back to the conversation")).to_be_hidden()
