"""For everybody: by keyboard, on a phone, in the dark, with a screen reader, without motion."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, Request, expect

from chat import asking
from chat.models import Conversation, Message, Reply, User
from tests.browser.axe import TRANSITIONS, expect_accessible
from tests.browser.conftest import Show, Visit, Watch
from tests.browser.pages import answer, ask, button, choose, expect_end, question, store, top_at_rest, words
from tests.server import Server, SharedServers
from tests.upstream import Upstream, finish, hang, pause, reasoning, text

pytestmark = pytest.mark.chromium

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
NARROWEST = {**PHONE, "viewport": {"width": 360, "height": 740}}

EVERYTHING = f"""\
# A heading

Prose with **bold**, *italic*, ~~struck~~, `code` and a [link](https://elsewhere.example), and {"long" * 60}.

1. one
2. two
   - three

> A quote.

```python
def f(text: str) -> str:  # {"a long line " * 20}
    return "<&>" + text * 42
```

| {" | ".join(f"column {number}" for number in range(12))} |
|{"---|" * 12}
| {" | ".join("cell" for _ in range(12))} |

- [x] salt
- [ ] pepper

A claim[^1] with $x^2$ and {"$" + "x + " * 60 + "y$"}.

$$\\frac{{{"x + " * 60}y}}{{2}}$$

[^1]: A note.

---

https://elsewhere.example/{"path/" * 40}
"""


QUESTION = f"And {'then' * 60}?\n\n```python\n{'long ' * 60}\n```\n\n`Really` at https://x.example?\n{'line\n' * 20}"


def store_everything(server: Server, username: str) -> str:
    """A conversation with all that a message can hold and all ways a reply can end; returns its address."""

    def store() -> str:
        owner = User.objects.get(username=username)
        conversation = Conversation.objects.create(owner=owner, title=f"Everything {'at once' * 20}", model="scripted")
        for said, fields in (
            (EVERYTHING, {"status": "complete", "reasoning": f"Let me see {'now' * 60}."}),
            ("So far", {"status": "stopped"}),
            ("And here", {"status": "interrupted", "error_code": "interrupted"}),
            ("", {"status": "failed", "error_code": "unauthorized"}),
            ("Too lo", {"status": "complete", "finish_reason": "length"}),
        ):
            reply = asking.ask(conversation, QUESTION, "scripted")
            end(reply, said, **fields)
        end(asking.retry(reply, "scripted"), "Once more.", status="complete")
        return conversation.get_absolute_url()

    return server.database.run(store)


def open_everything(page: Page, server: Server) -> None:
    """Show Alice's conversation with everything."""
    page.goto(store_everything(server, "alice"))
    # What draws formulas comes after the page.
    expect(page.locator(".formula .katex").first).to_be_attached()


def end(reply: Reply, text: str, **fields: Any) -> None:
    """What a worker would store at the end."""
    now = timezone.now()
    times = {"started": now - timedelta(seconds=4), "answered": now, "ended": now}
    Reply.objects.filter(pk=reply.pk).update(**times, **fields)
    Message.objects.filter(pk=reply.pk).update(text=text)


# Axe


def test_axe_finds_nothing_on_pages_of_accounts(visit: Visit) -> None:
    page = visit()
    for path in ("/accounts/signup/", "/accounts/password/reset/", "/accounts/login/"):
        page.goto(path)
        expect_accessible(page)
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    button(page, "Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect_accessible(page)


def test_axe_finds_nothing_in_a_new_conversation_and_its_dialogs(alice: Page) -> None:
    expect_accessible(alice)
    for keys in ("Control+k", "Control+/"):
        alice.keyboard.press(keys)
        expect(alice.get_by_role("dialog")).to_be_visible()
        expect_accessible(alice)
        alice.keyboard.press("Escape")


def test_axe_finds_nothing_in_a_conversation_with_everything(visit: Visit, server: Server) -> None:
    page = visit("alice")
    open_everything(page, server)
    page.locator("summary").filter(has_text="Thought for 4 s").click()
    button(page, "alice").click()
    expect(page.get_by_role("group", name="Appearance")).to_be_visible()
    expect_accessible(page)


def test_axe_finds_nothing_while_the_model_waits_and_thinks(alice: Page, upstream: Upstream) -> None:
    upstream.script(hang())
    upstream.script(reasoning("Let me see."), hang())
    ask(alice, "Hello?")
    expect(alice.get_by_text("Waiting for the model…")).to_be_visible()
    expect_accessible(alice)
    button(alice, "Stop").click()
    expect_end(alice, "stopped")
    ask(alice, "And now?")
    expect(alice.get_by_text("Thinking…")).to_be_visible()
    expect_accessible(alice)


def test_axe_finds_nothing_in_queued_and_held_questions(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), hang())
    ask(alice, "Hello?")
    expect(words(alice)).to_have_text("So far")
    question(alice).fill("And then?")
    question(alice).press("Enter")
    alice.get_by_role("region", name="Queued questions").get_by_text("Edit").click()
    expect_accessible(alice)
    alice.keyboard.press("Escape")
    question(alice).press("Escape")
    expect(button(alice, "Send now")).to_be_visible()
    expect_accessible(alice)


def test_axe_finds_nothing_in_the_open_drawer_of_a_phone(visit: Visit, server: Server) -> None:
    page = visit("alice", **PHONE)
    open_everything(page, server)
    button(page, "Menu").click()
    expect(page.get_by_role("link", name="New conversation")).to_be_visible()
    expect_accessible(page)


def test_axe_finds_nothing_in_what_the_page_says_and_hides(alice: Page, watch: Watch) -> None:
    watch.expect("status of 422")
    button(alice, "alice").click()
    alice.get_by_label("Notify me when a reply is ready").click()
    expect(alice.get_by_text("This browser blocks notifications")).to_be_visible()
    expect_accessible(alice)
    alice.keyboard.press("Escape")
    alice.keyboard.press("Control+k")
    alice.keyboard.type("none of these")
    expect(alice.get_by_text("No title or message was found.")).to_be_visible()
    expect_accessible(alice)
    alice.keyboard.press("Escape")
    ask(alice, "Hello?")
    expect_end(alice, "complete")
    alice.locator("[data-role=user]").hover()
    alice.get_by_role("link", name="Edit").click()
    alice.get_by_label("New wording").fill(" ")
    alice.get_by_label("New wording").press("Enter")
    expect(alice.get_by_text("Write a question first.")).to_be_visible()
    button(alice, "Hide the sidebar").click()
    expect(button(alice, "Menu")).to_be_focused()
    expect_accessible(alice)


def test_axe_finds_nothing_in_a_long_conversation_and_what_it_says(
    alice: Page, server: Server, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 422", "status of 404", "ERR_INTERNET_DISCONNECTED")
    alice.goto(store(server, *["Long?", "It is long. " * 60] * 60))
    button(answer(alice), "demo").click()
    expect(answer(alice).get_by_text("Asked")).to_be_visible()
    expect_accessible(alice)
    alice.keyboard.press("Escape")
    button(answer(alice), "Bad answer").click()
    answer(alice).get_by_label("What is wrong with it?").fill("x" * 2001)
    button(answer(alice), "Save").click()
    expect(alice.get_by_text("The limit is 2,000.")).to_be_visible()
    alice.mouse.wheel(0, -900)
    expect(button(alice, "Jump to latest")).to_be_visible()
    expect(alice.get_by_role("link", name="Earlier messages")).to_be_visible()
    expect_accessible(alice)
    upstream.script(text("So far"), hang())
    ask(alice, "And now?")
    expect(words(alice)).to_have_text("So far")
    alice.context.set_offline(True)
    expect(alice.get_by_text("Reconnecting…")).to_be_visible()
    expect_accessible(alice)
    alice.context.set_offline(False)
    tab = alice.context.new_page()
    tab.goto("/")
    choose(tab, "Delete", "Long?")
    expect(button(tab, "Undo")).to_be_visible()
    expect_accessible(tab)
    expect(alice.get_by_role("alert").filter(has_text="This conversation has been deleted")).to_be_visible()
    expect_accessible(alice)


def test_axe_finds_nothing_on_pages_of_forms_without_scripts(show: Show, server: Server, watch: Watch) -> None:
    # The page has scripts: without them axe never ends.
    watch.expect("status of 422", "status of 404")
    page = show("Hello?", "Hello!")
    retry = page.locator(".again")
    page.goto(page.locator("[data-edit-link]").get_attribute("href") or "")
    page.get_by_label("New wording").fill(" ")
    button(page, "Send").click()
    expect(page.get_by_text("Write a question first.")).to_be_visible()
    expect_accessible(page)
    page.get_by_role("link", name="Cancel").click()
    expect(retry).to_be_visible()
    server.database.run(lambda: Conversation.objects.get().delete())
    retry.evaluate("(form) => form.submit()")
    expect(page.get_by_text("It doesn't exist, or it belongs to someone else.")).to_be_visible()
    expect_accessible(page)


def test_axe_finds_nothing_on_the_first_page_of_an_administrator(visit: Visit, share_server: SharedServers) -> None:
    demo = share_server()
    page = visit(base_url=demo.url)
    cookie = demo.session_cookie("sam", is_staff=True)
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": demo.url}])
    page.goto("/")
    expect(page.get_by_text("For administrators: to connect a real model")).to_be_visible()
    expect(button(page, "/slow")).to_be_visible()
    expect_accessible(page)


def test_axe_finds_nothing_on_an_error_page(visit: Visit, watch: Watch) -> None:
    watch.expect("status of 404")
    page = visit("alice")
    page.goto("/nowhere/")
    expect(page.get_by_text("It doesn't exist, or it belongs to someone else.")).to_be_visible()
    expect_accessible(page)


# The keyboard


# The name of what has the focus, roughly as a screen reader says it, and where it is, with the mark around it.
FOCUSED = """() => {
    const element = document.activeElement;
    // The caret is no such mark.
    element.style.caretColor = "transparent";
    const box = element.getBoundingClientRect();
    const name = element.ariaLabel || (element.labels?.[0] ?? element).textContent.trim().replace(/\\s+/g, " ");
    const [left, top] = [Math.max(box.left + scrollX - 8, 0), Math.max(box.top + scrollY - 8, 0)];
    return [name, { x: left, y: top, width: box.width + 16, height: box.height + 16, scale: 1 }];
}"""


def tab_through(page: Page, last: str) -> list[str]:
    """Press Tab from the start of the page until `last` has the focus; the names of all stops.

    Each must look different without the focus. The next Tab continues from where it was.
    """
    page.evaluate("document.querySelector('.skip-link').focus()")
    names: list[str] = []
    while not names or names[-1] != last:
        page.keyboard.press("Tab")
        name, around = page.evaluate(FOCUSED)
        names.append(name)
        assert len(names) < 100, f"{last} is not reached: {names}"
        with_focus = picture(page, around)
        page.evaluate("document.activeElement.blur()")
        shows_it = picture(page, around) != with_focus
        assert shows_it, f"{name} does not show that it has the focus"
    return names


def picture(page: Page, clip: dict[str, float]) -> str:
    """A part of the page, straight from Chromium: Playwright takes more time for its own."""
    page.evaluate(TRANSITIONS)
    session = page.context.new_cdp_session(page)
    try:
        data: str = session.send("Page.captureScreenshot", {"clip": clip, "optimizeForSpeed": True})["data"]
        return data
    finally:
        session.detach()


def test_the_composer_has_the_focus_when_a_page_opens(alice: Page) -> None:
    expect(question(alice)).to_be_focused()


def test_the_keyboard_reaches_everything_visibly_in_reading_order(visit: Visit, server: Server) -> None:
    page = visit("alice")
    open_everything(page, server)
    button(page, "alice").click()
    title = page.locator("[data-title]").inner_text()
    stops = tab_through(page, "Send")
    actions = ["Parley", "Hide the sidebar", "New conversation", "New temporary chat", "Search Ctrl K", "Select"]
    sidebar = [*actions, title, f"Options of “{title}”", "alice", "System"]
    assert stops[: len(sidebar)] == sidebar
    rest = iter(stops)
    wanted = ["Sign out", "Thought for 4 s", "link", "Copy", "Table", "Try again", "Show the previous answer"]
    assert all(name in rest for name in [*wanted, "Your question", "Send"]), stops


def test_the_keyboard_goes_through_what_is_below_an_answer_as_it_is_read(show: Show) -> None:
    page = show("Two and two?", "Four.")
    good, bad, model = (button(answer(page), name) for name in ("Good answer", "Bad answer", "demo"))
    report, reason = (
        answer(page).get_by_role("link", name="Report"),
        answer(page).get_by_label("What is good about it?"),
    )
    good.press("Enter")
    expect(reason).to_be_visible()
    expect(good).to_be_focused()
    for stop in (bad, report, model, reason, button(answer(page), "Save")):
        page.keyboard.press("Tab")
        expect(stop).to_be_focused()
    assert top_at_rest(good) < top_at_rest(reason)
    for before, after in pairwise([good, bad, report, model]):
        assert left(before) < left(after)


def left(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["x"]


def test_the_keyboard_reaches_everything_on_an_account_page(visit: Visit) -> None:
    page = visit()
    page.goto("/accounts/login/")
    assert tab_through(page, "System")[-2:] == ["Sign in", "System"]


def test_a_reply_is_asked_for_and_stopped_by_keyboard_alone(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("So far"), hang())
    alice.keyboard.type("Hello?")
    alice.keyboard.press("Tab")
    expect(button(alice, "Send")).to_be_focused()
    alice.keyboard.press("Enter")
    expect(words(alice)).to_have_text("So far")
    expect(question(alice)).to_be_focused()
    # Between them is Send, for the next question.
    alice.keyboard.press("Tab")
    alice.keyboard.press("Tab")
    expect(button(alice, "Stop")).to_be_focused()
    alice.keyboard.press("Enter")
    expect_end(alice, "stopped")
    expect(question(alice)).to_be_focused()


def test_the_skip_link_leads_to_the_content(alice: Page) -> None:
    alice.evaluate("document.querySelector('.skip-link').focus()")
    expect(alice.get_by_text("Skip to the content")).to_be_in_viewport()
    alice.keyboard.press("Enter")
    expect(alice.locator("main")).to_be_focused()


def test_the_beginning_and_the_end_of_a_reply_are_announced(alice: Page, upstream: Upstream) -> None:
    upstream.script(text("One"), pause("rest"), text(" two."), finish())
    ask(alice, "Count.")
    announcer = alice.locator("[data-announcer]")
    expect(announcer).to_have_text("A reply is being written.")
    upstream.release("rest")
    expect(announcer).to_have_text("The reply is complete.")


# Small screens


def test_the_drawer_of_a_phone_opens_and_closes(visit: Visit) -> None:
    page = visit("alice", **PHONE)
    page.goto("/")
    drawer = page.get_by_role("complementary", name="Conversations")
    expect(drawer).to_be_hidden()
    button(page, "Menu").tap()
    expect(drawer).to_be_visible()
    button(page, "Close").tap()
    expect(drawer).to_be_hidden()
    button(page, "Menu").tap()
    expect(drawer).to_be_visible()
    example = button(page, "Explain how a rainbow forms").bounding_box()
    assert example
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 (it is marked)
    page.touchscreen.tap(360, example["y"] + example["height"] / 2)
    expect(drawer).to_be_hidden()
    assert asked == [], "nothing beside the drawer is pressed"
    button(page, "Menu").tap()
    expect(drawer).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()


UNSAFE = """([left, right, bottom]) => [...document.querySelectorAll("button, a:not(.skip-link), textarea")]
    .filter((control) => control.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
    .filter((control) => {
        const box = control.getBoundingClientRect();
        if (box.left < left || box.right > innerWidth - right) return true;
        return control.closest(".dock, .sidebar__footer") && box.bottom > innerHeight - bottom;
    })
    .map((control) => control.outerHTML)
"""


@pytest.mark.parametrize("width", [800, 930])
def test_nothing_is_under_the_camera_or_the_rounded_corners(visit: Visit, width: int) -> None:
    page = visit("alice", viewport={"width": width, "height": 440}, has_touch=True, is_mobile=True)
    insets = {"left": 59, "right": 59, "bottom": 34}
    page.context.new_cdp_session(page).send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})
    page.goto("/")
    question(page).fill("Hello?")
    button(page, "Send").click()
    expect_end(page, "complete")
    assert page.evaluate(UNSAFE, [*insets.values()]) == []
    button(page, "This conversation").click()
    assert page.evaluate(UNSAFE, [*insets.values()]) == []
    page.keyboard.press("Escape")
    if width < 896:
        button(page, "Menu").click()
    button(page, "alice").click()
    name, menu = button(page, "alice").bounding_box(), page.locator("#account").bounding_box()
    assert name
    assert menu
    assert 0 < menu["y"] < menu["y"] + menu["height"] <= name["y"]
    assert page.evaluate(UNSAFE, [*insets.values()]) == []


def test_on_a_phone_enter_starts_a_new_line(visit: Visit, upstream: Upstream) -> None:
    page = visit("alice", **PHONE)
    page.goto("/")
    question(page).tap()
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    page.keyboard.type("two")
    button(page, "Send").tap()
    expect(words(page)).to_have_text("Hello world")
    assert upstream.requests[-1].body["messages"][0]["content"] == "one\ntwo"


def test_no_page_scrolls_sideways_on_the_narrowest_phone(visit: Visit, server: Server, watch: Watch) -> None:
    watch.expect("status of 404")
    page = visit("alice", **NARROWEST)
    open_everything(page, server)
    expect_no_sideways_scrolling(page)
    button(page, "Menu").tap()
    expect_no_sideways_scrolling(page)
    for path in (f"{page.url}delete/", "/", "/accounts/password/change/", "/accounts/logout/", "/nowhere/"):
        page.goto(path)
        expect_no_sideways_scrolling(page)
    page.context.clear_cookies()
    for path in ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"):
        page.goto(path)
        expect_no_sideways_scrolling(page)


def expect_no_sideways_scrolling(page: Page) -> None:
    # A phone's browser would zoom out rather than scroll.
    inside = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert inside == [360, 360], page.url


# Light, dark, and quiet


def test_the_chosen_theme_stays_on_every_page(alice: Page) -> None:
    def background() -> str:
        colour: str = alice.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return colour

    light = background()
    button(alice, "alice").click()
    alice.get_by_text("Dark", exact=True).click()
    dark = background()
    assert dark != light
    alice.reload()
    assert background() == dark
    alice.goto("/accounts/password/change/")
    assert background() == dark
    expect(alice.get_by_label("Dark")).to_be_checked()
    alice.get_by_label("Dark").focus()
    alice.keyboard.press("ArrowLeft")
    expect(alice.get_by_label("Light")).to_be_checked()
    assert background() == light


def test_a_second_tab_follows_the_theme(alice: Page) -> None:
    tab = alice.context.new_page()
    tab.goto("/accounts/password/change/")
    tab.get_by_text("Dark", exact=True).click()
    expect(alice.locator("html")).to_have_attribute("data-theme", "dark")


MOVING = "document.getAnimations().length"


def test_nothing_moves_with_reduced_motion(visit: Visit, upstream: Upstream) -> None:
    upstream.script(hang())
    page = visit("alice")
    page.emulate_media(reduced_motion="reduce")
    page.goto("/")
    ask(page, "Hello?")
    expect(answer(page).get_by_text("Waiting for the model…")).to_be_visible()
    assert page.evaluate(MOVING) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(MOVING) > 0
