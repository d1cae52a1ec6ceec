"""Searching in the browser: the page, the palette, and the hits in a conversation."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from chat import trash
from chat.models import Conversation, Reply, User
from chat.search.filling import reindex
from tests.browser.axe import expect_accessible
from tests.browser.conftest import Show, Visit, Watch
from tests.browser.pages import button, held, several_frames, store
from tests.server import Server

pytestmark = pytest.mark.chromium

TALK = [
    "Crème brûlée for two?",
    "Sugar, cream, **Straße**; 東京都の猫.",
    "And for ten?",
    "More _cream_ and sugar, CREAM again.",
]
MARKED = """
    [...CSS.highlights.get("hit") ?? []].map((range) => range.toString())
"""
# Whether the first hit is in the window, and nothing covers it.
IN_VIEW = """() => {
    const [hit] = CSS.highlights.get("hit") ?? [];
    if (!hit) return false;
    const { left, top, width, height } = hit.getBoundingClientRect();
    return document.elementFromPoint(left + width / 2, top + height / 2)?.contains(hit.startContainer) ?? false;
}"""
# Bodies of responses arrive once `arrive` is called.
SLOW = """() => {
    const { text } = Response.prototype;
    const arrival = new Promise((resolve) => (window.arrive = resolve));
    Response.prototype.text = async function () {
        await arrival;
        return text.call(this);
    };
}"""
LONG = "\n\n".join(f"Line {number} has {'salt' if number == 200 else 'nothing'}." for number in range(300))
FOLDED = "\n".join(f"Line {number} has {'thyme' if number == 50 else 'nothing'}." for number in range(60))
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def palette(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Search and commands")


def remember(server: Server, *texts: str) -> str:
    """Store a conversation of Alice's that can be found, and return its address."""
    address = store(server, *texts)
    server.database.run(lambda: reindex(lambda done, total: None))
    return address


def delete(server: Server) -> None:
    """Put all of Alice's conversations in the trash."""
    server.database.run(
        lambda: trash.put(User.objects.get(username="alice"), list(Conversation.objects.values_list("pk", flat=True)))
    )


def marked(page: Page) -> list[str]:
    """What is marked on the page, once its scripts have run."""
    page.wait_for_load_state()
    found: list[str] = page.evaluate(MARKED)
    return found


def search(page: Page, words: str) -> None:
    page.get_by_label("Words to look for").fill(words)
    page.get_by_label("Words to look for").press("Enter")


def test_the_palette_searches_as_one_types(show: Show, server: Server) -> None:
    alice = show("Hello?", "Hello!")
    address = remember(server, *TALK)
    alice.keyboard.press("Control+k")
    alice.keyboard.type("brulee")
    offers = palette(alice).get_by_role("option")
    expect(offers.locator("mark")).to_have_text(["brûlée", "brûlée"])
    expect(palette(alice).get_by_role("status")).to_have_text("2 titles and messages are listed.")
    expect(palette(alice).get_by_role("option", selected=True)).to_contain_text("Crème brûlée for two?")
    expect_accessible(alice)
    alice.keyboard.press("ArrowDown")
    alice.keyboard.press("Enter")
    expect(alice).to_have_url(re.compile(f"{address}.*#message-"))
    expect(alice.get_by_role("navigation", name="Hits")).to_contain_text("Hit 1 of 1")


def test_only_the_answer_to_the_last_words_is_shown(show: Show, server: Server) -> None:
    alice = show("Hello?", "Hello!")
    remember(server, *TALK)
    alice.keyboard.press("Control+k")
    with held(alice, "**/search/offers/**"):
        with alice.expect_request("**/search/offers/?q=brulee"):
            alice.keyboard.type("brulee")
        alice.keyboard.press("Control+a")
        alice.keyboard.type("sugar")
        expect(palette(alice).locator("mark")).to_have_text(["sugar", "Sugar"])
    expect(palette(alice).locator("mark")).to_have_text(["sugar", "Sugar"])
    alice.keyboard.press("Control+a")
    alice.keyboard.type("nowhere to be found")
    expect(palette(alice).get_by_role("status")).to_have_text("No title or message was found.")
    alice.keyboard.press("Enter")
    expect(alice.get_by_text("Nothing was found.")).to_be_visible()


