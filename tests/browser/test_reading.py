"""Where a reader is in a long page: nobody is moved who did not ask for it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from chat.models import Conversation, Message, Reply
from tests.browser.conftest import Show, Visit, Watch
from tests.browser.pages import (
    answer,
    ask,
    button,
    expect_end,
    held,
    question,
    several_frames,
    store,
    top_at_rest,
    words,
)
from tests.browser.test_accessibility import PHONE
from tests.browser.test_text import styled
from tests.conversations import conversation_of
from tests.server import Server
from tests.upstream import Upstream, cut, finish, pause, sleep, text

pytestmark = pytest.mark.chromium


def paragraphs(first: int, last: int) -> str:
    return "".join(f"Paragraph {number}.\n\n" for number in range(first, last + 1))


def paragraph(page: Page, number: int) -> Locator:
    return words(page).get_by_text(f"Paragraph {number}.", exact=True)


def top(locator: Locator) -> float:
    """Pixels between the top of the window and the element."""
    box = locator.bounding_box()
    assert box
    return round(box["y"])


@pytest.fixture
def reading(show: Show, upstream: Upstream) -> Page:
    """Alice's second question has an answer that is longer than the window, and will become longer still."""
    alice = show("At length, please.", paragraphs(1, 30))
    upstream.script(text(paragraphs(1, 40)), pause("more"), text(paragraphs(41, 80)), pause("end"), finish())
    ask(alice, "And more?")
    expect(paragraph(alice, 40)).to_be_attached()
    # The other events of the page may have shown it before the answer to the form, which takes it there.
    expect_at_top(alice.locator("[data-role=user]").last)
    return alice


def expect_at_top(message: Locator) -> None:
    message.page.wait_for_function(
        "(message) => Math.round(message.getBoundingClientRect().top) === 0", arg=message.element_handle()
    )


def test_a_question_goes_to_the_top_and_stays_there(reading: Page, upstream: Upstream) -> None:
    asked = reading.locator("[data-role=user]").last
    upstream.release("more")
    expect(paragraph(reading, 80)).to_be_attached()
    assert top(asked) == 0
    expect(button(reading, "New text")).to_be_visible()


def test_an_answer_fills_the_room_below_its_question(show: Show, upstream: Upstream) -> None:
    alice = show("At length, please.", paragraphs(1, 30))
    upstream.script(text("One."), pause("two"), text(" Two."), finish())
    ask(alice, "And briefly?")
    expect(words(alice)).to_have_text("One.")
    asked = alice.locator("[data-role=user]").last
    expect_at_top(asked)
    upstream.release("two")
    expect_end(alice, "complete")
    assert top(asked) == 0
    expect(alice.locator("[data-to-end]")).to_be_hidden()


def press_end(page: Page) -> None:
    page.keyboard.press("End")


def turn_the_wheel(page: Page) -> None:
    page.mouse.move(600, 300)
    page.mouse.wheel(0, 20_000)


def press_the_button(page: Page) -> None:
    page.locator("[data-to-end]").click()


@pytest.mark.parametrize("follow", [press_end, turn_the_wheel, press_the_button])
def test_a_reader_who_goes_to_the_end_follows(
    reading: Page, upstream: Upstream, follow: Callable[[Page], None]
) -> None:
    follow(reading)
    expect(paragraph(reading, 40)).to_be_in_viewport()
    expect(reading.locator("[data-to-end]")).to_be_hidden()
    upstream.release("more")
    expect(paragraph(reading, 80)).to_be_in_viewport()
    upstream.release("end")
    expect_end(reading, "complete")
    expect(answer(reading).get_by_text("scripted")).to_be_in_viewport()


