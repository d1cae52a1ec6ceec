"""What a reader tells apart by eye: tints, figures, and the side on which a text begins."""

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Show
from tests.browser.pages import answer, ask, button, question, words
from tests.upstream import Upstream, hang, text

pytestmark = pytest.mark.chromium

ARABIC = "كيف حالك؟"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_question_is_set_apart_and_so_is_code_in_it(show: Show, scheme: Literal["light", "dark"]) -> None:
    page = show("Is `f()` right?", "Yes.")
    page.emulate_media(color_scheme=scheme)
    parts = ("html", "[data-role=user] .message__body", "[data-role=user] code")
    background = "(part) => getComputedStyle(part).backgroundColor"
    colours = {page.locator(part).evaluate(background) for part in parts} - {"rgba(0, 0, 0, 0)"}
    assert len(colours) == 3


def test_figures_in_titles_are_lining(show: Show) -> None:
    page = show("What was in 1984?", "# 1987\n\nNothing.")
    figures = "(titles) => titles.map((title) => getComputedStyle(title).fontVariantNumeric)"
    for path in (page.url, f"{page.url}print/", f"{page.url}delete/", "/search/?q=1984", "/"):
        page.goto(path)
        titles = page.locator("h1, h2, .topbar__title, .history__title")
        assert set(titles.evaluate_all(figures)) == {"lining-nums"}, path


def test_the_current_entry_is_ink(show: Show) -> None:
    page = show("Hello?", "Hello!")
    entry = page.locator(".history__title[aria-current]")
    colour = "(part) => getComputedStyle(part).color"
    assert entry.evaluate(colour) == page.locator("body").evaluate(colour)


def test_the_speaker_stands_in_a_margin_where_there_is_room(show: Show) -> None:
    page = show("Hello?", "Hello!")

    def indent() -> float:
        speaker, body = (answer(page).locator(part).bounding_box() for part in (".message__speaker", ".message__body"))
        assert speaker
        assert body
        return body["x"] - speaker["x"]

    for width, room in ((390, 0), (768, 0), (1280, 96)):
        page.set_viewport_size({"width": width, "height": 800})
        assert indent() == room, width


def test_what_opens_over_a_page_appears_gently(show: Show) -> None:
    page = show("Hello?", "Hello!")
    dialog = page.locator("dialog[open]")
    for motion, seconds in (("no-preference", "0.12s"), ("reduce", "0s")):
        page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
        page.keyboard.press("Control+k")
        expect(dialog).to_have_css("transition-duration", seconds)
        expect(dialog).to_have_css("opacity", "1")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


def test_a_field_has_the_direction_of_what_is_written(show: Show, upstream: Upstream) -> None:
    page = show("Hello?", "Hello!")
    button(answer(page), "Good answer").click()
    page.locator("[data-edit-link]").click()
    for name in ("New wording", "What is good about it?", "Your question"):
        field = page.get_by_role("textbox", name=name)
        for written, direction in ((ARABIC, "rtl"), ("Hello", "ltr")):
            field.fill(written)
            expect(field).to_have_css("direction", direction)
    page.get_by_role("link", name="Cancel").click()
    upstream.script(text("So far"), hang())
    ask(page, "And now?")
    expect(words(page)).to_have_text("So far")
    question(page).fill(ARABIC)
    question(page).press("Enter")
    queue = page.get_by_role("region", name="Queued questions")
    queue.get_by_text("Edit").click()
    expect(queue.get_by_label("Queued question")).to_have_css("direction", "rtl")
