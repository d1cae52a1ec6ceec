"""What a reader has seen is never lost: reloads, other tabs, broken networks, killed servers."""

import re
from collections.abc import Iterator
from functools import partial

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, Request, Route, expect

from chat.models import Message, User
from tests.browser.conftest import Visit, Watch
from tests.browser.pages import answer, ask, button, expect_end, hide, question, store, words
from tests.faults.proxy import Proxy
from tests.server import Server
from tests.upstream import Step, Upstream, cut, finish, hang, pause, reasoning, text

pytestmark = pytest.mark.chromium

# A killed server takes a moment to start, a lost reply another until its lease has run out.
RECOVERY_MS = 60_000

# What Chromium has to say of connections that break off or cannot be made.
CUT = [
    "ERR_HTTP2_PROTOCOL_ERROR",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_EMPTY_RESPONSE",
    "ERR_CONNECTION",
    # It was killed between the connection and the request.
    "ERR_SOCKET_NOT_CONNECTED",
]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def remote(visit: Visit, proxy: Proxy, upstream: Upstream) -> Page:
    """Alice's browser, behind the proxy."""
    page = visit("alice", base_url=proxy.url)
    page.goto("/")
    return page


def ask_and_follow(page: Page, upstream: Upstream, *rest: Step) -> None:
    """Ask, and wait for two words; the rest comes when it is released.

    The page may have come with the first word. The second one shows that it has its scripts and follows its stream.
    """
    upstream.script(text("One"), pause("two"), text(" two"), pause("rest"), *rest)
    ask(page, "Count.")
    expect(words(page)).to_have_text("One")
    upstream.release("two")
    expect(words(page)).to_have_text("One two")


# Reloads and tabs


def test_a_reload_in_the_middle_loses_nothing_and_doubles_nothing(alice: Page, upstream: Upstream) -> None:
    upstream.script(reasoning("Hm."), text("One two"), pause("rest"), text(" three"), text(" four."), finish())
    ask(alice, "Count.")
    expect(words(alice)).to_have_text("One two")
    alice.reload()
    expect(words(alice)).to_have_text("One two")
    expect(answer(alice)).to_have_attribute("data-status", "streaming")
    upstream.release("rest")
    expect(words(alice)).to_have_text("One two three four.")
    expect_end(alice, "complete")
    expect(answer(alice).locator("[data-reasoning-text]")).to_have_text("Hm.")


def test_reloads_while_words_rush_in_lose_nothing_and_double_nothing(alice: Page, upstream: Upstream) -> None:
    counted = [f"{number} " for number in range(1, 2001)]
    steps = [step for number, word in enumerate(counted) for step in (text(word), pause(f"{number // 500}"))]
    upstream.script(*steps, finish())
    ask(alice, "Count to 2000.")
    for part in range(4):
        upstream.release(f"{part}")
        alice.reload()
    expect_end(alice, "complete")
    expect(words(alice)).to_have_text("".join(counted))


