"""The options of a conversation in the sidebar: rename, pin, archive."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import expect_accessible
from tests.browser.conftest import Visit, Watch
from tests.browser.pages import button, choose, top_at_rest
from tests.browser.test_accessibility import PHONE
from tests.browser.test_history import entries, remember
from tests.server import Server

pytestmark = pytest.mark.chromium


def groups(page: Page) -> Locator:
    return page.get_by_role("navigation", name="History").locator("[data-group]")


def announced(page: Page) -> Locator:
    return page.locator("[data-announcer]")


@pytest.fixture
def tab(alice: Page, server: Server) -> Page:
    """Another tab; Alice has some conversations."""
    remember(server, "alice", "one", "two", "three")
    alice.reload()
    tab = alice.context.new_page()
    tab.goto("/")
    return tab


def test_a_conversation_is_renamed_where_it_is(alice: Page, tab: Page, watch: Watch) -> None:
    watch.expect("status of 422")
    choose(alice, "Rename", "two")
    field = alice.get_by_label("Title", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("two")
    alice.keyboard.type("half")
    alice.keyboard.press("Escape")
    expect(alice.get_by_role("link", name="two", exact=True)).to_be_focused()
    choose(alice, "Rename", "two")
    field.fill(" ")
    field.press("Enter")
    expect(alice.get_by_role("listitem").get_by_role("alert")).to_have_text("Write a title first.")
    expect(field).to_be_focused()
    expect_accessible(alice)
    field.fill("zwei")
    # What happens elsewhere does not end it.
    choose(tab, "Pin", "three")
    expect(entries(alice).first).to_have_text("three")
    expect(field).to_be_focused()
    expect(field).to_have_value("zwei")
    field.press("Enter")
    expect(entries(alice)).to_have_text(["three", "one", "zwei"])
    expect(alice.get_by_role("link", name="zwei", exact=True)).to_be_focused()
    expect(announced(alice)).to_have_text("The title is “zwei” now.")
    expect(entries(tab)).to_have_text(["three", "one", "zwei"])


def test_pinned_conversations_stay_on_top(alice: Page, tab: Page) -> None:
    choose(alice, "Pin", "two")
    for page in (alice, tab):
        expect(groups(page).first.get_by_role("heading")).to_have_text("Pinned")
        expect(entries(page)).to_have_text(["two", "one", "three"])
    expect(alice.get_by_role("link", name="two", exact=True)).to_be_focused()
    expect(announced(alice)).to_have_text("“two” is pinned.")
    choose(tab, "Unpin", "two")
    for page in (alice, tab):
        expect(entries(page)).to_have_text(["one", "two", "three"])


def test_an_archived_conversation_comes_back(alice: Page, tab: Page) -> None:
    choose(alice, "Archive", "two")
    items = alice.get_by_role("navigation", name="History").get_by_role("listitem")
    expect(items).to_have_text(["one", re.compile("Archived"), "three"])
    expect(button(alice, "Undo")).to_be_focused()
    expect(entries(tab)).to_have_text(["one", "three"])
    button(alice, "Undo").press("Enter")
    expect(items).to_have_text(["one", "two", "three"])
    choose(alice, "Archive", "two")
    expect(items).to_have_text(["one", re.compile("Archived"), "three"])
    button(alice, "alice").click()
    alice.get_by_role("link", name="Archive", exact=True).click()
    expect(alice.get_by_role("link", name="two")).to_be_visible()
    expect_accessible(alice)
    button(alice, "Take “two” out of the archive").click()
    expect(alice.get_by_text("The archive is empty.")).to_be_visible()
    expect(entries(tab)).to_have_text(["one", "two", "three"])


def test_the_menu_works_with_keys(alice: Page, tab: Page) -> None:
    options = button(alice, "Options of “two”")
    options.focus()
    alice.keyboard.press("Enter")
    menu = alice.locator("[data-options-menu]")
    expect(button(menu, "Rename")).to_be_focused()
    expect_accessible(alice)
    alice.keyboard.press("ArrowUp")
    expect(button(menu, "Delete")).to_be_focused()
    alice.keyboard.press("ArrowDown")
    alice.keyboard.press("ArrowDown")
    expect(button(menu, "Pin")).to_be_focused()
    alice.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(options).to_be_focused()
    options.click()
    expect(menu).to_be_visible()
    options.click()
    expect(menu).to_be_hidden()


HAS_ROOM_FOR_A_FINGER = """(name) => {
    const box = document.querySelector(`label:has([aria-label="${name}"])`)?.getBoundingClientRect();
    return box && Math.min(box.width, box.height) >= 44;
}"""


def test_the_menu_is_at_its_entry_on_a_phone(visit: Visit, server: Server) -> None:
    page = visit("alice", **PHONE)
    remember(server, "alice", "one", "two", "three")
    page.goto("/")
    button(page, "Menu").tap()
    button(page, "Options of “two”").tap()
    menu = page.locator("[data-options-menu]")
    expect(menu).to_be_in_viewport(ratio=1)
    assert abs(top_at_rest(menu) - top_at_rest(button(page, "Options of “two”"))) < 300
    for size in [button(menu, name).bounding_box() for name in ("Rename", "Pin", "Archive", "Delete")]:
        assert size
        assert size["height"] >= 44
    button(menu, "Pin").tap()
    expect(entries(page)).to_have_text(["two", "one", "three"])
    expect(button(page, "Close")).to_be_visible()
    page.get_by_role("link", name="Select", exact=True).tap()
    for title in ("two", "three"):
        # In one step, as the list may still be renewed because of the pin.
        page.wait_for_function(HAS_ROOM_FOR_A_FINGER, arg=f"Select “{title}”")
        entries(page).get_by_text(title).tap()
    button(page, "Archive").tap()
    expect(entries(page)).to_have_text(["one"])
    button(page, "Undo").tap()
    expect(entries(page)).to_have_text(["one", "two", "three"])


def test_labels_are_given_and_filter_the_list(alice: Page, tab: Page, watch: Watch) -> None:
    watch.expect("status of 422", "status of 404")
    choose(alice, "Labels…", "two")
    dialog = alice.get_by_role("dialog", name="Labels")
    name = dialog.get_by_label("New label")
    expect(name).to_be_focused()
    name.fill("\u200b")
    name.press("Enter")
    expect(dialog.get_by_text("Write a name first.")).to_be_visible()
    expect(name).to_be_focused()
    expect_accessible(alice)
    name.fill("Work")
    name.press("Enter")
    expect(dialog).to_be_hidden()
    expect(button(alice, "Options of “two”")).to_be_focused()
    expect(announced(alice)).to_have_text("The labels are saved.")
    for page in (alice, tab):
        items = page.get_by_role("navigation", name="History").get_by_role("listitem")
        expect(items).to_have_text(["one", re.compile(r"two\s*Labels:\s*Work"), "three"])
    shown = tab.get_by_label("Show", exact=True)
    shown.select_option("Work")
    expect(entries(tab)).to_have_text(["two"])
    expect_accessible(tab)
    # The next page keeps it, and another reload.
    entries(tab).click()
    expect(entries(tab).and_(tab.locator("[aria-current=page]"))).to_have_text("two")
    tab.get_by_role("link", name="New conversation").click()
    tab.reload()
    expect(entries(tab)).to_have_text(["two"])
    choose(alice, "Labels…", "three")
    dialog.get_by_role("checkbox", name="Work").check()
    button(dialog, "Save labels").click()
    expect(entries(tab)).to_have_text(["two", "three"])
    tab.get_by_role("link", name="Show all conversations").click()
    expect(entries(tab)).to_have_text(["one", "two", "three"])
    expect(shown).to_be_focused()
    expect(tab).not_to_have_url(re.compile("label"))
    # A label that is deleted elsewhere filters no longer.
    shown.select_option("Work")
    expect(entries(tab)).to_have_text(["two", "three"])
    button(alice, "alice").click()
    alice.get_by_role("link", name="Labels", exact=True).click()
    expect_accessible(alice)
    alice.get_by_role("link", name="Delete “Work”").click()
    button(alice, "Delete the label").click()
    expect(entries(tab)).to_have_text(["one", "two", "three"])
    expect(shown).to_be_hidden()


def test_several_are_selected_and_deleted_at_once(alice: Page, tab: Page, watch: Watch) -> None:
    watch.expect("status of 422")
    history = alice.get_by_role("navigation", name="History")
    boxes = history.get_by_role("checkbox")
    checked = history.get_by_role("checkbox", checked=True)
    select = alice.get_by_role("link", name="Select", exact=True)
    bar = alice.locator("[data-selecting]")
    count = bar.get_by_role("status")
    select.press("Enter")
    expect(boxes).to_have_count(3)
    expect(boxes.first).to_be_focused()
    expect(button(bar, "Delete")).to_be_disabled()
    alice.keyboard.press("Space")
    expect(count).to_have_text("1 selected")
    alice.keyboard.press("Tab")
    alice.keyboard.press("Tab")
    alice.keyboard.press("Shift+Space")
    expect(count).to_have_text("3 selected")
    expect_accessible(alice)
    # What is done elsewhere changes neither the selection nor the focus.
    choose(tab, "Pin", "three")
    expect(entries(alice)).to_have_text(["three", "one", "two"])
    expect(checked).to_have_count(3)
    expect(history.get_by_role("checkbox", name="Select “three”")).to_be_focused()
    alice.keyboard.press("Escape")
    expect(boxes).to_have_count(0)
    expect(select).to_be_focused()
    # One is pinned already, and stays so when the others are taken back.
    select.click()
    for title in ("three", "two"):
        entries(alice).get_by_text(title).click()
    expect(button(bar, "Unpin")).to_be_hidden()
    button(bar, "Pin").click()
    expect(alice.get_by_text("2 conversations are pinned.").first).to_be_visible()
    expect(entries(tab)).to_have_text(["two", "three", "one"])
    button(alice, "Undo").click()
    expect(entries(tab)).to_have_text(["three", "one", "two"])
    expect(announced(alice)).to_have_text("1 conversation is no longer pinned.")
    select.click()
    entries(alice).get_by_text("three").click()
    expect(button(bar, "Pin")).to_be_hidden()
    expect(button(bar, "Unpin")).to_be_enabled()
    alice.keyboard.press("Escape")
    # A click on a title selects it, and another one with Shift all in between.
    select.click()
    entries(alice).get_by_text("two").click()
    entries(alice).get_by_text("one").click(modifiers=["Shift"])
    expect(count).to_have_text("2 selected")
    button(bar, "Labels…").click()
    dialog = alice.get_by_role("dialog", name="Labels of the selected conversations")
    button(dialog, "Give").click()
    expect(dialog.get_by_text("Choose a label, or write the name of a new one.")).to_be_visible()
    expect_accessible(alice)
    dialog.get_by_label("New label").fill("Work")
    button(dialog, "Give").click()
    expect(tab.locator(".history__labels")).to_have_count(2)
    expect(count).to_have_text("2 selected")
    button(bar, "Delete").click()
    expect(alice.get_by_text("2 conversations are in the trash.").first).to_be_visible()
    expect(button(alice, "Undo")).to_be_focused()
    for page in (alice, tab):
        expect(entries(page)).to_have_text(["three"])
    expect_accessible(alice)
    button(alice, "Undo").press("Enter")
    for page in (alice, tab):
        expect(entries(page)).to_have_text(["three", "one", "two"])
    expect(select).to_be_focused()
    expect(announced(alice)).to_have_text("The conversations are back in the list.")
