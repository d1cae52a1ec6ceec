"""The sidebar of a wide window can be hidden, and every control is large enough for a finger."""

import pytest
from playwright.sync_api import Page, expect

from chat.models import Label, User
from tests.browser.conftest import Show, Visit, Watch
from tests.browser.pages import answer, button, choose, expect_end, store, words
from tests.browser.test_accessibility import PHONE
from tests.browser.test_history import remember
from tests.server import Server
from tests.upstream import Upstream, error, finish, hang, reasoning, text

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def settings_of_server() -> dict[str, str]:
    """It has two models."""
    return {"OPENAI_MODEL": "small,large"}


def test_a_hidden_sidebar_stays_hidden_until_the_menu_shows_it(alice: Page) -> None:
    new = alice.get_by_role("link", name="New conversation")
    button(alice, "Hide the sidebar").click()
    expect(new).to_be_hidden()
    expect(button(alice, "Menu")).to_be_focused()
    alice.reload()
    expect(new).to_be_hidden()
    button(alice, "Menu").press("Enter")
    expect(new).to_be_visible()
    expect(button(alice, "Hide the sidebar")).to_be_focused()
    alice.reload()
    expect(new).to_be_visible()
    # In a narrow window it is a drawer, whether hidden or not.
    button(alice, "Hide the sidebar").click()
    alice.set_viewport_size({"width": 390, "height": 844})
    expect(new).to_be_hidden()
    button(alice, "Menu").click()
    expect(new).to_be_visible()
    expect(button(alice, "Hide the sidebar")).to_be_hidden()


def test_the_filter_by_labels_is_not_cut_off(alice: Page, server: Server) -> None:
    server.database.run(lambda: Label.objects.create(owner=User.objects.get(username="alice"), name="Work", key="work"))
    alice.reload()
    choice = alice.get_by_label("Show", exact=True)
    expect(choice).to_be_visible()
    width = choice.evaluate("(choice) => choice.offsetWidth")
    choice.evaluate("(choice) => { choice.style.maxWidth = 'none'; }")
    assert choice.evaluate("(choice) => choice.offsetWidth") == width


def test_a_title_has_the_room_of_the_button_that_is_not_shown(show: Show) -> None:
    page = show("A question with more words than there is room for", "Yes.")
    title, options = page.locator("[data-title]"), page.locator("[data-options]")
    page.locator("main").hover()
    wide = title.bounding_box()
    title.hover()
    narrow, beside = title.bounding_box(), options.bounding_box()
    assert wide
    assert narrow
    assert beside
    assert (wide["x"], wide["y"], wide["height"]) == (narrow["x"], narrow["y"], narrow["height"])
    assert wide["width"] == narrow["width"] + beside["width"]


def test_the_line_below_an_answer_fits_on_a_phone(visit: Visit, server: Server, upstream: Upstream) -> None:
    page = visit("alice", **PHONE)
    page.goto(store(server, "Hello?", "Hello!"))
    controls = answer(page).locator(".message__footer :is(button, a):visible")
    expect(controls).to_have_text(["Copy", "Try again", "", "", "", "Report", "demo"])
    tops = controls.evaluate_all("(all) => all.map((each) => each.getBoundingClientRect().bottom)")
    assert max(tops) - min(tops) < 10


def test_no_key_is_named_where_there_is_no_keyboard(visit: Visit) -> None:
    for options, is_named in (({}, True), (PHONE, False)):
        page = visit("alice", **options)
        page.goto("/")
        if not is_named:
            button(page, "Menu").click()
        search = page.get_by_role("link", name="Search")
        expect(search).to_be_visible()
        expect(search.get_by_text("Ctrl")).to_be_visible(visible=is_named)


# Links in a sentence may be smaller, and no finger reaches the skip link.
CONTROLS = """
    button, summary, select, textarea, input:not([type=checkbox], [type=radio]), label:has(input), [role=option],
    a:not(.skip-link, p:not(.transcript__earlier, .applied, .actions) a)
"""
TOO_SMALL = """(controls) => controls
    .filter((control) => control.checkVisibility({ visibilityProperty: true }))
    .filter((control) => {
        const { width, height } = control.getBoundingClientRect();
        if (Math.min(width, height) < 44) return true;
        // Browsers of phones zoom into a field with smaller letters.
        return control.matches("input, select, textarea") && parseFloat(getComputedStyle(control).fontSize) < 16;
    })
    .map((control) => control.outerHTML)
"""


