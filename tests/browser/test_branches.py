"""Other answers and other questions: switching between them, in place."""

import pytest
from playwright.sync_api import Locator, Page, expect

from chat import asking
from chat.models import Conversation, Reply, User
from tests.browser.conftest import Visit
from tests.browser.pages import answer, ask, button, expect_end, question, words
from tests.endings import end
from tests.server import Server
from tests.upstream import Upstream, cut, finish, pause, text

pytestmark = pytest.mark.chromium

LONG = "A paragraph that fills a line or two of the page, so that few answers fit into the window.\n\n" * 4


def has_two_first_answers(server: Server, exchanges: int) -> Conversation:
    """Alice's conversation: a question with two answers; after the first one, on screen, come many more exchanges."""

    def store() -> Conversation:
        first = asking.begin(User.objects.get(username="alice"), "Question 0", "scripted")
        end(first, f"First answer. {LONG}")
        conversation = first.message.conversation
        end(asking.retry(first, "scripted"), f"Second answer. {LONG}")
        conversation.show(first.message)
        for number in range(1, exchanges):
            end(asking.ask(conversation, f"Question {number}", "scripted"), f"Answer {number}. {LONG}")
        return conversation

    return server.database.run(store)


def top(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["y"]


def test_another_answer_is_shown_where_the_first_one_was(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    alice.goto(has_two_first_answers(server, 7).get_absolute_url())
    alice.evaluate("window.isSamePage = true")
    first = alice.locator("[data-role=assistant]").first
    first.evaluate("message => scrollTo(0, message.offsetTop - 200)")
    before = top(first)
    for name, shown in [("next", "Second answer."), ("previous", "First answer."), ("next", "Second answer.")]:
        button(alice, f"Show the {name} answer").click()
        expect(first).to_contain_text(shown)
        expect(alice.locator("[data-announcer]")).to_have_text(f"Answer {2 if name == 'next' else 1} of 2.")
        assert top(first) == pytest.approx(before, abs=1)
        expect(alice.locator("[data-role=user]").first).to_be_in_viewport()
    expect(alice.locator("[data-message]")).to_have_count(2)
    assert alice.evaluate("window.isSamePage")
    alice.reload()
    expect(words(alice)).to_contain_text("Second answer.")


def test_the_end_of_a_tall_answer_gives_way_to_the_end_of_another(visit: Visit, server: Server) -> None:
    alice = visit("alice")

    def lengthen() -> None:
        for reply in Reply.objects.select_related("message"):
            reply.message.text += LONG * 20
            reply.message.save()

    conversation = has_two_first_answers(server, 2)
    server.database.run(lengthen)
    alice.goto(conversation.get_absolute_url())
    button(alice, "Show the next answer").scroll_into_view_if_needed()
    before = top(button(alice, "Show the next answer"))
    button(alice, "Show the next answer").click()
    expect(alice.locator("[data-role=assistant]").first).to_contain_text("Second answer.")
    assert top(button(alice, "Show the previous answer")) == pytest.approx(before, abs=1)


def test_the_focus_stays_on_the_control_between_answers(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    alice.goto(has_two_first_answers(server, 2).get_absolute_url())
    button(alice, "Show the next answer").press("Enter")
    expect(words(alice)).to_contain_text("Second answer.")
    expect(button(alice, "Show the previous answer")).to_be_focused()
    alice.keyboard.press("Enter")
    expect(button(alice, "Show the next answer")).to_be_focused()


def test_typing_goes_on_after_continue(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), cut())
    ask(alice, "Hello?")
    expect_end(alice, "interrupted")
    alice.evaluate("window.isSamePage = true")
    upstream.script(pause("rest"), text("So far and on."), finish())
    button(alice, "Continue").click()
    expect(answer(alice)).to_have_attribute("data-phase", "writing")
    expect(question(alice)).to_be_focused()
    alice.keyboard.type("And then")
    expect(question(alice)).to_have_value("And then")
    upstream.release("rest")
    expect_end(alice, "complete")
    assert alice.evaluate("window.isSamePage")


def test_messages_that_stay_are_not_touched(visit: Visit, server: Server, upstream: Upstream) -> None:
    alice = visit("alice")
    alice.goto(has_two_first_answers(server, 2).get_absolute_url())
    asked = alice.locator("[data-role=user]").first
    asked.evaluate("message => { message.isSame = true; getSelection().selectAllChildren(message) }")
    button(alice, "Show the next answer").click()
    expect(words(alice)).to_contain_text("Second answer.")
    assert "Question 0" in alice.evaluate("String(getSelection())")
    ask(alice, "And?")
    expect_end(alice, "complete")
    assert asked.evaluate("message => message.isSame")


def test_a_deep_branch_is_shown_without_leaving_its_fork(server: Server, visit: Visit) -> None:
    """The fork is more messages above the end than a page shows."""
    alice = visit("alice")
    conversation = has_two_first_answers(server, 60)
    alice.goto(f"{conversation.get_absolute_url()}?last=500#main")
    first = alice.locator("[data-role=assistant]").first
    first.scroll_into_view_if_needed()
    button(alice, "Show the next answer").click()
    expect(first).to_contain_text("Second answer.")
    before = top(first)
    button(alice, "Show the previous answer").click()
    expect(first).to_contain_text("First answer.")
    expect(alice.locator("[data-message]")).to_have_count(120)
    assert top(first) == pytest.approx(before, abs=1)

    without_scripts = visit("alice", java_script_enabled=False)
    without_scripts.goto(f"{conversation.get_absolute_url()}?last=500")
    first = without_scripts.locator("[data-role=assistant]").first
    for name, shown in [("next", "Second answer."), ("previous", "First answer.")]:
        button(without_scripts, f"Show the {name} answer").click()
        expect(first).to_contain_text(shown)
        expect(first).to_be_in_viewport()


def test_earlier_messages_appear_above_the_first_one(visit: Visit, server: Server) -> None:
    page = visit("alice", java_script_enabled=False)
    page.goto(has_two_first_answers(server, 100).get_absolute_url())
    first = page.locator("[data-message]").first
    for _ in range(2):
        asked = first.locator("[data-text]").inner_text()
        page.get_by_role("link", name="Earlier messages").click()
        expect(first).not_to_contain_text(asked)
        expect(page.get_by_text(asked, exact=True)).to_be_in_viewport()


def test_the_page_does_not_say_jump_to_latest_where_all_is_in_view(alice: Page, upstream: Upstream) -> None:
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    expect(alice.locator("[data-to-end]")).to_be_hidden()
    alice.goto(f"{alice.url}#{answer(alice).get_attribute('id')}")
    alice.reload()
    expect(answer(alice)).to_be_visible()
    expect(alice.locator("[data-to-end]")).to_be_hidden()
    expect(question(alice)).to_be_visible()
