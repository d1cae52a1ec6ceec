"""Asking, watching the reply being written, stopping it."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from chat.models import Draft
from tests.browser.conftest import KEY, Show, Visit, Watch
from tests.browser.pages import answer, ask, button, expect_end, question, several_frames, words
from tests.server import Server, Servers
from tests.upstream import Upstream, error, finish, hang, pause, reasoning, text

pytestmark = pytest.mark.chromium


# Asking


def test_enter_sends_and_shift_enter_breaks_the_line(alice: Page, upstream: Upstream) -> None:
    question(alice).press_sequentially("one")
    question(alice).press("Shift+Enter")
    question(alice).press_sequentially("two")
    question(alice).press("Enter")
    expect_end(alice, "complete")
    assert upstream.requests[-1].body["messages"] == [{"role": "user", "content": "one\ntwo"}]


def test_the_composer_grows_with_its_text(alice: Page) -> None:
    def height() -> float:
        box = question(alice).bounding_box()
        assert box
        return box["height"]

    empty = height()
    question(alice).fill("\n" * 5)
    assert height() > 2 * empty
    question(alice).fill("\n" * 500)
    assert height() < 400
    question(alice).fill("")
    assert height() == empty


def test_a_draft_survives_a_reload_and_is_gone_after_sending(alice: Page) -> None:
    question(alice).fill("A question I am still\nthinking about")
    alice.reload()
    expect(question(alice)).to_have_value("A question I am still\nthinking about")
    question(alice).press("Enter")
    expect_end(alice, "complete")
    expect(question(alice)).to_have_value("")
    alice.reload()
    expect(question(alice)).to_have_value("")
    alice.goto("/")
    expect(question(alice)).to_have_value("")


def test_a_draft_is_there_on_every_device(alice: Page, visit: Visit) -> None:
    with alice.expect_response("**/draft/"):
        question(alice).fill("Half a question")
    phone = visit("alice", viewport={"width": 390, "height": 844})
    phone.goto("/")
    expect(question(phone)).to_have_value("Half a question")


def test_a_draft_that_is_saved_while_its_page_reloads_is_not_lost(alice: Page, server: Server) -> None:
    """The server may read what the new page shows before it gets what the old one has sent."""
    with alice.expect_response("**/draft/"):
        question(alice).fill("Half a question")
        alice.evaluate("() => dispatchEvent(new Event('beforeunload'))")
    server.database.run(lambda: Draft.objects.all().delete())
    alice.reload()
    expect(question(alice)).to_have_value("Half a question")


@pytest.mark.parametrize(("stored", "tells"), [("Half", False), ("Halv a", True)])
def test_a_question_takes_its_draft_along(alice: Page, upstream: Upstream, stored: str, tells: bool) -> None:
    """The server forgets what it begins with. Of anything else the page has to tell it."""
    upstream.script(text("Hello."), finish())
    upstream.script(text("Yes."), finish())
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    with alice.expect_response("**/draft/"):
        question(alice).fill(stored)
    question(alice).fill("Half a question")
    question(alice).press("Enter")
    expect(question(alice)).to_have_value("")
    if tells:
        alice.wait_for_event("response", lambda response: response.url.endswith("/draft/"))
    assert alice.evaluate("Object.keys(sessionStorage).filter((key) => key.startsWith('draft'))") == []
    alice.reload()
    expect(question(alice)).to_have_value("")


def test_the_later_draft_counts(alice: Page, visit: Visit) -> None:
    question(alice).fill("Sent at once")
    question(alice).press("Enter")
    expect_end(alice, "complete")
    phone = visit("alice", viewport={"width": 390, "height": 844})
    phone.goto("/")
    with phone.expect_response("**/draft/"):
        question(phone).fill("Half a question")
    alice.goto("/")
    expect(question(alice)).to_have_value("Half a question")


@pytest.mark.parametrize(("unsaved", "shown"), [("Half a question", "Half a question"), ("Another", "Half")])
def test_a_tab_keeps_an_older_text_only_if_it_continues_the_servers(alice: Page, unsaved: str, shown: str) -> None:
    with alice.expect_response("**/draft/"):
        question(alice).fill("Half")
    alice.evaluate(
        """(text) => {
            const key = `draft ${document.querySelector("[data-composer]").dataset.draft}`;
            sessionStorage.setItem(key, text);
            sessionStorage.setItem(`${key} written`, "1");
        }""",
        unsaved,
    )
    alice.reload()
    expect(question(alice)).to_have_value(shown)


def test_a_blank_question_is_not_sent(alice: Page) -> None:
    asked: list[str] = []
    alice.on("request", lambda request: asked.append(f"{request.method} {urlsplit(request.url).path}"))
    question(alice).fill("  \n ")
    question(alice).press("Enter")
    several_frames(alice)
    assert {request for request in asked if request.startswith("POST")} <= {"POST /draft/"}
    expect(button(alice, "Send")).to_be_enabled()
    expect(question(alice)).to_have_value("  \n ")


def test_a_question_that_is_too_long_stays_in_the_box(alice: Page, watch: Watch) -> None:
    watch.expect("status of 422")
    question(alice).fill("x" * 25_599)
    expect(alice.locator("[data-room]")).to_be_hidden()
    question(alice).fill("😀" * 25_600)
    expect(alice.get_by_text("6,400 characters left")).to_be_visible()
    question(alice).fill("x" * 32_001)
    expect(alice.get_by_text("1 character too many")).to_be_visible()
    question(alice).press("Enter")
    expect(alice.get_by_role("alert").filter(has_text="32,001 characters. The limit is 32,000.")).to_be_visible()
    expect(question(alice)).to_have_value("x" * 32_001)
    question(alice).fill("x")
    expect(alice.locator("[data-room]")).to_be_hidden()
    expect(alice.locator("[data-composer] [role=alert]")).to_be_empty()
    expect(question(alice)).not_to_have_attribute("aria-invalid", "true")


def test_how_much_is_too_much_can_be_read_on_a_phone(alice: Page, upstream: Upstream) -> None:
    alice.set_viewport_size({"width": 390, "height": 844})
    upstream.script(text("So far"), hang())
    ask(alice, "Hello?")
    expect(button(alice, "Stop")).to_be_visible()
    question(alice).fill("x" * 33_000)
    room = alice.get_by_text("1,000 characters too many")
    expect(room).to_be_visible()
    assert room.evaluate("(room) => room.scrollWidth <= room.clientWidth")


def test_a_question_continues_its_conversation(alice: Page, upstream: Upstream) -> None:
    ask(alice, "How are you?")
    expect_end(alice, "complete")
    upstream.script(text("Still fine."), finish())
    ask(alice, "And now?")
    expect(words(alice)).to_have_text("Still fine.")
    expect_end(alice, "complete")
    texts = ["How are you?", "Hello world", "And now?", "Still fine."]
    expect(alice.locator("[data-message] [data-text]")).to_have_text(texts)
    assert [message["content"] for message in upstream.requests[-1].body["messages"]] == texts[:3]


def test_an_example_is_asked_by_a_click(alice: Page) -> None:
    alice.get_by_role("button", name="Explain how a rainbow forms").click()
    expect(words(alice)).to_have_text("Hello world")
    expect_end(alice, "complete")


@pytest.fixture
def stale(alice: Page, watch: Watch) -> Page:
    """Another tab of Alice's, which does not know of her last question."""
    watch.expect("status of 409", "ERR_FAILED")
    ask(alice, "How are you?")
    expect_end(alice, "complete")
    tab = alice.context.new_page()
    tab.route(re.compile("/events/"), lambda route: route.abort())
    tab.goto(alice.url)
    ask(alice, "And now?")
    expect_end(alice, "complete")
    return tab