def too_small(page: Page) -> list[str]:
    """The controls on screen that have less than 44 pixels in either direction, and the fields with small letters."""
    found: list[str] = page.locator(CONTROLS).evaluate_all(TOO_SMALL)
    return found


def send(page: Page, words: str, status: str) -> None:
    page.get_by_label("Your question").fill(words)
    button(page, "Send").click()
    expect(page.locator("[data-role=user]").last).to_contain_text(words[:9])
    expect_end(page, status)


def test_a_finger_hits_every_control_of_a_conversation(visit: Visit, server: Server, upstream: Upstream) -> None:
    alice = visit("alice", **PHONE)
    alice.goto(store(server, *["A long question\n" * 60, "```\ncode\n```"] * 16))
    upstream.script(reasoning("Let me see."), text("Four."), finish())
    send(alice, "Two and two?", "complete")
    upstream.script(text("4"), finish())
    button(answer(alice), "Try again").click()
    expect(answer(alice)).to_contain_text("2/2")
    expect_end(alice, "complete")
    button(answer(alice), "Good answer").click()
    expect(answer(alice).get_by_label("What is good about it?")).to_be_visible()
    button(answer(alice), "Show the previous answer").click()
    expect(answer(alice).get_by_text("Thought for")).to_be_visible()
    upstream.script(*error(401, {}))
    send(alice, "And three?", "failed")
    expect(alice.get_by_text("Show all", exact=True).last).to_be_visible()
    expect(alice.get_by_role("link", name="Earlier messages")).to_be_visible()
    assert too_small(alice) == []
    button(answer(alice), "Try again with another model").click()
    assert too_small(alice) == []
    alice.keyboard.press("Escape")
    alice.locator("[data-edit-link]").last.click()
    expect(alice.get_by_label("New wording")).to_be_focused()
    assert too_small(alice) == []
    alice.get_by_role("link", name="Cancel").click()
    alice.keyboard.press("Control+k")
    expect(alice.get_by_role("option").first).to_be_visible()
    assert too_small(alice) == []
    upstream.script(text("Five"), hang())
    alice.keyboard.press("Escape")
    button(answer(alice), "Try again").click()
    expect(words(alice)).to_have_text("Five")
    alice.get_by_label("Your question").fill("And then?")
    button(alice, "Send").click()
    alice.get_by_role("region", name="Queued questions").get_by_text("Edit").click()
    assert too_small(alice) == []


def test_a_finger_hits_every_control_of_the_drawer(visit: Visit, server: Server) -> None:
    alice = visit("alice", **PHONE)
    alice.goto("/")
    alice.get_by_text("Instructions for this conversation").click()
    assert too_small(alice) == []
    remember(server, "alice", *map(str, range(50)))
    alice.reload()
    button(alice, "Menu").click()
    expect(alice.get_by_role("link", name="Older")).to_be_visible()
    assert too_small(alice) == []
    button(alice, "alice").click()
    assert too_small(alice) == []
    button(alice, "Keyboard shortcuts").click()
    assert too_small(alice) == []
    alice.keyboard.press("Escape")
    button(alice, "Menu").click()
    choose(alice, "Rename", "0")
    assert too_small(alice) == []
    alice.keyboard.press("Escape")
    choose(alice, "Labels…", "0")
    expect(alice.get_by_role("dialog")).to_be_visible()
    assert too_small(alice) == []
    alice.get_by_role("dialog").get_by_role("link", name="Cancel").click()
    alice.get_by_role("link", name="Select", exact=True).click()
    alice.get_by_label("Select “0”").check()
    assert too_small(alice) == []


def test_a_finger_hits_every_control_of_a_page(visit: Visit, server: Server, watch: Watch) -> None:
    watch.expect("status of 404")
    alice = visit("alice", **PHONE)
    conversation = store(server, "Hello?", "Hello!")
    server.database.run(lambda: Label.objects.create(owner=User.objects.get(), name="Work", key="work"))
    alice.goto(conversation)
    edit = alice.locator("[data-edit-link]").get_attribute("href")
    report = alice.get_by_role("link", name="Report").get_attribute("href")
    paths = [edit, report, *(f"{conversation}{page}/" for page in ("options", "settings", "delete", "print"))]
    paths += [f"/{page}/" for page in ("temporary", "select", "settings", "archive", "trash", "labels", "nowhere")]
    paths += ["/search/?q=hello", "/accounts/password/change/", "/accounts/logout/"]
    for path in paths:
        alice.goto(path or "")
        assert too_small(alice) == [], path
    alice.context.clear_cookies()
    for path in ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"):
        alice.goto(path)
        assert too_small(alice) == [], path
