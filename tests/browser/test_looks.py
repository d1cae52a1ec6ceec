"""What a reader tells apart by eye: tints and figures."""

from typing import Literal

import pytest

from tests.browser.conftest import Show

pytestmark = pytest.mark.chromium


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
