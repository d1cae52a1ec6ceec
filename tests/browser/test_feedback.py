"""What people think of answers."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.axe import expect_accessible
from tests.browser.conftest import Show, Visit, Watch
from tests.browser.pages import answer, button, store, top_at_rest
from tests.browser.test_accessibility import PHONE
from tests.server import Server
from tests.upstream import Upstream

pytestmark = pytest.mark.chromium


def test_an_answer_is_judged_and_other_tabs_follow(show: Show) -> None:
    page = show("What is two and two?", "It is five.")
    other = page.context.new_page()
    other.goto(page.url)
    button(answer(page), "Bad answer").click()
    reason = answer(page).get_by_label("What is wrong with it?")
    expect(reason).to_be_visible()
    expect_accessible(page)
    reason.fill("It is four.")
    button(answer(page), "Save").click()
    expect(answer(other).get_by_label("What is wrong with it?")).to_have_value("It is four.")
    button(answer(other), "Bad answer").click()
    expect(reason).to_have_count(0)
    expect(button(answer(page), "Bad answer")).to_have_attribute("aria-pressed", "false")


def test_nothing_moves_when_a_thumb_is_pressed(show: Show) -> None:
    page = show("What is two and two?", "It is four.")
    controls = [button(answer(page), name) for name in ("Good answer", "Bad answer", "demo")]
    before = [control.bounding_box() for control in controls]
    controls[0].click()
    expect(answer(page).get_by_label("What is good about it?")).to_be_visible()
    assert [control.bounding_box() for control in controls] == before


@pytest.mark.parametrize("phone", [{}, PHONE], ids=["pointer", "finger"])
def test_the_field_for_a_reason_comes_into_view(
    visit: Visit, server: Server, upstream: Upstream, phone: dict[str, Any]
) -> None:
    page = visit("alice", **phone)
    page.goto(store(server, "What is two and two?", "It is four.", "And three and three?", "It is six.\n\n" * 30))
    first, ways = page.locator("[data-role=assistant]").first, page.locator(".ways")
    good, save = button(first, "Good answer"), button(first, "Save")
    page.set_viewport_size({"width": 390, "height": 500})
    # Just above the ways to questions, which will cover what comes below.
    covered_from = top_at_rest(ways)
    page.evaluate("(distance) => scrollBy(0, distance)", top_at_rest(good) - covered_from + 40)
    good.click()
    expect(save).to_be_visible()
    assert top_at_rest(save) + save.evaluate("(save) => save.offsetHeight") <= covered_from


def test_too_long_a_reason_stays_in_its_field(show: Show, watch: Watch) -> None:
    watch.expect("status of 422")
    page = show("What is two and two?", "It is five.")
    button(answer(page), "Bad answer").click()
    reason = answer(page).get_by_label("What is wrong with it?")
    reason.fill("x" * 2001)
    button(answer(page), "Save").click()
    expect(answer(page).get_by_text("The limit is 2,000.")).to_be_visible()
    expect(reason).to_have_value("x" * 2001)


def test_without_scripts_an_answer_is_judged_too(visit: Visit, server: Server) -> None:
    page = visit("alice", java_script_enabled=False)
    page.goto(store(server, "What is two and two?", "It is four."))
    button(answer(page), "Good answer").click()
    answer(page).get_by_label("What is good about it?").fill("It is right.")
    button(answer(page), "Save").click()
    expect(answer(page).get_by_label("What is good about it?")).to_have_value("It is right.")


def test_the_facts_of_an_answer_open(show: Show) -> None:
    page = show("What is two and two?", "It is four.")
    button(answer(page), "demo").press("Enter")
    expect(answer(page).get_by_text("Asked")).to_be_visible()
    page.keyboard.press("Escape")
    expect(answer(page).get_by_text("Asked")).to_be_hidden()
    expect(button(answer(page), "demo")).to_be_focused()