def test_the_palette_offers_the_newest_conversations(show: Show, server: Server) -> None:
    alice = show("Hello?", "Hello!")
    address = remember(server, *TALK)
    alice.keyboard.press("Control+k")
    offers = palette(alice).get_by_role("option")
    expect(offers.first).to_contain_text(TALK[0])
    expect(offers.nth(1)).to_contain_text("Hello?")
    expect(palette(alice).get_by_role("option", selected=True)).to_contain_text(TALK[0])
    expect_accessible(alice)
    # They are not what a search has found.
    with held(alice, "**/search/offers/**"):
        with alice.expect_request("**/search/offers/?q=nowhere"):
            alice.keyboard.type("nowhere")
        expect(offers).to_have_text(["All results for “nowhere”"])
    alice.keyboard.press("Control+a")
    alice.keyboard.type("-salt")
    expect(palette(alice).get_by_role("status")).to_contain_text("so far there is only what you don't want")
    alice.keyboard.press("Control+a")
    alice.keyboard.press("Delete")
    expect(offers.first).to_contain_text(TALK[0])
    expect(palette(alice).get_by_role("status")).to_be_empty()
    alice.keyboard.press("Enter")
    expect(alice).to_have_url(re.compile(f"{address}$"))


def test_an_answer_that_nobody_waits_for_is_no_error(show: Show) -> None:
    alice = show("Hello?", "Hello!")
    alice.evaluate(SLOW)
    with alice.expect_response("**/search/offers/**"):
        alice.keyboard.press("Control+k")
    alice.keyboard.press("Escape")
    expect(palette(alice)).to_be_hidden()
    alice.evaluate("arrive()")
    # The watch would have seen an error by then.
    several_frames(alice)


