"""Asking while a reply is being written: the question is queued, and can be edited, withdrawn, or sent at once."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from chat.models import Conversation, QueuedQuestion, Reply
from tests.browser.conftest import Watch
from tests.browser.pages import answer, ask, button, expect_end, held, question, words
from tests.browser.test_survival import CUT, RECOVERY_MS
from tests.server import Server
from tests.upstream import Upstream, error, finish, hang, pause, text

pytestmark = pytest.mark.chromium


def questions(page: Page) -> Locator:
    return page.locator("[data-messages] [data-role=user] [data-text]")


def queue(page: Page) -> Locator:
    return page.get_by_role("region", name="Queued questions")


def queued(page: Page) -> Locator:
    return queue(page).locator(".message__text")


def send(page: Page, words: str) -> None:
    question(page).fill(words)
    question(page).press("Enter")


@pytest.fixture
def writing(alice: Page, upstream: Upstream) -> Page:
    """Alice's page, on which a reply is being written until the endpoint releases "rest"."""
    upstream.script(text("One"), pause("rest"), text(" two"), finish())
    ask(alice, "First")
    expect(words(alice)).to_have_text("One")
    return alice


def test_a_queued_question_keeps_its_lines(writing: Page) -> None:
    send(writing, "Second:\n  one\n  two")
    expect(queued(writing)).to_contain_text("two")
    assert queued(writing).inner_text() == "Second:\n  one\n  two"


def test_a_long_queued_question_stays_unfolded(writing: Page, server: Server) -> None:
    send(writing, "```\na\n```\n" + "Second\n" * 30)
    expect(button(queued(writing), "Copy")).to_be_visible()
    folded = queued(writing).bounding_box()
    queued(writing).get_by_text("Show all").click()
    unfolded = queued(writing).bounding_box()
    assert folded
    assert unfolded
    assert unfolded["height"] > folded["height"]
    queued(writing).get_by_text("Wrap").click()
    change_elsewhere(writing, server)
    expect(queued(writing).get_by_text("Show less")).to_be_visible()
    expect(queued(writing).get_by_label("Wrap")).to_be_checked()
    queue(writing).get_by_text("Edit", exact=True).click()
    queue(writing).get_by_label("Queued question").fill("2nd")
    button(queue(writing), "Save").click()
    expect(queued(writing)).to_have_text(["2nd"])


def test_questions_are_queued_and_sent_in_order(writing: Page, upstream: Upstream) -> None:
    send(writing, "Second")
    expect(queued(writing)).to_have_text(["Second"])
    expect(question(writing)).to_have_value("")
    expect(queue(writing).get_by_text("Will be sent when this reply is complete.")).to_be_visible()
    send(writing, "Third")
    expect(queued(writing)).to_have_text(["Second", "Third"])
    expect(words(writing)).to_have_text("One")
    upstream.release("rest")
    expect(questions(writing)).to_have_text(["First", "Second", "Third"])
    expect_end(writing, "complete")
    expect(queued(writing)).to_have_count(0)
    contents = [message["content"] for message in upstream.requests[-1].body["messages"]]
    assert contents == ["First", "One two", "Second", "Hello world", "Third"]


def test_a_queued_question_shows_after_a_reload_and_in_other_tabs(writing: Page) -> None:
    tab = writing.context.new_page()
    tab.goto(writing.url)
    tab.wait_for_load_state()
    send(writing, "Second")
    expect(queued(tab)).to_have_text(["Second"])
    expect(writing.locator("[data-announcer]")).to_have_text("Your question is queued.")
    writing.reload()
    expect(queued(writing)).to_have_text(["Second"])
    button(queue(tab), "Withdraw").click()
    expect(queue(writing)).to_have_count(0)
    expect(tab.locator("[data-announcer]")).to_have_text("The question is withdrawn.")


def test_a_question_is_queued_after_a_reply_that_is_out_of_sight(writing: Page, watch: Watch) -> None:
    watch.expect("status of 409")
    writing.goto(f"{writing.url}?from=start&last=1")
    expect(questions(writing)).to_have_text(["First"])
    send(writing, "Second")
    expect(queued(writing)).to_have_text(["Second"])
    expect(words(writing)).to_have_text("One")


def test_a_queued_question_is_sent_when_no_page_is_open(writing: Page, upstream: Upstream) -> None:
    send(writing, "Second")
    expect(queued(writing)).to_have_text(["Second"])
    context, url = writing.context, writing.url
    writing.close()
    upstream.release("rest")
    while "Second" not in str(upstream.next_request().body["messages"]):
        pass
    page = context.new_page()
    page.goto(url)
    expect(questions(page)).to_have_text(["First", "Second"])
    expect_end(page, "complete")


