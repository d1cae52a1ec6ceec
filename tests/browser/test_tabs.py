"""Several tabs and devices: what is done in one shows in the others, and each needs one connection."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from chat import titling
from chat.models import Conversation
from tests.browser.axe import expect_accessible
from tests.browser.conftest import KEY, Visit, Watch
from tests.browser.pages import answer, ask, button, choose, expect_end, hide, question, store, top_at_rest, words
from tests.browser.test_editing import edit, edited
from tests.browser.test_history import entries, remember
from tests.server import Server, Servers
from tests.upstream import Upstream, finish, hang, pause, text

pytestmark = pytest.mark.chromium

# Lets the page tell which event streams it has open.
COUNT = """
    window.streams = new Set();
    window.EventSource = class extends EventSource {
        constructor(url) {
            super(url);
            window.streams.add(this);
        }
        close() {
            super.close();
            window.streams.delete(this);
        }
    };
"""


def questions(page: Page) -> Locator:
    return page.locator("[data-messages] [data-role=user] [data-text]")


@pytest.fixture
def tab(alice: Page, server: Server) -> Page:
    """Another tab with the conversation that Alice has begun."""
    alice.goto(store(server, "First", "Hello world"))
    tab = alice.context.new_page()
    tab.goto(alice.url)
    tab.wait_for_load_state()
    return tab


def test_a_question_and_its_answer_show_in_the_other_tab(alice: Page, tab: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two"), finish())
    ask(alice, "Second")
    expect(questions(tab)).to_have_text(["First", "Second"])
    expect(words(tab)).to_have_text("One")
    upstream.release("rest")
    expect(words(tab)).to_have_text("One two")
    expect_end(tab, "complete")


def test_a_title_by_a_model_shows_in_all_places(alice: Page, tab: Page, server: Server) -> None:
    conversation = tab.url.split("/")[-2]
    question(tab).fill("half a question")
    search = alice.context.new_page()
    search.goto("/search/")
    search.wait_for_load_state()

    def give() -> None:
        titling.store(Conversation.objects.get(pk=conversation), "A <b>title</b>")

    server.database.run(give)
    for page in (alice, tab):
        expect(page).to_have_title("A <b>title</b> · Parley")
        expect(page.get_by_role("heading", level=1)).to_have_text("A <b>title</b>")
        expect(page.locator(".topbar__title")).to_have_text("A <b>title</b>")
        expect(entries(page)).to_have_text(["A <b>title</b>"])
    expect(entries(search)).to_have_text(["A <b>title</b>"])
    expect(question(tab)).to_have_value("half a question")


def test_instructions_show_in_the_other_tab(alice: Page, tab: Page, watch: Watch) -> None:
    watch.expect("422")
    """They are set in a dialog, so that nobody leaves the place they are reading."""
    question(tab).fill("half a question")
    question(alice).fill("another half")
    link = alice.get_by_role("link", name="Instructions")
    dialog = alice.get_by_role("dialog")
    link.click()
    dialog.get_by_text("Cancel").click()
    expect(dialog).to_be_hidden()
    link.press("Enter")
    expect(dialog.get_by_label("Instructions", exact=True)).to_be_focused()
    expect_accessible(alice)
    alice.keyboard.type("In verse.")
    temperature = dialog.get_by_label("Temperature")
    temperature.fill("3")
    button(dialog, "Save").click()
    expect(dialog.get_by_text("Enter a number from 0 to 2, or nothing.")).to_be_visible()
    expect(temperature).to_be_focused()
    expect_accessible(alice)
    temperature.fill("0.5")
    temperature.press("Enter")
    expect(dialog).to_be_hidden()
    for page in (alice, tab):
        expect(page.locator("[data-applied]")).to_have_text("Instructions for this conversation · temperature 0.5")
    expect(question(tab)).to_have_value("half a question")
    expect(question(alice)).to_have_value("another half")
    expect(alice.locator("[data-applied] a")).to_be_focused()


def test_another_process_tells_what_has_changed(
    alice: Page, tab: Page, server: Server, start_server: Servers, upstream: Upstream
) -> None:
    other = start_server(
        server.database, DEBUG="0", OPENAI_BASE_URL=upstream.url, OPENAI_API_KEY=KEY, OPENAI_MODEL="scripted"
    )
    tab.goto(tab.url.replace(server.url, other.url))
    tab.wait_for_load_state()
    ask(alice, "Second")
    expect(questions(tab)).to_have_text(["First", "Second"])
    expect_end(tab, "complete")
    ask(tab, "Third")
    expect(questions(alice)).to_have_text(["First", "Second", "Third"])
    expect_end(alice, "complete")


def test_a_switch_of_branch_shows_in_the_other_tab(alice: Page, tab: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), hang())
    ask(alice, "Second")
    expect(words(alice)).to_have_text("So far")
    button(alice, "Stop").click()
    expect_end(alice, "stopped")
    button(answer(alice), "Try again").click()
    expect(words(tab)).to_have_text("Hello world")
    expect_end(tab, "complete")
    answer(alice).get_by_role("button", name="Show the previous answer").click()
    expect(words(tab)).to_have_text("So far")


def test_what_is_written_about_a_question_is_kept_when_another_takes_its_place(alice: Page, tab: Page) -> None:
    edit(tab)
    edited(tab).fill("My wording")
    edit(alice)
    edited(alice).fill("Another wording")
    edited(alice).press("Enter")
    expect(questions(tab)).to_have_text(["Another wording"])
    expect(question(tab)).to_have_value("My wording")
    expect(tab.get_by_role("alert").filter(has_text="The question that you edited is no longer")).to_be_visible()
    expect(question(alice)).to_have_value("")
    button(tab, "Show the previous question").click()
    expect(questions(tab)).to_have_text(["First"])
    edit(tab)
    expect(edited(tab)).to_have_value("First")


def test_a_reader_of_an_earlier_message_keeps_their_place(alice: Page, tab: Page, upstream: Upstream) -> None:
    upstream.script(text("A line.\n\n" * 100), finish())
    ask(alice, "Second")
    expect_end(tab, "complete")
    line = tab.get_by_text("A line.").nth(50)
    line.scroll_into_view_if_needed()
    tab.mouse.wheel(0, -200)
    before = top_at_rest(line)
    ask(alice, "Third")
    expect(questions(tab)).to_have_text(["First", "Second", "Third"])
    expect_end(tab, "complete")
    assert abs(top_at_rest(line) - before) < 2


def test_a_deletion_is_told_and_the_draft_stays(alice: Page, tab: Page, watch: Watch) -> None:
    # Of what is typed afterwards.
    watch.expect("status of 404")
    question(tab).fill("My long text")
    choose(alice, "Delete", "First")
    expect(alice.locator("[data-deleted-notice]")).to_contain_text("“First” is in the trash.")
    gone = tab.get_by_role("alert").filter(has_text="This conversation has been deleted")
    expect(gone).to_be_visible()
    expect(question(tab)).to_have_value("My long text")
    expect(entries(tab)).to_have_count(0)
    button(alice, "Undo").click()
    expect(gone).to_be_hidden()
    expect(entries(tab)).to_have_text(["First"])
    expect(question(tab)).to_have_value("My long text")
    question(tab).press("Enter")
    expect(questions(tab)).to_have_text(["First", "My long text"])


def test_a_question_to_a_deleted_conversation_starts_a_new_one(alice: Page, tab: Page, watch: Watch) -> None:
    watch.expect("status of 404")
    choose(alice, "Delete", "First")
    expect(tab.get_by_role("alert").filter(has_text="What you send now starts a new one.")).to_be_visible()
    ask(tab, "My question")
    expect(questions(tab)).to_have_text(["My question"])
    expect(entries(tab)).to_have_text(["My question"])


def test_a_reply_whose_conversation_is_deleted_does_not_look_stopped(
    alice: Page, tab: Page, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 404")
    upstream.script(text("So far"), hang())
    ask(alice, "Second")
    expect(words(tab)).to_have_text("So far")
    tab.evaluate("""() => {
        const announcer = document.querySelector("[data-announcer]");
        const note = () => { window.announced = announcer.textContent; };
        new MutationObserver(note).observe(announcer, { childList: true });
    }""")
    choose(alice, "Delete", "First")
    expect(answer(tab).get_by_text("This conversation has been deleted")).to_be_visible()
    assert "stopped" not in tab.evaluate("window.announced")


def test_new_and_deleted_conversations_show_in_the_other_sidebar(alice: Page, tab: Page) -> None:
    tab.goto("/")
    expect(entries(tab)).to_have_text(["First"])
    alice.goto("/")
    ask(alice, "Another one")
    expect(entries(tab)).to_have_text(["Another one", "First"])
    expect_end(alice, "complete")
    alice.goto("/")
    choose(alice, "Delete", "First")
    expect(entries(tab)).to_have_text(["Another one"])
    button(alice, "Undo").press("Enter")
    expect(entries(tab)).to_have_text(["Another one", "First"])


def test_the_sidebar_keeps_its_place_and_its_focus(alice: Page, server: Server, visit: Visit) -> None:
    remember(server, "alice", *(f"Number {number}" for number in range(100)), days=100)
    alice.reload()
    history = alice.get_by_role("navigation", name="History")
    link = history.get_by_role("link", name="Number 60", exact=True)
    while not link.is_visible():
        history.evaluate("(list) => list.scrollTo(0, list.scrollHeight)")
        alice.wait_for_timeout(20)
    link.focus()
    before = top_at_rest(link)
    tab = alice.context.new_page()
    tab.goto("/")
    ask(tab, "The newest")
    expect(entries(alice).first).to_have_text("The newest")
    expect(link).to_be_focused()
    assert abs(top_at_rest(link) - before) < 2


def test_a_page_has_one_stream_for_all_of_its_replies(visit: Visit, upstream: Upstream) -> None:
    page = visit("alice")
    page.add_init_script(COUNT)
    page.goto("/")
    upstream.script(text("One"), pause("rest"), text(" two"), finish())
    ask(page, "First")
    expect(words(page)).to_have_text("One")
    assert page.evaluate("window.streams.size") == 1
    upstream.release("rest")
    expect_end(page, "complete")
    assert page.evaluate("window.streams.size") == 1


def test_hidden_tabs_leave_connections_to_the_one_in_front(alice: Page, upstream: Upstream) -> None:
    """A browser opens six connections to a server over HTTP/1.1."""
    tabs = []
    for number in range(7):
        upstream.script(text(f"Number {number}"), hang())
        page = alice.context.new_page()
        page.goto("/")
        ask(page, "Count.")
        expect(words(page)).to_have_text(f"Number {number}")
        hide(page, is_hidden=True)
        tabs.append(page)
    for number in (0, 3, 6):
        front = tabs[number]
        hide(front, is_hidden=False)
        expect(words(front)).to_have_text(f"Number {number}")
        button(front, "Stop").click()
        expect_end(front, "stopped")
        hide(front, is_hidden=True)


def test_a_hidden_tab_looks_whether_its_reply_has_ended(clocked: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two."), finish())
    ask(clocked, "Count.")
    expect(words(clocked)).to_have_text("One")
    clocked.clock.install()
    hide(clocked, is_hidden=True)
    with clocked.expect_event("requestfailed", lambda request: "/events/" in request.url):
        clocked.clock.fast_forward(6_000)
    upstream.release("rest")
    with clocked.expect_request(lambda request: "/events/" in request.url):
        clocked.clock.fast_forward(21_000)
    expect(words(clocked)).to_have_text("One two.")
    expect_end(clocked, "complete")


def test_an_idle_page_says_that_its_session_has_ended(alice: Page, tab: Page, watch: Watch) -> None:
    watch.expect("status of 401", "ERR_INTERNET_DISCONNECTED")
    button(alice, "alice").click()
    button(alice, "Sign out").click()
    expect(alice).to_have_url(re.compile("/accounts/login/"))
    # The server looks at the session with each sign of life; a page that reconnects finds out at once.
    tab.context.set_offline(True)
    tab.context.set_offline(False)
    expect(tab.get_by_role("alert").filter(has_text="You've been signed out.")).to_be_visible()
