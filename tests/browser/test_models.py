"""Which model answers: the one that is chosen, for questions, for examples, and for another try."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import KEY, Visit, Watch
from tests.browser.pages import answer, ask, button, expect_end, question, words
from tests.server import Databases, Server, Servers
from tests.upstream import Upstream, error, finish, pause, text

pytestmark = pytest.mark.chromium

EXAMPLE = "Compare three ways to sort a list"


@pytest.fixture(scope="module")
def server(databases: Databases, collected_static: None, endpoint: Upstream) -> Iterator[Server]:
    """A server with two models."""
    with Servers(databases) as start:
        yield start(DEBUG="0", OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY=KEY, OPENAI_MODEL="small,large")
        endpoint.stop()


def models(page: Page) -> Locator:
    return page.get_by_label("Model", exact=True)


def asked(upstream: Upstream) -> list[str]:
    return [request.body["model"] for request in upstream.requests]


def test_the_chosen_model_answers(alice: Page, upstream: Upstream) -> None:
    models(alice).select_option("large")
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    expect(answer(alice)).to_contain_text("large")
    expect(models(alice)).to_have_value("large")
    assert asked(upstream) == ["large"]


def test_a_complete_answer_gets_a_sibling_in_its_place(alice: Page, upstream: Upstream) -> None:
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    alice.evaluate("window.isSamePage = true")
    box = alice.locator("[data-role=user]").bounding_box()
    upstream.script(text("Second"), pause("rest"), text(" try"), finish())
    button(alice, "Try again").click()
    expect(words(alice)).to_have_text("Second")
    expect(question(alice)).to_be_focused()
    assert alice.locator("[data-role=user]").bounding_box() == box
    upstream.release("rest")
    expect_end(alice, "complete")
    expect(words(alice)).to_have_text("Second try")
    expect(answer(alice)).to_contain_text("2/2")
    assert alice.locator("[data-role=user]").bounding_box() == box
    assert alice.evaluate("window.isSamePage")


def test_another_model_tries_again_by_keyboard(alice: Page, upstream: Upstream) -> None:
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    other = button(alice, "Try again with another model")
    other.focus()
    alice.keyboard.press("Enter")
    expect(button(alice, "large")).to_be_visible()
    alice.keyboard.press("Escape")
    expect(button(alice, "large")).to_be_hidden()
    expect(other).to_be_focused()
    alice.keyboard.press("Enter")
    alice.keyboard.press("Tab")
    alice.keyboard.press("Tab")
    expect(button(alice, "large")).to_be_focused()
    alice.keyboard.press("Enter")
    expect(answer(alice)).to_contain_text("2/2")
    expect_end(alice, "complete")
    expect(answer(alice).locator(".message__model")).to_have_text("large")
    expect(models(alice)).to_have_value("large")
    assert asked(upstream) == ["small", "large"]
    alice.reload()
    expect(models(alice)).to_have_value("large")


def test_the_chosen_model_answers_another_try(alice: Page, upstream: Upstream) -> None:
    upstream.script(*error(400, {}))
    ask(alice, "Hello?")
    expect_end(alice, "failed")
    models(alice).select_option("large")
    button(alice, "Try again").click()
    expect(answer(alice)).to_contain_text("2/2")
    expect_end(alice, "complete")
    expect(models(alice)).to_have_value("large")
    assert asked(upstream) == ["small", "large"]


def test_the_chosen_model_answers_an_example(alice: Page, upstream: Upstream) -> None:
    models(alice).select_option("large")
    question(alice).fill("A draft")
    button(alice, EXAMPLE).click()
    expect_end(alice, "complete")
    assert asked(upstream) == ["large"]
    alice.goto("/")
    expect(question(alice)).to_have_value("A draft")


def test_the_choice_is_as_wide_as_its_model(alice: Page) -> None:
    def width() -> float:
        box = models(alice).bounding_box()
        assert box
        return box["width"]

    short = width()
    models(alice).evaluate("select => select.add(new Option('a-model-with-a-long-name'))")
    assert width() == short
    models(alice).select_option("a-model-with-a-long-name")
    assert width() > short


def test_new_conversations_begin_with_the_model_that_was_asked_last(alice: Page, visit: Visit) -> None:
    expect(models(alice)).to_have_value("small")
    models(alice).select_option("large")
    ask(alice, "Hello?")
    elsewhere = visit("alice")
    elsewhere.goto("/")
    expect(models(elsewhere)).to_have_value("large")


def test_without_scripts_another_model_answers_too(visit: Visit, upstream: Upstream) -> None:
    page = visit("alice", java_script_enabled=False)
    page.goto("/")
    models(page).select_option("large")
    button(page, EXAMPLE).click()
    expect(answer(page)).to_have_attribute("data-status", "complete")
    button(page, "Try again with another model").click()
    button(page, "small").click()
    expect(answer(page)).to_contain_text("2/2")
    expect(answer(page)).to_have_attribute("data-status", "complete")
    button(page, "Try again").click()
    expect(answer(page)).to_contain_text("3/3")
    expect(answer(page)).to_have_attribute("data-status", "complete")
    assert asked(upstream) == ["large", "small", "small"]


def test_a_refusal_stands_at_the_answer(alice: Page, watch: Watch) -> None:
    watch.expect("status of 404")
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    tab = alice.context.new_page()
    tab.goto(alice.url)
    tab.get_by_role("link", name="Delete “Hello?”").click()
    button(tab, "Delete").click()
    expect(tab.get_by_text("Your conversations will gather here.")).to_be_visible()
    button(alice, "Try again").click()
    expect(answer(alice).get_by_role("alert")).to_have_text("This conversation has been deleted.")
    expect(words(alice)).to_have_text("Hello world")