def test_a_queued_question_survives_a_kill(writing: Page, server: Server, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 502", *CUT)
    send(writing, "Second")
    expect(queued(writing)).to_have_text(["Second"])
    server.restart()
    expect(answer(writing).get_by_text("Interrupted.")).to_be_visible(timeout=RECOVERY_MS)
    expect(queue(writing).get_by_text("Not sent, because the reply before it isn't complete.")).to_be_visible()
    button(queue(writing), "Send now").click()
    expect(questions(writing)).to_have_text(["First", "Second"])
    expect_end(writing, "complete")


def test_a_queued_question_is_edited_in_its_place(writing: Page, upstream: Upstream) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit").click()
    edit = queue(writing).get_by_label("Queued question")
    edit.fill("2nd")
    # Something else changes meanwhile.
    send(writing, "Third")
    expect(queued(writing)).to_have_text(["Second", "Third"])
    expect(edit.first).to_have_value("2nd")
    button(queue(writing), "Save").first.click()
    expect(queued(writing)).to_have_text(["2nd", "Third"])
    upstream.release("rest")
    expect(questions(writing)).to_have_text(["First", "2nd", "Third"])
    expect(question(writing)).to_have_value("")


def change_elsewhere(page: Page, server: Server) -> None:
    """Change the conversation, and wait until the page has drawn its queued questions again."""
    page.locator("#queued").evaluate("element => element.dataset.isOld = true")
    server.database.run(lambda: Conversation.objects.get().change())
    expect(page.locator("#queued[data-is-old]")).to_have_count(0)


def test_an_edit_that_was_closed_is_kept(writing: Page, server: Server) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    queue(writing).get_by_label("Queued question").fill("Better words")
    queue(writing).get_by_label("Queued question").press("Escape")
    change_elsewhere(writing, server)
    expect(queue(writing).get_by_label("Queued question")).to_be_hidden()
    queue(writing).get_by_text("Edit", exact=True).click()
    expect(queue(writing).get_by_label("Queued question")).to_have_value("Better words")


def test_a_reload_leaves_an_edit_closed_that_was(writing: Page) -> None:
    send(writing, "Second")
    opener, edit = queue(writing).get_by_text("Edit", exact=True), queue(writing).get_by_label("Queued question")
    opener.click()
    # The form takes the place of the text and of the button.
    expect(edit).to_be_focused()
    expect(queued(writing)).to_be_hidden()
    expect(opener).to_be_hidden()
    edit.fill("Better words")
    edit.press("Escape")
    expect(edit).to_be_hidden()
    expect(opener).to_be_focused()
    writing.reload()
    expect(queued(writing)).to_have_text(["Second"])
    expect(queued(writing)).to_be_visible()
    expect(edit).to_be_hidden()
    opener.click()
    expect(edit).to_have_value("Better words")
    writing.reload()
    expect(edit).to_be_visible()


def test_an_edit_is_dropped(writing: Page, server: Server, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 422")
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    edit = queue(writing).get_by_label("Queued question")
    edit.fill("x" * 32_001)
    button(queue(writing), "Save").click()
    complaint = queue(writing).get_by_text("The limit is 32,000.")
    expect(complaint).to_be_visible()
    # It is worded anew elsewhere meanwhile.
    server.database.run(lambda: QueuedQuestion.objects.update(text="2nd"))
    change_elsewhere(writing, server)
    queue(writing).get_by_role("link", name="Cancel").click()
    expect(edit).to_be_hidden()
    expect(queue(writing).get_by_text("Edit", exact=True)).to_be_focused()
    expect(queued(writing)).to_have_text(["2nd"])
    queue(writing).get_by_text("Edit", exact=True).click()
    expect(edit).to_have_value("2nd")
    expect(complaint).to_have_count(0)
    writing.reload()
    expect(queued(writing)).to_have_text(["2nd"])
    expect(queued(writing)).to_be_visible()
    upstream.release("rest")
    expect(questions(writing)).to_have_text(["First", "2nd"])
    expect(question(writing)).to_have_value("")


@pytest.mark.parametrize("is_open", [True, False])
def test_an_edit_of_a_question_that_has_been_sent_comes_back_to_the_box(
    writing: Page, upstream: Upstream, is_open: bool
) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit").click()
    queue(writing).get_by_label("Queued question").fill("Better words")
    if not is_open:
        queue(writing).get_by_label("Queued question").press("Escape")
    upstream.release("rest")
    expect(questions(writing)).to_have_text(["First", "Second"])
    expect(question(writing)).to_have_value("Better words")
    expect(writing.get_by_role("alert").filter(has_text="This question is no longer queued here.")).to_be_visible()


def test_an_edit_that_comes_back_stays_when_a_question_is_accepted(writing: Page, upstream: Upstream) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    queue(writing).get_by_label("Queued question").fill("Better words")
    with held(writing, "**/queue/*"):
        send(writing, "Third")
        upstream.release("rest")
        expect(questions(writing)).to_have_text(["First", "Second"])
        expect(question(writing)).to_have_value("Third\n\nBetter words")
    expect(question(writing)).to_have_value("Better words")
    expect(writing.get_by_role("alert").filter(has_text="What you wrote is in the box.")).to_be_visible()
    expect(questions(writing)).to_have_text(["First", "Second", "Third"])
    writing.reload()
    expect(question(writing)).to_have_value("Better words")


def test_a_reload_keeps_an_edit_of_a_queued_question(writing: Page) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    expect(queued(writing)).to_be_hidden()
    edit = queue(writing).get_by_label("Queued question")
    edit.fill("Better words")
    writing.reload()
    expect(edit).to_be_visible()
    expect(edit).to_have_value("Better words")
    button(queue(writing), "Save").click()
    expect(queued(writing)).to_have_text(["Better words"])
    writing.reload()
    expect(edit).to_be_hidden()


def test_an_edit_of_a_question_that_was_sent_meanwhile_comes_back(writing: Page, server: Server) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    queue(writing).get_by_label("Queued question").fill("Better words")
    url = writing.url
    writing.goto("/settings/")
    server.database.run(lambda: QueuedQuestion.objects.all().delete())
    writing.goto(url)
    expect(question(writing)).to_have_value("Better words")
    expect(writing.get_by_role("alert").filter(has_text="This question is no longer queued here.")).to_be_visible()
    assert not writing.evaluate("Object.keys(sessionStorage).some(key => key.startsWith('queued'))")


def test_an_edit_takes_no_words_while_it_is_saved(writing: Page) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    edit = queue(writing).get_by_label("Queued question")
    edit.fill("2nd")
    with held(writing, "**/edit/*"):
        button(queue(writing), "Save").click()
        expect(edit).not_to_be_editable()
    expect(queued(writing)).to_have_text(["2nd"])
    queue(writing).get_by_text("Edit", exact=True).click()
    expect(edit).to_be_editable()


def test_whoever_follows_the_text_still_does_after_a_question(alice: Page, upstream: Upstream) -> None:
    lines = "".join(f"Line {number}.\n\n" for number in range(80))
    upstream.script(text(lines), pause("rest"), text(lines), finish())
    ask(alice, "First")
    expect(words(alice).get_by_text("Line 79.")).to_be_attached()
    alice.keyboard.press("End")
    expect(words(alice).get_by_text("Line 79.")).to_be_in_viewport()
    expect(alice.locator("[data-to-end]")).to_be_hidden()
    send(alice, "Second")
    expect(queued(alice)).to_be_in_viewport()
    upstream.release("rest")
    expect(questions(alice)).to_have_text(["First", "Second"])
    expect_end(alice, "complete")
    expect(words(alice)).to_be_in_viewport()


def test_sending_a_question_keeps_an_edit_that_was_not_saved(writing: Page) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    edit = queue(writing).get_by_label("Queued question")
    edit.fill("Better words")
    expect(button(queue(writing), "Stop and send")).to_be_hidden()
    edit.press("Escape")
    button(queue(writing), "Stop and send").click()
    expect(questions(writing)).to_have_text(["First", "Second"])
    expect(question(writing)).to_have_value("Better words")


def test_stop_holds_what_is_queued(writing: Page) -> None:
    send(writing, "Second")
    expect(queued(writing)).to_have_text(["Second"])
    question(writing).press("Escape")
    expect_end(writing, "stopped")
    expect(queue(writing).get_by_text("Not sent, because the reply before it isn't complete.")).to_be_visible()
    button(queue(writing), "Send now").click()
    expect(questions(writing)).to_have_text(["First", "Second"])
    expect(words(writing)).to_have_text("Hello world")
    expect(queued(writing)).to_have_count(0)


def test_stop_and_send_does_not_wait(writing: Page) -> None:
    send(writing, "Second")
    button(queue(writing), "Stop and send").click()
    expect(questions(writing)).to_have_text(["First", "Second"])
    expect(writing.locator("[data-role=assistant]").first.get_by_text("Stopped.")).to_be_visible()
    expect_end(writing, "complete")
    expect(words(writing)).to_have_text("Hello world")


def test_a_failure_holds_what_is_queued_until_a_retry_succeeds(alice: Page, upstream: Upstream) -> None:
    upstream.script(pause("end"), *error(400, {"error": {"message": "no"}}))
    ask(alice, "First")
    send(alice, "Second")
    expect(queued(alice)).to_have_text(["Second"])
    upstream.release("end")
    expect_end(alice, "failed")
    expect(queue(alice).get_by_text("Not sent,")).to_be_visible()
    button(alice, "Try again").click()
    expect(questions(alice)).to_have_text(["First", "Second"])
    expect_end(alice, "complete")


def test_escape_closes_what_is_open_before_it_stops(writing: Page) -> None:
    button(writing, "alice").click()
    account = writing.get_by_role("button", name="Sign out")
    expect(account).to_be_visible()
    writing.keyboard.press("Escape")
    expect(account).to_be_hidden()
    expect(button(writing, "Stop")).to_be_visible()
    writing.keyboard.press("Escape")
    expect_end(writing, "stopped")


def test_the_draft_stays_when_a_question_cannot_be_queued(writing: Page, server: Server, watch: Watch) -> None:
    watch.expect("status of 429")
    server.database.run(queue_nine)
    send(writing, "The tenth")
    expect(queued(writing)).to_have_count(10)
    send(writing, "One too many")
    expect(writing.get_by_role("alert").filter(has_text="already queued 10 questions")).to_be_visible()
    expect(question(writing)).to_have_value("One too many")
    assert server.database.run(QueuedQuestion.objects.count) == 10


def queue_nine() -> None:
    leaf = Reply.objects.get().message
    QueuedQuestion.objects.bulk_create(
        QueuedQuestion(after=leaf, text=f"Number {number}", model="scripted") for number in range(9)
    )


def test_what_is_queued_fits_on_a_phone(alice: Page, upstream: Upstream) -> None:
    alice.set_viewport_size({"width": 390, "height": 800})
    upstream.script(text("One"), hang())
    ask(alice, "First")
    expect(words(alice)).to_have_text("One")
    send(alice, "A question with many words, " * 10)
    button(queue(alice), "Withdraw").scroll_into_view_if_needed()
    assert alice.evaluate("document.documentElement.scrollWidth") == 390
    assert re.search("many words", queued(alice).inner_text())


def test_a_question_that_is_withdrawn_does_not_come_back(writing: Page) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    queue(writing).get_by_label("Queued question").fill("Other words")
    button(queue(writing), "Withdraw").click()
    expect(queued(writing)).to_have_count(0)
    expect(question(writing)).to_have_value("")


def test_an_edit_that_changed_nothing_does_not_come_back(writing: Page, upstream: Upstream) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    upstream.release("rest")
    expect(questions(writing)).to_have_text(["First", "Second"])
    expect(question(writing)).to_have_value("")


def test_the_focus_stays_on_a_queued_question(writing: Page, server: Server) -> None:
    send(writing, "Second")
    button(queue(writing), "Withdraw").focus()
    change_elsewhere(writing, server)
    expect(button(queue(writing), "Withdraw")).to_be_focused()


def test_a_complaint_goes_when_the_form_is_accepted(writing: Page, watch: Watch) -> None:
    watch.expect("ERR_INTERNET_DISCONNECTED", *CUT)
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    queue(writing).get_by_label("Queued question").fill("2nd")
    writing.context.set_offline(True)
    button(queue(writing), "Save").click()
    expect(queue(writing).get_by_text("The server can't be reached.")).to_be_visible()
    writing.context.set_offline(False)
    button(queue(writing), "Save").click()
    expect(queued(writing)).to_have_text(["2nd"])
    expect(queue(writing).locator("[data-error]")).to_have_text(["", ""])


def test_escape_closes_an_edit_and_stops_nothing(writing: Page, upstream: Upstream) -> None:
    send(writing, "Second")
    queue(writing).get_by_text("Edit", exact=True).click()
    queue(writing).get_by_label("Queued question").press("Escape")
    expect(queue(writing).get_by_label("Queued question")).to_be_hidden()
    expect(button(writing, "Stop")).to_be_visible()
    upstream.release("rest")
    expect(questions(writing)).to_have_text(["First", "Second"])