def test_a_page_shows_what_it_has_missed_before_it_sends(stale: Page, upstream: Upstream) -> None:
    tab = stale
    question(tab).fill("And you?")
    question(tab).press("Enter")
    expect(tab.get_by_role("alert").filter(has_text="has changed in another window.")).to_be_visible()
    expect(tab.locator("[data-role=user] [data-text]")).to_have_text(["How are you?", "And now?"])
    expect(question(tab)).to_have_value("And you?")
    expect(question(tab)).to_be_focused()
    question(tab).press("Enter")
    expect(tab.locator("[data-role=user] [data-text]")).to_have_text(["How are you?", "And now?", "And you?"])
    expect_end(tab, "complete")
    contents = [message["content"] for message in upstream.requests[-1].body["messages"]]
    assert contents == ["How are you?", "Hello world", "And now?", "Hello world", "And you?"]


def test_a_page_says_why_it_cannot_show_what_it_has_missed(stale: Page, watch: Watch) -> None:
    watch.expect("status of 404")
    stale.route("**/transcript/**", lambda route: route.fulfill(status=404))
    question(stale).fill("And you?")
    question(stale).press("Enter")
    expect(stale.get_by_role("alert").filter(has_text="This conversation has been deleted")).to_be_visible()
    expect(question(stale)).to_have_value("And you?")


