"""Which model answers: the one that is chosen, for questions, for examples, and for another try."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import expect_accessible
from tests.browser.conftest import Visit, Watch
from tests.browser.pages import answer, ask, button, choose, expect_end, keep_still, question, words
from tests.upstream import Upstream, error, finish, hang, pause, text

pytestmark = pytest.mark.chromium

EXAMPLE = "Compare three ways to sort a list"


@pytest.fixture(scope="module")
def settings_of_server() -> dict[str, str]:
    """It has two models."""
    return {"OPENAI_MODEL": "small,large"}


def models(page: Page) -> Locator:
    return page.get_by_label("Model", exact=True)


def asked(upstream: Upstream) -> list[str]:
    return [request.body["model"] for request in upstream.requests]


def test_the_chosen_model_answers_and_is_chosen_next_time(alice: Page, upstream: Upstream, visit: Visit) -> None:
    expect(models(alice)).to_have_value("small")
    models(alice).select_option("large")
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    expect(answer(alice)).to_contain_text("large")
    expect(models(alice)).to_have_value("large")
    assert asked(upstream) == ["large"]
    elsewhere = visit("alice")
    elsewhere.goto("/")
    expect(models(elsewhere)).to_have_value("large")


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


def test_the_first_page_names_the_models_that_are_chosen(alice: Page, visit: Visit) -> None:
    named = alice.get_by_text("You're talking to")
    expect(named).to_contain_text("You're talking to small, unless you choose another model below.")
    models(alice).select_option("large")
    expect(named).to_contain_text("talking to large,")
    alice.get_by_label("Compare with").select_option("small")
    expect(named).to_contain_text("talking to large and small,")
    alice.get_by_label("Compare with").select_option("large")
    expect(named).to_contain_text("talking to large,")
    plain = visit("alice", java_script_enabled=False)
    plain.goto("/")
    expect(plain.get_by_text("You're talking to small, unless you choose another model below.")).to_be_visible()


def compare(page: Page, upstream: Upstream) -> None:
    """Ask both models at once; they have written "First" and "Second", and wait."""
    upstream.script(text("First"), pause("both"), text(" answer"), finish())
    upstream.script(text("Second"), pause("both"), text(" answer"), finish())
    page.get_by_label("Compare with").select_option("large")
    question(page).fill("Hello?")
    button(page, "Send").click()
    expect(page).to_have_url(re.compile("/c/[0-9a-f-]{36}/"))
    # Until its scripts run, a page follows nothing.
    page.wait_for_load_state()
    expect(page.get_by_text("First", exact=True)).to_be_visible()
    expect(page.get_by_text("Second", exact=True)).to_be_visible()


def answers(page: Page) -> Locator:
    return page.locator("[data-role=assistant]")


def boxes(page: Page) -> list[dict[str, float]]:
    """Where the answers are in the window, all at one moment."""
    found: list[dict[str, float]] = answers(page).evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().toJSON())"
    )
    return found


def test_two_answers_use_the_room_of_a_wide_window(alice: Page, upstream: Upstream) -> None:
    compare(alice, upstream)
    narrow = boxes(alice)
    asked = alice.locator("[data-role=user]")
    width = asked.evaluate("(question) => question.offsetWidth")
    alice.set_viewport_size({"width": 1920, "height": 900})
    left, right = boxes(alice)
    assert left["width"] == right["width"] > 1.3 * narrow[0]["width"]
    assert right["right"] < 1920
    assert alice.evaluate("document.documentElement.scrollWidth") == 1920
    # A line to read is no longer than it was.
    assert asked.evaluate("(question) => question.offsetWidth") == width


@pytest.mark.parametrize("chosen", [0, 1])
def test_two_models_answer_side_by_side_and_one_is_chosen(alice: Page, upstream: Upstream, chosen: int) -> None:
    compare(alice, upstream)
    left, right = boxes(alice)
    assert left["y"] == right["y"]
    assert left["right"] < right["x"]
    assert sorted(asked(upstream)) == ["large", "small"]
    writers = alice.locator(".message__writer")
    expect(writers).to_have_text(["small", "large"])
    expect(writers.first).to_be_visible()
    upstream.release("both")
    for index in range(2):
        expect(answers(alice).nth(index).locator("[data-text]")).to_contain_text("answer")
        expect(answers(alice).nth(index)).not_to_have_attribute("data-events-url", re.compile("."))
    words_chosen = answers(alice).nth(chosen).locator("[data-text]").inner_text()
    button(alice, "Continue with this answer").nth(chosen).click()
    expect(answers(alice)).to_have_count(1)
    expect(words(alice)).to_have_text(words_chosen)
    expect(writers).to_be_hidden()
    expect(answer(alice)).to_contain_text(f"{chosen + 1}/2")
    expect(models(alice)).to_have_value(["small", "large"][chosen])
    upstream.script(text("And more"), finish())
    ask(alice, "And?")
    expect(words(alice)).to_have_text("And more")
    sent = [message["content"] for message in upstream.requests[-1].body["messages"]]
    assert sent == ["Hello?", words_chosen, "And?"]


def test_another_try_takes_the_place_of_one_of_two_answers(alice: Page, upstream: Upstream) -> None:
    upstream.script(*error(400, {}))
    upstream.script(text("Fine"), finish())
    alice.get_by_label("Compare with").select_option("large")
    ask(alice, "Hello?")
    failed = answers(alice).filter(has_text="No reply.")
    expect(failed).to_be_visible()
    expect(alice.get_by_text("Fine", exact=True)).to_be_visible()
    place = 0 if "No reply." in answers(alice).first.inner_text() else 1
    models(alice).select_option(["large", "small"][place])
    upstream.script(text("Better"), finish())
    button(failed, "Try again").click()
    for _ in range(2):
        expect(answers(alice).nth(place)).to_contain_text("Better")
        expect(answers(alice).nth(1 - place)).to_contain_text("Fine")
        expect(button(alice, "Continue with this answer")).to_have_count(2)
        alice.reload()
    assert asked(upstream)[2] == ["small", "large"][place]


@pytest.mark.parametrize("index", [0, 1])
def test_each_of_two_answers_is_continued_in_its_place(alice: Page, upstream: Upstream, index: int) -> None:
    compare(alice, upstream)
    begun = answers(alice).nth(index).locator("[data-text]").inner_text()
    button(alice, "Stop").click()
    expect(button(alice, "Continue")).to_have_count(2)
    upstream.script(text(" to the end"), finish())
    button(answers(alice).nth(index), "Continue").click()
    expect(answers(alice).nth(index).locator("[data-text]")).to_have_text(f"{begun} to the end")
    expect(button(alice, "Continue with this answer")).to_have_count(2)


def test_two_answers_still_offer_a_choice_after_another_question(alice: Page, upstream: Upstream) -> None:
    compare(alice, upstream)
    upstream.release("both")
    expect(alice.locator("[data-events-url]")).to_have_count(0)
    before = answers(alice).all_inner_texts()
    alice.locator("[data-role=user]").hover()
    alice.get_by_role("link", name="Edit").click()
    alice.get_by_label("New wording").fill("Hello there?")
    alice.get_by_label("New wording").press("Enter")
    expect_end(alice, "complete")
    expect(answers(alice)).to_have_count(1)
    button(alice, "Show the previous question").click()
    expect(button(alice, "Continue with this answer")).to_have_count(2)
    assert answers(alice).all_inner_texts() == before


@pytest.mark.parametrize("chosen", [0, 1])
def test_an_answer_is_chosen_while_both_are_written(alice: Page, upstream: Upstream, chosen: int) -> None:
    compare(alice, upstream)
    begun = answers(alice).nth(chosen).locator("[data-text]").inner_text()
    button(alice, "Continue with this answer").nth(chosen).click()
    expect(answers(alice)).to_have_count(1)
    expect(words(alice)).to_have_text(begun)
    expect(button(alice, "Continue with this answer")).to_be_hidden()
    upstream.release("both")
    expect(words(alice)).to_have_text(f"{begun} answer")
    expect_end(alice, "complete")
    expect(button(alice, "Try again")).to_be_visible()
    button(alice, f"Show the {'next' if chosen == 0 else 'previous'} answer").click()
    expect(words(alice)).to_contain_text("answer")


def test_nothing_is_asked_before_an_answer_is_chosen(alice: Page, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 409")
    compare(alice, upstream)
    for ends in (False, True):
        if ends:
            button(alice, "Stop").click()
            expect(alice.get_by_text("Stopped.", exact=True)).to_have_count(2)
        question(alice).fill("And?")
        question(alice).press("Enter")
        expect(alice.get_by_role("alert").filter(has_text="Choose one of the two answers first.")).to_be_visible()
        expect(question(alice)).to_have_value("And?")
    alice.reload()
    expect(answers(alice)).to_have_count(2)
    question(alice).press("Enter")
    refusal = alice.get_by_role("alert").filter(has_text="Choose one of the two answers first.")
    expect(refusal).to_be_visible()
    button(alice, "Continue with this answer").first.click()
    expect(answers(alice)).to_have_count(1)
    expect(refusal).to_have_count(0)
    expect(question(alice)).to_have_value("And?")


def test_one_answer_is_stopped_though_the_other_is_not(alice: Page, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 503")
    compare(alice, upstream)
    problem = {"error": {"code": "not_stopped", "message": "The reply couldn't be stopped. Try again."}}
    alice.route("**/stop/", lambda route: route.fulfill(status=503, json=problem), times=1)
    button(alice, "Stop").click()
    expect(alice.get_by_role("alert").filter(has_text="The reply couldn't be stopped.")).to_be_visible()
    expect(alice.get_by_text("Stopped.", exact=True)).to_have_count(1)
    button(alice, "Stop").click()
    expect(alice.get_by_text("Stopped.", exact=True)).to_have_count(2)


def test_two_models_are_not_asked_by_the_queue(alice: Page, upstream: Upstream, watch: Watch) -> None:
    """The reply that is being written is out of sight."""
    watch.expect("status of 409")
    upstream.script(text("One"), hang())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("One")
    # Nor does the page get it into sight.
    alice.route("**/transcript/**", lambda _: None)
    alice.goto(f"{alice.url}?from=start&last=1")
    alice.get_by_label("Compare with").select_option("large")
    question(alice).fill("And?")
    question(alice).press("Enter")
    expect(alice.get_by_role("alert").filter(has_text="The previous reply is still being written.")).to_be_visible()
    expect(question(alice)).to_have_value("And?")
    expect(alice.get_by_label("Compare with")).to_have_value("large")


def test_axe_finds_nothing_in_what_offers_a_choice(alice: Page, upstream: Upstream) -> None:
    compare(alice, upstream)
    button(alice, "Stop").click()
    expect(button(alice, "Try again")).to_have_count(2)
    expect_accessible(alice)
    button(alice, "Continue with this answer").last.click()
    expect(answers(alice)).to_have_count(1)
    button(alice, "Try again with another model").click()
    expect_accessible(alice)
    alice.keyboard.press("Escape")
    alice.locator("[data-role=user]").hover()
    alice.get_by_role("link", name="Edit").click()
    expect(alice.get_by_label("New wording")).to_be_focused()
    expect_accessible(alice)


def test_two_answers_are_stacked_on_a_phone(alice: Page, upstream: Upstream) -> None:
    alice.set_viewport_size({"width": 390, "height": 844})
    compare(alice, upstream)
    upper, lower = boxes(alice)
    assert upper["x"] == lower["x"]
    assert upper["bottom"] <= lower["y"]
    upstream.release("both")


def test_without_scripts_one_of_two_answers_is_chosen(visit: Visit, upstream: Upstream) -> None:
    page = visit("alice", java_script_enabled=False)
    page.goto("/")
    compare(page, upstream)
    upstream.release("both")
    for index in range(2):
        expect(answers(page).nth(index)).to_have_attribute("data-status", "complete")
    button(page, "Continue with this answer").last.click()
    expect(answers(page)).to_have_count(1)
    expect(answers(page)).to_contain_text("2/2")


def test_without_scripts_stop_ends_both_answers(visit: Visit, upstream: Upstream) -> None:
    page = visit("alice", java_script_enabled=False)
    page.goto("/")
    compare(page, upstream)
    keep_still(page)
    button(page, "Stop").click()
    expect(page.get_by_text("Stopped.", exact=True)).to_have_count(2)


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
    choose(tab, "Delete", "Hello?")
    expect(tab.get_by_text("Your conversations will gather here.")).to_be_visible()
    button(alice, "Try again").click()
    expect(answer(alice).get_by_role("alert")).to_have_text(
        "This conversation has been deleted, or belongs to another account."
    )
    expect(words(alice)).to_have_text("Hello world")
