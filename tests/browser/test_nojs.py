"""Everything that matters works with JavaScript off."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chat.models import User
from tests.browser.conftest import Show, Visit, Watch
from tests.browser.pages import answer, button, keep_still, question, words
from tests.browser.test_survival import sign_in_by_form
from tests.server import Server
from tests.upstream import Upstream, cut, finish, hang, pause, text

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def context_options(context_options: dict[str, Any]) -> dict[str, Any]:
    return {**context_options, "java_script_enabled": False}


def send(page: Page, text: str) -> None:
    question(page).fill(text)
    button(page, "Send").click()


def test_the_page_refreshes_itself_until_the_reply_has_ended(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two."), pause("end"), finish())
    send(alice, "Count.")
    expect(alice).to_have_url(re.compile("/c/[0-9a-f-]{36}/"))
    expect(words(alice)).to_have_text("One")
    upstream.release("rest")
    expect(words(alice)).to_have_text("One two.")
    upstream.release("end")
    expect(answer(alice)).to_have_attribute("data-status", "complete")
    expect(alice.locator("meta[http-equiv=refresh]")).to_have_count(0)


def test_a_conversation_continues(alice: Page, upstream: Upstream) -> None:
    send(alice, "How are you?")
    expect(answer(alice)).to_have_attribute("data-status", "complete")
    upstream.script(text("Still fine."), finish())
    send(alice, "And now?")
    expect(alice.locator("[data-role=assistant]")).to_have_count(2)
    expect(words(alice)).to_have_text("Still fine.")


def test_footnotes_can_be_read_and_promise_no_more(show: Show) -> None:
    page = show("Why?", "Because.[^1]\n\n[^1]: Of *that*.")
    expect(page.get_by_role("note")).to_have_text(re.compile(r"^\s*1\s*Of that\.\s*$"))
    colours = "(mark) => [mark, mark.parentElement].map((each) => getComputedStyle(each).color)"
    for name in ("Footnote 1", "Footnote 1, back to the text"):
        mark, around = button(page, name).evaluate(colours)
        assert mark == around


def test_a_question_is_queued_edited_and_sent_after_the_reply(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("end"), finish())
    send(alice, "Count.")
    expect(words(alice)).to_have_text("One")
    keep_still(alice)
    send(alice, "And two?")
    keep_still(alice)
    queued = alice.get_by_role("region", name="Queued questions")
    expect(queued.get_by_text("Will be sent when this reply is complete.")).to_be_visible()
    queued.get_by_text("Edit").click()
    queued.get_by_label("Queued question").fill("And three?")
    button(queued, "Save").click()
    expect(queued.locator(".message__text")).to_have_text("And three?")
    upstream.release("end")
    expect(alice.locator("[data-role=assistant]")).to_have_count(2)
    expect(words(alice)).to_have_text("Hello world")
    expect(alice.locator("[data-role=user]")).to_have_text([re.compile("Count."), re.compile("And three?")])
    expect(queued).to_have_count(0)


def test_a_queued_question_is_withdrawn_or_sent_at_once(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), hang())
    send(alice, "Count.")
    expect(words(alice)).to_have_text("One")
    for question_text in ("And two?", "And three?"):
        keep_still(alice)
        send(alice, question_text)
    queued = alice.get_by_role("region", name="Queued questions")
    keep_still(alice)
    button(queued, "Withdraw").first.click()
    expect(queued.locator(".message__text")).to_have_text("And three?")
    keep_still(alice)
    button(queued, "Stop and send").click()
    expect(alice.locator("[data-role=assistant]").first.get_by_text("Stopped.")).to_be_visible()
    expect(words(alice)).to_have_text("Hello world")
    expect(queued).to_have_count(0)


def test_a_reply_is_stopped_and_asked_for_again(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), hang())
    send(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    keep_still(alice)
    button(alice, "Stop").click()
    upstream.next_request().wait_closed()
    expect(answer(alice).get_by_text("Stopped.")).to_be_visible()
    button(alice, "Try again").click()
    expect(words(alice)).to_have_text("Hello world")
    expect(answer(alice)).to_contain_text("2/2")
    button(alice, "Show the previous answer").click()
    expect(words(alice)).to_have_text("So far")


def test_a_conversation_is_renamed_pinned_labelled_and_archived_on_a_page(alice: Page, watch: Watch) -> None:
    watch.expect("status of 422")
    send(alice, "Hello?")
    expect(answer(alice)).to_have_attribute("data-status", "complete")
    button(alice, "Options of “Hello?”").click()
    alice.get_by_label("Title").fill(" ")
    button(alice, "Rename").click()
    expect(alice.get_by_role("alert")).to_have_text("Write a title first.")
    alice.get_by_label("Title").fill("Greetings")
    button(alice, "Rename").click()
    expect(alice.get_by_role("heading", name="Greetings")).to_be_attached()
    button(alice, "Options of “Greetings”").click()
    button(alice, "Pin").click()
    expect(alice.get_by_role("heading", name="Pinned")).to_be_visible()
    button(alice, "Options of “Greetings”").click()
    alice.get_by_label("New label").fill("Work")
    button(alice, "Save labels").click()
    expect(alice.get_by_role("checkbox", name="Work")).to_be_checked()
    alice.get_by_role("link", name="Back to the conversation").click()
    alice.get_by_label("Show", exact=True).select_option("Work")
    button(alice, "Show").click()
    expect(alice).to_have_url(re.compile("label="))
    alice.get_by_role("link", name="Show all conversations").click()
    button(alice, "Options of “Greetings”").click()
    button(alice, "Archive").click()
    button(alice, "Take “Greetings” out of the archive").click()
    expect(alice.get_by_text("The archive is empty.")).to_be_visible()


def test_several_are_labelled_deleted_and_erased_on_pages(alice: Page) -> None:
    for number in ("One", "Two"):
        alice.goto("/")
        send(alice, number)
        expect(answer(alice)).to_have_attribute("data-status", "complete")
    alice.get_by_role("link", name="Select", exact=True).click()
    alice.get_by_label("Select “One”").check()
    alice.get_by_label("Select “Two”").check()
    button(alice, "Labels…").click()
    alice.get_by_label("New label").fill("Work")
    button(alice, "Give").click()
    expect(alice.get_by_text("2 conversations have the label “Work”.")).to_be_visible()
    for number in ("One", "Two"):
        alice.get_by_label(f"Select “{number}”").check()
    button(alice, "Delete").click()
    expect(alice.get_by_text("Your list is empty.")).to_be_visible()
    button(alice, "Undo").click()
    alice.get_by_role("link", name="Select", exact=True).click()
    alice.get_by_label("Select “Two”").check()
    button(alice, "Delete").click()
    alice.get_by_role("link", name="trash").click()
    alice.get_by_label("Select “Two”").check()
    button(alice, "Delete for ever").click()
    button(alice, "Delete for ever").click()
    expect(alice.get_by_text("1 conversation is deleted for ever.")).to_be_visible()


def test_after_a_deletion_a_page_offers_to_undo_it(alice: Page) -> None:
    send(alice, "Hello?")
    expect(answer(alice)).to_have_attribute("data-status", "complete")
    button(alice, "Options of “Hello?”").click()
    button(alice, "Delete").click()
    expect(alice.get_by_text("“Hello?” is in the trash.")).to_be_visible()
    expect(alice.get_by_text("Your conversations will gather here.")).to_be_visible()
    button(alice, "Undo").click()
    expect(words(alice)).to_have_text("Hello world")


@pytest.mark.parametrize(
    ("question_text", "sentence"),
    [(" \n ", "Write a question first."), ("x" * 32_001, "has 32,001 characters. The limit is 32,000.")],
    ids=["blank", "too long"],
)
def test_a_bad_question_stays_in_the_box_with_a_sentence(
    alice: Page, watch: Watch, question_text: str, sentence: str
) -> None:
    watch.expect("status of 422")
    send(alice, question_text)
    expect(alice.get_by_role("alert").filter(has_text=sentence)).to_be_visible()
    expect(question(alice)).to_have_value(question_text)


@pytest.fixture
def second(alice: Page, visit: Visit) -> Page:
    """Another window of Alice's with the conversation that `alice` has begun."""
    send(alice, "How are you?")
    expect(answer(alice)).to_have_attribute("data-status", "complete")
    second = visit("alice")
    second.goto(alice.url)
    return second