@pytest.mark.parametrize("follow", [press_end, turn_the_wheel])
def test_a_fast_reply_is_followed_too(alice: Page, upstream: Upstream, follow: Callable[[Page], None]) -> None:
    fast = [step for number in range(41, 400) for step in (text(f"Paragraph {number}.\n\n"), sleep(0.004))]
    upstream.script(text(paragraphs(1, 40)), pause("more"), *fast, finish())
    ask(alice, "Quickly, please.")
    expect(paragraph(alice, 40)).to_be_attached()
    upstream.release("more")
    expect(paragraph(alice, 60)).to_be_attached()
    follow(alice)
    expect_end(alice, "complete")
    expect(paragraph(alice, 399)).to_be_in_viewport()


def test_a_reader_who_scrolls_up_stays_there(reading: Page, upstream: Upstream) -> None:
    press_end(reading)
    expect(paragraph(reading, 40)).to_be_in_viewport()
    reading.mouse.move(600, 300)
    reading.mouse.wheel(0, -600)
    expect(button(reading, "Jump to latest")).to_be_visible()
    upstream.release("more")
    expect(button(reading, "New text")).to_be_visible()
    expect(paragraph(reading, 80)).not_to_be_in_viewport()


def test_typing_moves_the_caret_and_not_the_page(reading: Page) -> None:
    reading.keyboard.type("half a question")
    reading.keyboard.press("Home")
    reading.keyboard.press("End")
    reading.keyboard.type("!")
    expect(question(reading)).to_have_value("half a question!")
    assert top(reading.locator("[data-role=user]").last) == 0


def test_a_reload_shows_the_question_of_a_running_reply_where_it_was(reading: Page) -> None:
    reading.reload()
    expect(paragraph(reading, 40)).to_be_attached()
    expect_at_top(reading.locator("[data-role=user]").last)