def test_a_search_that_fails_says_so(show: Show, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    alice = show("Hello?", "Hello!")
    alice.route("**/search/offers/**", lambda route: route.abort())
    alice.keyboard.press("Control+k")
    alice.keyboard.type("soup")
    expect(palette(alice).get_by_role("status")).to_have_text("The server can't be reached. Try again in a moment.")


def test_a_result_opens_with_its_hits_marked(show: Show, server: Server) -> None:
    alice = show("Hello?", "Hello!")
    remember(server, *TALK)
    alice.get_by_role("link", name="Search", exact=False).first.click()
    expect(alice.get_by_text("All your titles, questions and answers are searched")).to_be_visible()
    expect_accessible(alice)
    search(alice, '"cream and" 京都 strasse')
    expect(alice.get_by_text("Nothing was found.")).to_be_visible()
    search(alice, "京都 strass")
    expect(alice.locator(".result mark")).to_have_text(["Straße", "京都"])
    expect_accessible(alice)
    alice.locator(".result").click()
    hits = alice.get_by_role("navigation", name="Hits")
    expect(hits).to_contain_text("Hit 1 of 1")
    assert marked(alice) == ["Straße", "京都"]
    hits.get_by_role("link", name="All results").click()
    search(alice, "cream")
    alice.locator(".result").last.click()
    expect(hits).to_contain_text("Hit 1 of 2")
    hits.get_by_role("link", name="Next hit").click()
    expect(hits).to_contain_text("Hit 2 of 2")
    assert marked(alice) == ["cream", "cream", "CREAM"]
    expect(alice.locator(":target")).to_be_in_viewport()
    expect_accessible(alice)
    hits.get_by_role("link", name="Leave the search").click()
    expect(hits).to_be_hidden()
    assert marked(alice) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_hit_deep_in_a_long_answer_comes_into_view(visit: Visit, server: Server, width: int) -> None:
    alice = visit("alice", viewport={"width": width, "height": 800})
    remember(server, "How much?", LONG, FOLDED, "Fine.")
    alice.goto("/search/?q=salt")
    alice.locator(".result").click()
    alice.wait_for_function(IN_VIEW)
    # Only once: a reload leads back to where the person was.
    alice.evaluate("scrollTo(0, 0)")
    alice.reload()
    assert not alice.evaluate(IN_VIEW)
    alice.goto("/search/?q=thyme")
    alice.locator(".result").click()
    alice.wait_for_function(IN_VIEW)
    expect(alice.locator(".message:target .fold")).to_have_attribute("open", "")


def test_a_reviewer_sees_a_hit_deep_in_a_long_text(visit: Visit, server: Server) -> None:
    server.session_cookie("sam", is_staff=True, is_superuser=True)
    server.session_cookie("alice")
    sam = visit("sam")
    remember(server, "How much?", LONG, FOLDED, "Fine.")
    for word in ("salt", "thyme"):
        sam.goto(f"/admin/chat/conversation/?q={word}")
        sam.get_by_role("link", name=f"has {word}.").click()
        sam.wait_for_function(IN_VIEW)


def test_what_was_found_beside_the_messages_is_shown(visit: Visit, server: Server) -> None:
    alice = visit("alice", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    remember(server, *TALK)
    server.database.run(
        lambda: Reply.objects.get(message__text=TALK[3]).judge("bad", "Grandmother took more sugar. " * 5)
    )
    server.database.run(lambda: reindex(lambda done, total: None))
    hits = alice.get_by_role("navigation", name="Hits")
    alice.goto("/search/?q=grandmother")
    alice.locator(".result").tap()
    expect(hits.locator("mark")).to_have_text(["Grandmother"] * 5)
    expect(alice.locator(":target")).to_contain_text("More cream")
    assert alice.evaluate(OVERFLOW) == 0
    expect_accessible(alice)
    alice.goto("/search/?q=brulee")
    alice.get_by_role("heading", level=2).get_by_role("link", name=TALK[0]).tap()
    expect(hits).to_contain_text("Found in the title")
    expect(hits.locator("mark")).to_have_text("brûlée")
    expect_accessible(alice)


def test_a_phone_has_room_for_a_search(visit: Visit, server: Server, watch: Watch) -> None:
    alice = visit("alice", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    deleted = remember(server, *TALK)
    delete(server)
    remember(server, *TALK, "a" * 500, "Very" * 100)
    urls = "/search/", "/search/?q=a&until=x", "/search/?q=cream&trash=on", f"/search/?q={'a' * 64}"
    for url in (*urls, deleted.replace("/c/", "/trash/")):
        alice.goto(url)
        assert alice.evaluate(OVERFLOW) == 0
        expect_accessible(alice)
    alice.goto("/search/?q=cream")
    alice.locator(".result").first.tap()
    expect(alice.get_by_role("navigation", name="Hits")).to_contain_text("Hit 2 of 2")
    # With its styles.
    alice.wait_for_load_state()
    assert alice.evaluate(OVERFLOW) == 0
    expect(alice.locator(":target")).to_be_in_viewport()


def test_the_search_fits_into_the_narrowest_window(visit: Visit) -> None:
    page = visit("alice", viewport={"width": 320, "height": 700})
    page.goto("/search/")
    assert page.evaluate(OVERFLOW) == 0
    days = [page.get_by_label(name, exact=True).bounding_box() for name in ("From", "To")]
    assert days[0]
    assert days[1]
    assert days[0]["y"] == days[1]["y"]


def test_hits_in_the_trash_are_marked(visit: Visit, server: Server) -> None:
    alice = visit("alice")
    remember(server, *TALK)
    delete(server)
    alice.goto("/search/?q=cream&trash=on")
    alice.locator(".result").last.click()
    expect(alice.get_by_role("heading", level=1)).to_have_text(TALK[0])
    assert marked(alice) == ["cream", "cream", "CREAM"]
    expect(alice.locator(":target")).to_be_in_viewport()
    expect_accessible(alice)


def test_a_search_works_without_scripts(visit: Visit, server: Server) -> None:
    alice = visit("alice", java_script_enabled=False)
    remember(server, *TALK)
    alice.goto("/")
    alice.get_by_role("link", name="Search").click()
    search(alice, "cream")
    expect(alice.locator(".result mark")).to_have_text(["cream", "CREAM", "cream"])
    alice.locator(".result").last.click()
    hits = alice.get_by_role("navigation", name="Hits")
    expect(hits).to_contain_text("Hit 1 of 2")
    hits.get_by_role("link", name="Next hit").click()
    expect(hits).to_contain_text("Hit 2 of 2")
    delete(server)
    alice.goto("/search/?q=cream")
    expect(alice.get_by_text("Nothing was found.")).to_be_visible()
    alice.get_by_label("Also in the trash").check()
    search(alice, "cream")
    alice.locator(".result").last.click()
    expect(alice.get_by_role("heading", level=1)).to_have_text(TALK[0])
    button(alice, "Restore").click()
    expect(alice.get_by_text("is back in your list")).to_be_visible()