def test_a_stale_page_comes_back_with_what_it_has_missed(alice: Page, second: Page, watch: Watch) -> None:
    watch.expect("status of 409")
    send(alice, "And now?")
    expect(answer(alice)).to_have_attribute("data-status", "complete")
    send(second, "And you?")
    expect(second.get_by_role("alert").filter(has_text="has changed in another window.")).to_be_visible()
    expect(second.get_by_text("And now?", exact=True)).to_be_visible()
    expect(question(second)).to_have_value("And you?")
    button(second, "Send").click()
    asked = second.locator("[data-role=user] [data-text]")
    expect(asked).to_have_text(["How are you?", "And now?", "And you?"])


def test_a_refusal_leads_back_to_the_answer(alice: Page, visit: Visit, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 409")
    upstream.script(text("One"), cut())
    upstream.script(text(" two"), hang())
    send(alice, "Count.")
    expect(answer(alice).get_by_text("Interrupted.")).to_be_visible()
    second = visit("alice")
    second.goto(alice.url)
    button(alice, "Continue").click()
    expect(words(alice)).to_have_text("One two")
    button(second, "Continue").click()
    expect(second.get_by_text("This reply can't be continued")).to_be_visible()
    second.get_by_role("link", name="Back to the conversation").click()
    expect(second).to_have_url(re.compile("/c/.*#message-"))
    expect(words(second)).to_have_text("One two")


def test_too_long_a_reason_stays_in_its_form(alice: Page, watch: Watch) -> None:
    watch.expect("status of 422")
    send(alice, "Hello?")
    button(answer(alice), "Bad answer").click()
    answer(alice).get_by_label("What is wrong with it?").fill("x" * 2_001)
    button(answer(alice), "Save").click()
    expect(alice.get_by_role("alert")).to_have_text("Your reason has 2,001 characters. The limit is 2,000.")
    reason = alice.get_by_label("Why do you think so?")
    expect(reason).to_have_value("x" * 2_001)
    reason.fill("It is wrong.")
    button(alice, "Save").click()
    expect(answer(alice).get_by_label("What is wrong with it?")).to_have_value("It is wrong.")


def test_a_question_outlives_its_conversation(alice: Page, second: Page, watch: Watch) -> None:
    watch.expect("status of 404")
    button(alice, "Options of “How are you?”").click()
    button(alice, "Delete").click()
    send(second, "And you?")
    expect(second.get_by_role("alert").filter(has_text="This conversation no longer exists.")).to_be_visible()
    expect(question(second)).to_have_value("And you?")
    button(second, "Send").click()
    expect(second.locator("[data-role=user] [data-text]")).to_have_text("And you?")


def test_a_page_that_has_expired_gives_the_question_back(
    server: Server, visit: Visit, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 403")
    server.database.run(lambda: User.objects.create_user("alice", password="a good password"))
    alice = visit("alice")
    alice.goto("/")
    question(alice).fill("One\n  two")
    sign_in_by_form(alice, server, "alice")
    button(alice, "Send").click()
    expect(alice.get_by_role("heading", name="This page has expired")).to_be_visible()
    written = alice.get_by_label("What you wrote")
    expect(written).to_have_value("One\n  two")
    alice.go_back()
    send(alice, "One\n  two")
    expect(words(alice)).to_have_text("Hello world")


def test_what_needs_javascript_is_not_offered(alice: Page) -> None:
    send(alice, "Hello?")
    expect(answer(alice)).to_have_attribute("data-status", "complete")
    expect(button(alice, "Copy")).to_be_hidden()
    expect(alice.get_by_text("Enter to send")).to_be_hidden()
    expect(alice.get_by_role("group", name="Appearance")).to_be_hidden()


def test_a_temporary_chat_is_begun_kept_and_ended(alice: Page) -> None:
    for way in ("Keep", "End"):
        alice.get_by_role("link", name="temporary chat", exact=True).click()
        send(alice, "How much salt?")
        expect(answer(alice)).to_have_attribute("data-status", "complete")
        expect(alice.get_by_role("region", name="Temporary chat")).to_be_visible()
        button(alice, way).click()
        expect(alice.get_by_role("region", name="Temporary chat")).to_have_count(0)
        alice.goto("/")
    expect(alice.locator("[data-history] [data-title]")).to_have_text(["How much salt?"])