def test_a_selection_survives_the_end(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One *two* three.\n\n```py\nfour = 5\n```\n\nSix."), pause("end"), text(" Seven."), finish())
    ask(alice, "Count.")
    expect(words(alice)).to_contain_text("Six.")
    words(alice).evaluate(
        "text => getSelection().setBaseAndExtent(text.querySelector('em').firstChild, 1, text.lastElementChild, 0)"
    )
    selected = alice.evaluate("String(getSelection())")
    assert "four = 5" in selected
    upstream.release("end")
    expect_end(alice, "complete")
    assert alice.evaluate("String(getSelection())") == selected


def test_a_reply_of_200_kb_keeps_its_form(alice: Page, upstream: Upstream) -> None:
    parts = [f"## Part {number}\n\n{'A word. ' * 630}\n\n" for number in range(40)] + ["The end."]
    upstream.script(*map(text, parts), pause("end"), finish())
    ask(alice, "At length, please.")
    # More than the page formats.
    expect(words(alice).locator("pre.plain")).to_contain_text("The end.")
    written = words(alice).evaluate(FORM)
    assert 15 < written["headings"] < 40
    upstream.release("end")
    expect_end(alice, "complete")
    assert words(alice).evaluate(FORM) == written
    alice.reload()
    assert words(alice).evaluate(FORM) == written
    source = answer(alice).locator("template[data-source]")
    assert source.evaluate("source => source.content.textContent") == "".join(parts)


FORM = """(text) => ({
    text: text.textContent,
    blocks: [...text.children].map(({ localName }) => localName),
    headings: text.querySelectorAll("h2").length,
})"""


# Long conversations


def store_long(server: Server, exchanges: int) -> str:
    """The address of Alice's conversation with this many questions and answers."""
    texts = [(f"Question {number}?", f"Answer {number}. {'Words. ' * 60}") for number in range(exchanges)]
    return store(server, *chain(*texts))


def asked(page: Page, number: int) -> Locator:
    return page.locator("[data-role=user]", has_text=f"Question {number}?")


def first_in_window(page: Page) -> str:
    """The id of the first message of which something is on screen."""
    found: str = page.evaluate(
        "[...document.querySelectorAll('[data-message]')].find(m => m.getBoundingClientRect().bottom > 0).id"
    )
    return found


def count(page: Page) -> int:
    return page.locator("[data-messages] [data-message]").count()


def test_earlier_messages_come_as_one_scrolls_up_without_a_jump(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    alice.goto(store_long(server, 100))
    alice.mouse.move(600, 300)
    shown = count(alice)
    assert shown == 16
    while shown < 200:
        alice.evaluate("scrollTo(0, 300)")
        message = alice.locator(f"#{first_in_window(alice)}")
        before = top(message)
        expect(alice.locator("[data-messages] [data-message]")).not_to_have_count(shown)
        assert top(message) == pytest.approx(before, abs=1)
        shown = count(alice)
    expect(asked(alice, 0)).to_be_attached()
    expect(alice.locator("[data-earlier] a")).to_have_count(0)


def test_earlier_messages_are_added_a_few_at_a_time(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    alice.goto(store_long(server, 100))
    alice.evaluate(COUNT_ADDED)
    alice.evaluate("scrollTo(0, 300)")
    expect(alice.locator("[data-messages] [data-message]")).to_have_count(28)
    added: list[int] = alice.evaluate("added")
    assert sum(added) == 12
    assert max(added) <= 5


def test_earlier_messages_do_not_restyle_those_that_came_before(alice: Page, server: Server) -> None:
    def come(shown: int) -> None:
        alice.evaluate("scrollTo(0, 300)")
        expect(alice.locator("[data-messages] [data-message]")).to_have_count(shown)

    alice.goto(store_long(server, 100))
    come(28)
    before = alice.locator(".batch *").count()
    assert 0 < max(styled(alice, lambda: come(40))) < before / 2


# How many messages each task has added.
COUNT_ADDED = """() => {
    window.added = [];
    new MutationObserver((changes) => {
        const nodes = changes.flatMap(({ addedNodes }) => [...addedNodes]);
        added.push(nodes.filter((node) => node.matches?.("[data-message]")).length);
    }).observe(document.querySelector("[data-messages]"), { childList: true, subtree: true });
}"""


@pytest.fixture
def scrolled(alice: Page, server: Server) -> Page:
    """Alice has scrolled up to the first of two hundred messages. One of the questions has two answers."""

    def add_answer() -> None:
        question = Message.objects.get(text="Question 20?")
        message = Message.objects.create(
            conversation=question.conversation, parent=question, role="assistant", text="No."
        )
        Reply.objects.create(message=message, model="demo", status="complete")

    url = store_long(server, 100)
    server.database.run(add_answer)
    alice.goto(url)
    while (shown := count(alice)) < 200:
        alice.evaluate("scrollTo(0, 0)")
        expect(alice.locator("[data-message]")).not_to_have_count(shown)
    expect(alice.locator("[data-earlier] a")).to_have_count(0)
    expect(alice.locator(".batch[data-laid-out]")).to_have_count(16)
    return alice


# Whether each message is drawn where it is.
DRAWN = "all => all.map((one) => one.checkVisibility({ contentVisibilityAuto: true }))"
TOGGLE = "all => all.forEach((one) => one.toggleAttribute('data-laid-out'))"
HEIGHTS = "all => all.map(({ offsetHeight }) => offsetHeight)"


def test_messages_out_of_sight_are_skipped_and_keep_their_height(scrolled: Page) -> None:
    batches = scrolled.locator(".batch")
    for width in (1280, 390):
        scrolled.set_viewport_size({"width": width, "height": 800})
        several_frames(scrolled)
        heights = batches.evaluate_all(HEIGHTS)
        scrolled.emulate_media(media="print")
        assert all(scrolled.locator("[data-message]").evaluate_all(DRAWN))
        scrolled.emulate_media(media="screen")
        several_frames(scrolled)
        drawn = scrolled.locator("[data-message]").evaluate_all(DRAWN)
        assert drawn[0]
        assert not drawn[100]
        batches.evaluate_all(TOGGLE)
        assert batches.evaluate_all(HEIGHTS) == heights
        batches.evaluate_all(TOGGLE)
        several_frames(scrolled)


def test_switching_to_another_answer_far_up_keeps_the_focus(scrolled: Page) -> None:
    button(scrolled, "Show the next answer").focus()
    scrolled.keyboard.press("Enter")
    expect(words(scrolled)).to_have_text("No.")
    expect(button(answer(scrolled), "Show the previous answer")).to_be_focused()


def test_an_answer_far_up_that_is_tried_again_becomes_the_last(scrolled: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), cut())
    again = scrolled.locator("[data-message]").nth(41).get_by_role("button", name="Try again")
    again.focus()
    again.press("Enter")
    expect_end(scrolled, "interrupted")
    expect(words(scrolled)).to_have_text("So far")
    expect(button(answer(scrolled), "Continue")).to_be_visible()
    assert count(scrolled) == 42
    assert all(scrolled.locator("[data-message]").evaluate_all(DRAWN)[30:])


def test_a_change_in_a_long_page_concerns_little_of_it(visit: Visit, server: Server) -> None:
    """Otherwise Chromium lays out each message again, or works through all that is in each, whatever has changed."""
    alice = visit("alice")
    alice.goto(store_long(server, 1))
    containers = alice.evaluate(
        "[...document.querySelectorAll('*')].map(getComputedStyle)"
        ".filter(({ containerType }) => containerType !== 'normal').map(({ display }) => display)"
    )
    assert containers == ["block"]
    messages = alice.locator("[data-message]")
    assert messages.evaluate_all("all => all.map((one) => getComputedStyle(one).contain)") == ["content"] * 2


def test_the_first_message_is_one_step_away_and_later_ones_follow(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    alice.goto(store_long(server, 100))
    alice.evaluate("scrollTo(0, 0)")
    with alice.expect_navigation():
        alice.keyboard.press("Control+k")
        alice.keyboard.type("first message")
        alice.keyboard.press("Enter")
    expect(asked(alice, 0)).to_be_in_viewport()
    while (shown := count(alice)) < 200:
        alice.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        expect(alice.locator("[data-messages] [data-message]")).not_to_have_count(shown)
    expect(alice.locator("[data-later] a")).to_have_count(0)
    assert count(alice) == 200
    expect(asked(alice, 99)).to_be_attached()


def test_the_menu_leads_to_the_first_and_the_latest_messages(visit: Visit, server: Server) -> None:
    phone = visit("alice", **PHONE)
    phone.goto(store_long(server, 100))
    for link, index in (("First message", 0), ("Latest messages", -1), ("Latest messages", -1)):
        button(phone, "This conversation").tap()
        with phone.expect_navigation():
            phone.get_by_label("This conversation").get_by_role("link", name=link).tap()
        expect(phone.locator("[data-role=user], [data-role=assistant]").nth(index)).to_be_in_viewport()
    button(phone, "This conversation").tap()
    phone.get_by_role("link", name="Rename, pin, label or delete").tap()
    expect(phone.get_by_role("heading", name="Options")).to_be_visible()


def test_paper_says_which_messages_are_missing(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    url = store_long(server, 100)
    for query, missing in (("", "Earlier"), ("?from=start&last=30", "Later")):
        alice.emulate_media(media="screen")
        alice.goto(f"{url}{query}")
        sentence = alice.get_by_text("messages are missing here")
        expect(sentence).to_be_hidden()
        alice.emulate_media(media="print")
        expect(sentence).to_be_visible()
        expect(sentence).to_have_text(re.compile(f"^{missing}"))
        expect(alice.locator("[data-more]")).to_be_hidden()


def test_a_reader_goes_from_question_to_question(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    alice.goto(store_long(server, 10))
    alice.keyboard.press("Alt+ArrowUp")
    expect_at_top(asked(alice, 8))
    button(alice, "Previous question").click()
    expect_at_top(asked(alice, 7))
    alice.keyboard.press("Alt+ArrowDown")
    expect_at_top(asked(alice, 8))
    button(alice, "Next question").click()
    expect_at_top(asked(alice, 9))


def test_a_question_asked_far_above_the_end_is_shown(visit: Visit, server: Server, upstream: Upstream) -> None:
    alice = visit("alice")
    upstream.script(text("At the end."), finish())
    url = store_long(server, 100)
    alice.goto(f"{url}?from=start&last=30#main")
    with alice.expect_navigation():
        question(alice).fill("And now?")
        question(alice).press("Enter")
    expect(words(alice)).to_have_text("At the end.")


@contextmanager
def holding(page: Page, change: Callable[[], None]) -> Iterator[None]:
    """Change something, and let the page have the answer to its refresh only afterwards."""
    with held(page, "**/transcript/**"):
        with page.expect_request("**/transcript/**"):
            change()
        yield


def test_a_reader_who_scrolls_up_during_a_refresh_stays_there(reading: Page, server: Server) -> None:
    press_end(reading)
    expect(paragraph(reading, 40)).to_be_in_viewport()
    with holding(reading, lambda: server.database.run(lambda: Conversation.objects.get().change())):
        reading.mouse.move(600, 300)
        reading.mouse.wheel(0, -600)
        expect(button(reading, "Jump to latest")).to_be_visible()
        before = top_at_rest(answer(reading))
        version = reading.locator("[data-messages]").get_attribute("data-version") or ""
    expect(reading.locator("[data-messages]")).not_to_have_attribute("data-version", version)
    assert abs(top_at_rest(answer(reading)) - before) < 1


def fork() -> None:
    """Put another branch on screen, of a hundred messages, from the first answer on."""
    conversation = Conversation.objects.get()
    first = Message.objects.get(parent__parent=None, parent__isnull=False)
    other = conversation_of(conversation.owner, [f"Fork {number}." for number in range(100)])
    other.messages.update(conversation=conversation)
    Message.objects.filter(text="Fork 0.").update(parent=first)
    conversation.leaf = other.leaf
    conversation.change("leaf")


@pytest.mark.parametrize("meanwhile", [False, True])
def test_earlier_messages_belong_to_the_branch_on_screen(visit: Visit, server: Server, meanwhile: bool) -> None:
    alice = visit("alice")
    alice.goto(store_long(server, 100))
    if meanwhile:
        with holding(alice, lambda: server.database.run(fork)):
            alice.evaluate("scrollTo(0, 0)")
            several_frames(alice)
    else:
        server.database.run(fork)
    expect(alice.get_by_text("Fork 99.")).to_be_attached()
    while (shown := count(alice)) < 102:
        alice.evaluate("scrollTo(0, 0)")
        expect(alice.locator("[data-messages] [data-message]")).not_to_have_count(shown)
    expect(alice.locator("[data-earlier] a")).to_have_count(0)
    assert count(alice) == 102


def test_later_messages_that_a_refresh_has_brought_are_not_added_again(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    alice.goto(f"{store_long(server, 100)}?from=start&last=30#main")
    requests: list[Request] = []
    alice.on("request", lambda request: requests.append(request) if "/transcript/" in request.url else None)
    with holding(alice, lambda: server.database.run(lambda: Conversation.objects.get().change())):
        alice.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        several_frames(alice)
    expect(asked(alice, 99)).to_be_attached()
    several_frames(alice)
    assert len(requests) == 1
    assert count(alice) == 200


def test_after_a_refusal_earlier_messages_are_not_asked_for_again(alice: Page, server: Server, watch: Watch) -> None:
    watch.expect("404")
    alice.goto(store_long(server, 100))
    refused: list[Request] = []
    alice.on("request", lambda request: refused.append(request) if "/transcript/" in request.url else None)
    alice.route("**/transcript/**", lambda route: route.fulfill(status=404, body="{}"))
    with alice.expect_response("**/transcript/**"):
        alice.evaluate("scrollTo(0, 0)")
    several_frames(alice)
    assert len(refused) == 1