def test_a_second_tab_sees_the_same(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two."), finish())
    ask(alice, "Count.")
    expect(words(alice)).to_have_text("One")
    tab = alice.context.new_page()
    tab.goto(alice.url)
    expect(words(tab)).to_have_text("One")
    upstream.release("rest")
    for page in (alice, tab):
        expect(words(page)).to_have_text("One two.")
        expect_end(page, "complete")


def test_a_reply_continues_when_its_tab_is_closed(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two."), finish())
    ask(alice, "Count.")
    expect(words(alice)).to_have_text("One")
    context, url = alice.context, alice.url
    alice.close()
    upstream.release("rest")
    tab = context.new_page()
    tab.goto(url)
    expect(words(tab)).to_have_text("One two.")
    expect_end(tab, "complete")


def test_a_hidden_tab_disconnects_and_catches_up_when_shown(clocked: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two."), finish())
    ask(clocked, "Count.")
    expect(words(clocked)).to_have_text("One")
    clocked.clock.install()
    hide(clocked, is_hidden=True)
    with clocked.expect_event("requestfailed", lambda request: "/events/" in request.url):
        clocked.clock.fast_forward(31_000)
    upstream.release("rest")
    expect(words(clocked)).to_have_text("One")
    hide(clocked, is_hidden=False)
    expect(words(clocked)).to_have_text("One two.")
    expect_end(clocked, "complete")


# The network


def test_a_cut_connection_is_taken_up_where_it_was_cut(
    remote: Page, proxy: Proxy, upstream: Upstream, watch: Watch
) -> None:
    watch.expect(*CUT)
    ask_and_follow(remote, upstream, text(" three."), finish())
    with remote.expect_request(lambda request: is_stream_from(request, after=2)):
        proxy.cut()
    upstream.release("rest")
    expect(words(remote)).to_have_text("One two three.")
    expect_end(remote, "complete")


def test_a_connection_that_keeps_breaking_delivers_the_whole_reply(
    remote: Page, proxy: Proxy, upstream: Upstream, watch: Watch
) -> None:
    watch.expect(*CUT)
    counted = [f"{number} " for number in range(2000)]
    upstream.script(text("Now: "), pause("zero"), text(counted[0]), pause("rest"), *map(text, counted[1:]), finish())
    ask(remote, "Count.")
    expect(words(remote)).to_have_text("Now:")
    # The page may have come with the first word; the second one shows that it has all its scripts.
    upstream.release("zero")
    expect(words(remote)).to_have_text("Now: 0")
    # Less than the head of a stream and the rest of the reply together.
    proxy.impair(latency=0.1, limit=1200)
    upstream.release("rest")
    for _ in range(2):
        with remote.expect_event("requestfailed", lambda request: "/events/" in request.url):
            pass
    proxy.impair(latency=0.1)
    expect(words(remote)).to_have_text("Now: " + "".join(counted))
    expect_end(remote, "complete")


def is_stream_from(request: Request, after: int) -> bool:
    return "/events/?" in request.url and request.url.endswith(f"%3A{after}")


def test_a_reply_continues_by_itself_after_502s(remote: Page, proxy: Proxy, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 502", *CUT)
    ask_and_follow(remote, upstream, text(" three."), finish())
    proxy.break_down()
    expect(answer(remote).get_by_text("Reconnecting…")).to_be_visible()
    expect(words(remote)).to_have_text("One two")
    upstream.release("rest")
    proxy.mend()
    expect(words(remote)).to_have_text("One two three.")
    expect(answer(remote).get_by_text("Reconnecting…")).to_have_count(0)
    expect_end(remote, "complete")


def test_a_reply_that_ended_offline_shows_when_online_again(
    remote: Page, alice: Page, proxy: Proxy, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 502", *CUT)
    ask_and_follow(remote, upstream, text(" three."), finish())
    proxy.break_down()
    expect(answer(remote).get_by_text("Reconnecting…")).to_be_visible()
    upstream.release("rest")
    alice.goto(remote.url.replace(proxy.url, ""))
    expect_end(alice, "complete")
    proxy.mend()
    expect(words(remote)).to_have_text("One two three.")
    expect_end(remote, "complete")


def test_a_reply_shows_a_lost_network_and_continues_afterwards(alice: Page, upstream: Upstream, watch: Watch) -> None:
    watch.expect("ERR_INTERNET_DISCONNECTED", *CUT)
    ask_and_follow(alice, upstream, text(" three."), finish())
    alice.context.set_offline(True)
    expect(answer(alice).get_by_text("Reconnecting…")).to_be_visible()
    upstream.release("rest")
    expect(words(alice)).to_have_text("One two")
    alice.context.set_offline(False)
    expect(words(alice)).to_have_text("One two three.")
    expect_end(alice, "complete")


def test_a_connection_that_died_while_the_laptop_slept_is_noticed(
    remote: Page, proxy: Proxy, upstream: Upstream, watch: Watch
) -> None:
    watch.expect(*CUT)
    pieces = [step for number in range(4) for step in (pause(f"{number}"), text(f"{number} "))]
    upstream.script(*pieces, finish())
    ask(remote, "Count.")
    upstream.release("0")
    upstream.release("1")
    expect(words(remote)).to_have_text("0 1")
    remote.clock.install()
    # Browsers keep connections for later. After a cut the one of the stream is the only one.
    with remote.expect_request(lambda request: "/events/" in request.url):
        proxy.cut()
        remote.clock.fast_forward(1000)
    upstream.release("2")
    expect(words(remote)).to_have_text("0 1 2")
    # Now it is dead and does not say so.
    proxy.impair(black_hole=True)
    proxy.impair(only_new=True)
    upstream.release("3")
    expect(words(remote)).to_have_text("0 1 2")
    remote.clock.fast_forward(46_000)
    expect(words(remote)).to_have_text("0 1 2 3")
    expect_end(remote, "complete")


def test_a_question_that_cannot_be_sent_stays_in_the_box(remote: Page, proxy: Proxy, watch: Watch) -> None:
    watch.expect("status of 502", *CUT)
    proxy.break_down()
    question(remote).fill("Is anybody there?")
    question(remote).press("Enter")
    expect(remote.get_by_role("alert").filter(has_text="The server can't be reached.")).to_be_visible()
    expect(question(remote)).to_have_value("Is anybody there?")
    proxy.mend()
    question(remote).press("Enter")
    expect(words(remote)).to_have_text("Hello world")
    expect_end(remote, "complete")


def test_an_editor_that_cannot_be_opened_says_so(alice: Page, server: Server, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    alice.goto(store(server, "First", "Hello"))
    alice.route("**/edit/", lambda route: route.abort())
    asked = alice.locator("[data-role=user]")
    asked.hover()
    asked.get_by_role("link", name="Edit").click()
    expect(asked.get_by_role("alert")).to_have_text("The server can't be reached. Try again in a moment.")
    alice.unroute("**/edit/")
    asked.get_by_role("link", name="Edit").click()
    expect(asked.get_by_label("New wording")).to_have_value("First")
    expect(asked.get_by_text("can't be reached")).to_have_count(0)


def test_continue_completes_a_cut_reply_in_the_same_message(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), cut())
    upstream.script(text(" two"), pause("rest"), text(" three."), finish())
    ask(alice, "Count.")
    expect(answer(alice).get_by_text("Interrupted.")).to_be_visible()
    button(alice, "Continue").click()
    expect(words(alice)).to_have_text("One two")
    upstream.release("rest")
    expect(words(alice)).to_have_text("One two three.")
    expect_end(alice, "complete")
    expect(alice.locator("[data-role=assistant]")).to_have_count(1)


def test_a_reply_that_was_continued_elsewhere_at_its_end_is_followed(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("cut"), cut())
    upstream.script(text(" two"), pause("rest"), text(" three."), pause("end"), finish())
    ask(alice, "Count.")
    expect(words(alice)).to_have_text("One")
    tab = alice.context.new_page()
    tab.goto(alice.url)
    tab.wait_for_load_state()
    held: list[Route] = []
    held_back = re.compile("/replies/[^/]+/$|/transcript/")
    alice.route(held_back, lambda route: held.append(route) if len(held) < 2 else route.continue_())
    with alice.expect_request("**/transcript/**"):
        with alice.expect_request("**/replies/*/"):
            upstream.release("cut")
        button(tab, "Continue").click()
    expect(words(tab)).to_have_text("One two")
    # First what the reply has become, and then what has changed.
    held[0].continue_()
    expect(words(alice)).to_have_text("One two")
    held[1].continue_()
    upstream.release("rest")
    expect(words(alice)).to_have_text("One two three.")
    upstream.release("end")
    expect_end(alice, "complete")


# Half-written words. An input method, for Japanese for example, uses Enter to end a word.

# Press Enter as browsers report it, and return whether the page has left it alone.
ENTER = """(field, member) => field.dispatchEvent(new KeyboardEvent("keydown", {
    key: "Enter", bubbles: true, cancelable: true, ...member
}))"""
ENDS = pytest.mark.parametrize("end", [{"isComposing": True}, {"keyCode": 229}], ids=["most browsers", "Safari"])


@ENDS
def test_the_end_of_a_word_sends_no_question(alice: Page, upstream: Upstream, end: dict[str, bool | int]) -> None:
    question(alice).fill("にほ")
    assert question(alice).evaluate(ENTER, end)
    question(alice).fill("日本")
    assert not question(alice).evaluate(ENTER, {})
    expect(alice.locator("[data-role=user] [data-text]")).to_have_text("日本")


@ENDS
def test_the_end_of_a_word_chooses_nothing_in_the_palette(alice: Page, end: dict[str, bool | int]) -> None:
    alice.keyboard.press("Control+k")
    field = alice.get_by_role("combobox", name="Words to search for, or a command")
    field.fill("Settings")
    assert field.evaluate(ENTER, end)
    expect(field).to_be_focused()
    assert not field.evaluate(ENTER, {})
    expect(alice).to_have_url(re.compile("/settings/$"))


# The session


def sign_in(page: Page, server: Server, proxy: Proxy, username: str = "alice") -> None:
    """Sign a person in, in another tab so to speak: the page does not notice."""
    page.context.add_cookies([{"name": "sessionid", "value": server.session_cookie(username), "url": proxy.url}])


def test_signing_in_again_brings_back_a_running_reply(
    visit: Visit, server: Server, proxy: Proxy, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 401", *CUT)
    server.database.run(lambda: User.objects.create_user("alice", password="a good password"))
    remote = visit("alice", base_url=proxy.url)
    remote.goto("/")
    ask_and_follow(remote, upstream, text(" three."), finish())
    server.database.run(Session.objects.all().delete)
    proxy.cut()
    expect(answer(remote).get_by_text("You've been signed out.")).to_be_visible()
    expect(words(remote)).to_have_text("One two")
    upstream.release("rest")
    remote.get_by_role("link", name="Sign in to continue.").click()
    remote.get_by_label("Username").fill("alice")
    remote.get_by_label("Password").fill("a good password")
    button(remote, "Sign in").click()
    expect(words(remote)).to_have_text("One two three.")
    expect_end(remote, "complete")


@pytest.mark.parametrize("event", ["focus", "visibilitychange"])
def test_signing_in_elsewhere_brings_back_a_running_reply(
    visit: Visit, server: Server, proxy: Proxy, upstream: Upstream, watch: Watch, event: str
) -> None:
    watch.expect("status of 401", *CUT)
    remote = visit("alice", base_url=proxy.url)
    remote.goto("/")
    ask_and_follow(remote, upstream, text(" three."), pause("end"), finish())
    server.database.run(Session.objects.all().delete)
    proxy.cut()
    expect(answer(remote).get_by_text("You've been signed out.")).to_be_visible()
    sign_in(remote, server, proxy)
    remote.evaluate("(name) => { dispatchEvent(new Event(name)); document.dispatchEvent(new Event(name)); }", event)
    upstream.release("rest")
    expect(words(remote)).to_have_text("One two three.")
    expect(answer(remote).get_by_text("You've been signed out.")).to_have_count(0)
    expect(button(remote, "Stop")).to_be_visible()
    upstream.release("end")
    expect_end(remote, "complete")


def test_a_page_that_was_signed_out_follows_what_is_asked_on_it(
    remote: Page, server: Server, proxy: Proxy, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 401", *CUT)
    ask(remote, "Hello?")
    expect_end(remote, "complete")
    server.database.run(Session.objects.all().delete)
    proxy.cut()
    expect(remote.get_by_role("alert").filter(has_text="You've been signed out.")).to_be_visible()
    sign_in(remote, server, proxy)
    upstream.script(text("One"), pause("rest"), text(" two."), finish())
    ask(remote, "Count.")
    expect(words(remote)).to_have_text("One")
    upstream.release("rest")
    # A page that sleeps looks again after twenty seconds.
    expect(words(remote)).to_have_text("One two.", timeout=15_000)


def test_a_page_says_that_its_conversation_may_be_somebody_elses(
    remote: Page, server: Server, proxy: Proxy, watch: Watch
) -> None:
    watch.expect(*CUT)
    # A stream that the proxy has not seen yet would outlive the cut, as Alice's.
    with remote.expect_response(re.compile(r"\?conversation=")):
        ask(remote, "Hello?")
    expect_end(remote, "complete")
    sign_in(remote, server, proxy, "bob")
    proxy.cut()
    expect(remote.get_by_role("alert").filter(has_text="or belongs to another account.")).to_be_visible()
    expect(words(remote)).to_have_text("Hello world")


def test_a_question_survives_being_signed_out(alice: Page, server: Server, watch: Watch) -> None:
    watch.expect("status of 401")
    question(alice).fill("Am I here?")
    server.database.run(Session.objects.all().delete)
    question(alice).press("Enter")
    expect(alice.get_by_role("alert").filter(has_text="You've been signed out.")).to_be_visible()
    expect(question(alice)).to_have_value("Am I here?")
    alice.get_by_role("link", name="Sign in to continue.").click()
    expect(alice).to_have_url(re.compile(r"/accounts/login/\?next=%2F$"))


@pytest.fixture
def old(visit: Visit, server: Server, upstream: Upstream) -> Page:
    """A page of Alice's, who has a password, as Bob has."""
    for name in ("alice", "bob"):
        server.database.run(partial(User.objects.create_user, name, password="a good password"))
    page = visit("alice")
    page.goto("/")
    return page


def sign_in_by_form(page: Page, server: Server, username: str) -> None:
    """Sign a person in as people do, in another tab, which gives the browser another token for its forms."""
    server.database.run(Session.objects.all().delete)
    tab = page.context.new_page()
    tab.goto("/accounts/login/")
    tab.get_by_label("Username").fill(username)
    tab.get_by_label("Password").fill("a good password")
    button(tab, "Sign in").click()
    expect(question(tab)).to_be_visible()


def test_a_page_goes_on_after_signing_in_in_another_tab(old: Page, server: Server, watch: Watch) -> None:
    watch.expect("status of 401", "status of 403")
    old.goto(store(server, "First", "Hello"))
    question(old).fill("Second")
    sign_in_by_form(old, server, "alice")
    question(old).press("Enter")
    expect(old.locator("[data-role=user] [data-text]")).to_have_text(["First", "Second"])
    expect_end(old, "complete")
    # The other forms have the new token too.
    with old.expect_response("**/feedback/*") as response:
        button(answer(old), "Good answer").click()
    assert response.value.ok
    with old.expect_response("**/draft/") as response:
        question(old).fill("Third")
    assert response.value.ok


def test_a_question_is_not_sent_in_the_name_of_somebody_else(old: Page, server: Server, watch: Watch) -> None:
    watch.expect("status of 401", "status of 403")
    question(old).fill("Is it me?")
    sign_in_by_form(old, server, "bob")
    question(old).press("Enter")
    expect(old.get_by_role("alert").filter(has_text="This browser is signed in as bob now")).to_be_visible()
    expect(question(old)).to_have_value("Is it me?")
    assert not server.database.run(Message.objects.exists)
    sign_in_by_form(old, server, "alice")
    question(old).press("Enter")
    expect(old.locator("[data-role=user] [data-text]")).to_have_text("Is it me?")
    assert server.database.run(lambda: Message.objects.get(role="user").conversation.owner.username) == "alice"


# The server


def test_a_kill_keeps_the_text_and_offers_retry(alice: Page, server: Server, upstream: Upstream, watch: Watch) -> None:
    watch.expect("status of 502", *CUT)
    upstream.script(text("So far"), hang())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    server.kill()
    expect(answer(alice).get_by_text("Reconnecting…")).to_be_visible()
    expect(words(alice)).to_have_text("So far")
    server.start()
    expect(answer(alice).get_by_text("Interrupted.")).to_be_visible(timeout=RECOVERY_MS)
    expect_end(alice, "interrupted")
    expect(words(alice)).to_have_text("So far")
    button(alice, "Try again").click()
    expect(words(alice)).to_have_text("Hello world")
    expect_end(alice, "complete")
    expect(answer(alice)).to_contain_text("2/2")
    button(alice, "Show the previous answer").click()
    expect(words(alice)).to_have_text("So far")


def test_a_kill_before_the_first_word_restarts_the_reply(
    alice: Page, server: Server, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 502", *CUT)
    upstream.script(hang())
    ask(alice, "Hello?")
    upstream.next_request()
    server.restart()
    expect(words(alice)).to_have_text("Hello world", timeout=RECOVERY_MS)
    expect_end(alice, "complete")


def test_a_reload_after_a_kill_shows_what_was_seen(
    alice: Page, server: Server, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 502", *CUT)
    upstream.script(reasoning("Hm."), text("So far"), hang())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    server.restart()
    alice.reload()
    expect(words(alice)).to_have_text("So far")
    expect_end(alice, "interrupted")
    expect(answer(alice).locator("[data-reasoning-text]")).to_have_text("Hm.")