def test_the_next_question_is_written_and_sent_before_the_page_shows_the_last_one(
    alice: Page, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 503", "status of 409")
    ask(alice, "How are you?")
    expect_end(alice, "complete")
    upstream.script(text("Fine"), pause("rest"), finish())
    without_transcript(alice)
    alice.route("**/transcript/**", lambda route: route.fulfill(status=503))
    for words_sent in ("And now?", "And then?"):
        question(alice).fill(words_sent)
        question(alice).press("Enter")
        expect(question(alice)).to_have_value("")
    alice.unroute("**/transcript/**")
    expect(alice.get_by_role("region", name="Queued questions")).to_contain_text("And then?")
    upstream.release("rest")
    asked = ["How are you?", "And now?", "And then?"]
    expect(alice.locator("[data-role=user] [data-text]")).to_have_text(asked)


def without_transcript(page: Page) -> None:
    """Let the server answer to questions as if it could not send the transcript along."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        body.pop("transcript", None)
        route.fulfill(response=response, json=body)

    page.route(re.compile("/(messages|queue)/"), answer)


def test_what_comes_of_a_form_is_shown_without_another_request(alice: Page, upstream: Upstream, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    ask(alice, "How are you?")
    expect_end(alice, "complete")
    # Nor does the page hear of what has changed, upon which it would ask.
    alice.route(re.compile("/events/|/transcript/"), lambda route: route.abort())
    alice.reload()
    button(answer(alice), "Good answer").click()
    expect(button(answer(alice), "Good answer")).to_have_attribute("aria-pressed", "true")
    question(alice).fill("And now?")
    question(alice).press("Enter")
    expect(alice.locator("[data-role=user] [data-text]")).to_have_text(["How are you?", "And now?"])


def test_an_answer_that_comes_late_shows_nothing_older_than_what_is_there(alice: Page, upstream: Upstream) -> None:
    ask(alice, "How are you?")
    expect_end(alice, "complete")
    late: list[tuple[Route, APIResponse]] = []
    alice.route("**/feedback/**", lambda route: late.append((route, route.fetch())))
    button(answer(alice), "Good answer").click()
    asked = alice.locator("[data-role=user] [data-text]")
    tab = alice.context.new_page()
    tab.goto(alice.url)
    question(tab).fill("And now?")
    question(tab).press("Enter")
    expect(asked).to_have_text(["How are you?", "And now?"])
    ((route, response),) = late
    with alice.expect_response("**/feedback/**"):
        route.fulfill(response=response)
    several_frames(alice)
    assert asked.count() == 2
    assert "And now?" not in response.json()["transcript"]


def test_the_first_page_takes_90_kilobytes_and_36_requests_at_most(alice: Page) -> None:
    """Without what a page fetches ahead ("VeryLow"), or once it has loaded (by a script)."""
    wanted: set[str] = set()
    sizes: list[float] = []
    session = alice.context.new_cdp_session(alice)

    def request(event: dict[str, Any]) -> None:
        if event["request"]["initialPriority"] != "VeryLow" and event["initiator"]["type"] != "script":
            wanted.add(event["requestId"])

    def finished(event: dict[str, Any]) -> None:
        if event["requestId"] in wanted:
            sizes.append(event["encodedDataLength"])

    session.on("Network.requestWillBeSent", request)
    session.on("Network.loadingFinished", finished)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    alice.goto("/")
    alice.evaluate("document.fonts.ready")
    assert 60_000 < sum(sizes) <= 90_000
    assert 20 < len(sizes) <= 36


def test_what_only_messages_need_is_fetched_when_the_first_page_has_loaded(alice: Page) -> None:
    alice.reload()
    for script in ("messages", "copy"):
        alice.wait_for_function(f"(script) => ({LATE})().some((url) => url.includes(script))", arg=f"/js/{script}.")
    late = alice.evaluate(LATE)
    assert not any("/js/composer." in url or "markdown-it" in url for url in late)


# What a page has fetched after it had loaded.
LATE = """() => performance.getEntriesByType("resource").filter(({ startTime }) =>
    startTime >= performance.getEntriesByType("navigation")[0].loadEventStart).map(({ name }) => name)"""


def test_what_draws_a_reply_is_fetched_when_somebody_writes(show: Show) -> None:
    page = show("Hello?", "Hello!")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.reload()
    page.wait_for_load_state("networkidle")
    assert any("/messages." in url for url in fetched)
    assert not any("markdown-it" in url for url in fetched)
    with page.expect_request(re.compile("markdown-it")):
        question(page).press("H")


def test_a_page_that_cannot_fetch_its_scripts_reloads(alice: Page, upstream: Upstream, watch: Watch) -> None:
    """Some browsers do not fetch them again, and after an upgrade the server has other ones."""
    watch.expect("status of 404", "ERR_FAILED")
    upstream.script(text("One"), pause("rest"), text(" two."), finish())
    alice.route("**/js/reply.*", lambda route: route.fulfill(status=404))
    # As long as it cannot be reached, a page stays.
    alice.route("**/replies/*/", lambda route: route.abort())
    ask(alice, "Count.")
    expect(answer(alice).get_by_text("Reconnecting…")).to_be_visible()
    question(alice).fill("half a question")
    alice.unroute("**/replies/*/")
    alice.wait_for_function("() => performance.getEntriesByType('navigation')[0].type === 'reload'")
    expect(question(alice)).to_have_value("half a question")
    expect(answer(alice).get_by_text("Reconnecting…")).to_be_visible()
    # Not again and again: the next time is when a minute has passed.
    with alice.expect_navigation():
        alice.evaluate("performance.now = () => 60_001")
    expect(answer(alice).get_by_text("Reconnecting…")).to_be_visible()
    alice.unroute("**/js/reply.*")
    upstream.release("rest")
    expect(words(alice)).to_have_text("One two.")
    expect_end(alice, "complete")


def test_the_demo_model_answers_and_says_what_it_is(alice: Page, server: Server, start_server: Servers) -> None:
    demo = start_server(server.database, DEBUG="0")
    alice.goto(demo.url)
    expect(alice.get_by_text("built-in demo model")).to_be_visible()
    ask(alice, "Hello?")
    expect(words(alice)).to_contain_text("I am Parley's built-in demo model.")
    button(alice, "Stop").click()
    expect_end(alice, "stopped")


# Watching


def test_the_first_word_shows_before_the_rest_is_written(alice: Page, upstream: Upstream) -> None:
    upstream.script(pause("first"), text("First,"), pause("rest"), text(" then the rest."), finish())
    ask(alice, "Hello?")
    expect(answer(alice).get_by_text("Waiting for the model…")).to_be_visible()
    upstream.release("first")
    expect(words(alice)).to_have_text("First,")
    expect(button(alice, "Stop")).to_be_visible()
    upstream.release("rest")
    expect(words(alice)).to_have_text("First, then the rest.")
    expect_end(alice, "complete")
    expect(button(alice, "Send")).to_be_visible()


def test_reasoning_is_folded_with_its_duration_and_stays_open_once_opened(alice: Page, upstream: Upstream) -> None:
    upstream.script(reasoning("Let me see."), pause("answer"), text("Seen."), pause("end"), finish())
    ask(alice, "Hello?")
    summary, thoughts = answer(alice).locator("[data-reasoning-summary]"), answer(alice).get_by_text("Let me see.")
    expect(summary).to_have_text(re.compile(r"Thinking… [1-9]\d* s"))
    expect(thoughts).to_be_hidden()
    summary.click()
    expect(thoughts).to_be_visible()
    upstream.release("answer")
    expect(summary).to_have_text(re.compile(r"Thought for [1-9]\d* s"))
    upstream.release("end")
    expect_end(alice, "complete")
    expect(summary).to_have_text(re.compile(r"Thought for [1-9]\d* s"))
    expect(thoughts).to_be_visible()


REPLY = """\
# A heading

Some **bold** words, `code` and a [link](https://elsewhere.example).

1. one
2. two
   - three

```python
def f() -> str:
    return "<&>"
```

| a | b |
|---|--:|
| 1 | 2 |

> A quote.
"""

# Colours come from two highlighters, and each page has a CSRF token of its own.
MARKUP = """(element) => {
    const copy = element.cloneNode(true);
    for (const code of copy.querySelectorAll("pre code")) code.textContent = code.textContent;
    for (const token of copy.querySelectorAll("[name=csrfmiddlewaretoken]")) token.remove();
    return copy.outerHTML;
}"""


def test_what_was_drawn_live_is_what_the_server_renders(alice: Page, upstream: Upstream) -> None:
    upstream.script(*map(text, re.findall(r"\s*\S+", REPLY)), pause("end"), finish())
    ask(alice, "Everything, please.")
    expect(words(alice)).to_contain_text("A quote.")
    live = words(alice).evaluate(MARKUP)
    upstream.release("end")
    expect_end(alice, "complete")
    swapped = answer(alice).evaluate(MARKUP)
    assert words(alice).evaluate(MARKUP).split() == live.split()
    alice.reload()
    assert answer(alice).evaluate(MARKUP) == swapped


def test_code_and_replies_are_copied(alice: Page, upstream: Upstream) -> None:
    alice.context.grant_permissions(["clipboard-read", "clipboard-write"])
    upstream.script(text("Look:\n\n```sh\nls -l\n```\n"), finish())
    ask(alice, "Code, please.")
    expect_end(alice, "complete")
    answer(alice).locator("[data-copy]").click()
    expect(answer(alice).locator("[data-copy]")).to_have_text("Copied")
    assert alice.evaluate("navigator.clipboard.readText()") == "ls -l\n"
    answer(alice).locator("[data-copy-reply]").click()
    expect(answer(alice).locator("[data-copy-reply]")).to_have_text("Copied")
    assert alice.evaluate("navigator.clipboard.readText()") == "Look:\n\n```sh\nls -l\n```\n"


def test_two_conversations_are_written_at_once(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("one"), pause("first"), text(" more"), finish())
    upstream.script(text("two"), pause("second"), text(" more"), finish())
    ask(alice, "First?")
    expect(words(alice)).to_have_text("one")
    tab = alice.context.new_page()
    tab.goto("/")
    ask(tab, "Second?")
    expect(words(tab)).to_have_text("two")
    upstream.release("second")
    expect(words(tab)).to_have_text("two more")
    expect(words(alice)).to_have_text("one")
    upstream.release("first")
    expect(words(alice)).to_have_text("one more")


# Stopping


def test_stop_closes_the_connection_and_the_text_never_grows(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), pause("more"), text(" and further"), hang())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    button(alice, "Stop").click()
    upstream.next_request().wait_closed()
    expect_end(alice, "stopped")
    expect(answer(alice).get_by_text("Stopped.")).to_be_visible()
    upstream.release("more")
    alice.reload()
    expect(words(alice)).to_have_text("So far")
    expect(button(alice, "Try again")).to_be_visible()
    expect(button(alice, "Send")).to_be_visible()


def test_stop_before_the_first_word(alice: Page, upstream: Upstream) -> None:
    upstream.script(hang())
    ask(alice, "Hello?")
    request = upstream.next_request()
    button(alice, "Stop").click()
    request.wait_closed()
    expect_end(alice, "stopped")
    expect(words(alice)).to_be_empty()


def test_stop_in_one_tab_shows_in_the_other(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), hang())
    ask(alice, "Hello?")
    tab = alice.context.new_page()
    tab.goto(alice.url)
    expect(words(tab)).to_have_text("So far")
    button(tab, "Stop").click()
    expect_end(alice, "stopped")
    expect_end(tab, "stopped")
    expect(button(alice, "Send")).to_be_visible()


# Trying again


def test_a_failed_reply_says_why_and_can_be_retried(alice: Page, upstream: Upstream) -> None:
    upstream.script(*error(401, {"error": {"message": f"Incorrect API key {KEY} at {upstream.url}"}}))
    ask(alice, "Hello?")
    expect_end(alice, "failed")
    expect(answer(alice).get_by_text("No reply.")).to_be_visible()
    for secret in (KEY, upstream.url, str(upstream.port)):
        assert secret not in alice.content()
    button(alice, "Try again").click()
    expect(words(alice)).to_have_text("Hello world")
    expect_end(alice, "complete")


def test_a_second_answer_appears_next_to_the_first(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("First try"), hang())
    upstream.script(text("Second try"), finish())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("First try")
    button(alice, "Stop").click()
    button(alice, "Try again").click()
    expect(words(alice)).to_have_text("Second try")
    expect_end(alice, "complete")
    expect(answer(alice)).to_contain_text("2/2")
    button(alice, "Show the previous answer").click()
    expect(words(alice)).to_have_text("First try")
    expect(answer(alice)).to_contain_text("1/2")
    button(alice, "Show the next answer").click()
    expect(words(alice)).to_have_text("Second try")
