"""The audit record in a browser: a reviewer gives a reason and reads, the person sees that, and the record has it."""

import re

import pytest
from playwright.sync_api import Page, expect

from chat.models import AuditRecord, Conversation
from tests.browser.axe import violations
from tests.browser.conftest import Visit
from tests.browser.test_admin import ANSWER, LIST, talk
from tests.server import Server

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def settings_of_server() -> dict[str, str]:
    """As of an operator who asks for reasons and shows readers."""
    return {"CHAT_READ_REASON": "1", "CHAT_SHOW_READERS": "1"}


def fits(page: Page) -> None:
    """Nothing is wider than a phone."""
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_reading_has_a_reason_a_record_and_a_witness(visit: Visit, server: Server) -> None:
    server.session_cookie("sam", is_staff=True, is_superuser=True)
    talk(server, "Salt", ANSWER)
    # axe itself sets styles.
    sam = visit("sam", bypass_csp=True)
    sam.goto(LIST)
    sam.get_by_label("Why do you need to read").fill("A complaint of March 3")
    assert violations(sam, "#content") == []
    fits(sam)
    sam.get_by_role("button", name="Continue").click()
    sam.get_by_role("link", name="Salt").click()
    expect(sam.locator(".transcript")).to_contain_text("Two spoons of salt")
    expect(sam.locator("#content-main")).to_contain_text("A complaint of March 3")

    alice = visit("alice", bypass_csp=True)
    alice.goto(f"{server.url}/c/{server.database.run(lambda: Conversation.objects.get().pk)}/")
    alice.get_by_role("button", name="This conversation").click()
    alice.get_by_role("link", name="Who has read this").click()
    expect(alice.get_by_role("listitem").filter(has_text="sam")).to_have_count(1)
    assert violations(alice, "main") == []
    fits(alice)
    alice.get_by_role("link", name="All conversations").click()
    alice.get_by_role("link", name="Salt").click()
    expect(alice).to_have_title(re.compile("Salt"))

    sam.goto("/admin/chat/auditrecord/?action__exact=read")
    row = sam.get_by_role("row").filter(has_text="Transcript read")
    expect(row.first).to_contain_text("A complaint of March 3")
    assert violations(sam, "#result_list") == []
    with sam.expect_download() as download:
        sam.get_by_role("link", name="Export as JSON Lines").click()
    assert '"reason": "A complaint of March 3"' in download.value.path().read_text()


def test_no_page_of_the_record_violates_the_policy(visit: Visit, server: Server) -> None:
    server.session_cookie("sam", is_staff=True, is_superuser=True)
    transcript = talk(server, "Salt", ANSWER)
    page = visit("sam")
    number = server.database.run(lambda: AuditRecord.objects.latest("number").number)
    for address in [
        LIST,
        transcript,
        "/admin/chat/auditrecord/?q=sam",
        f"/admin/chat/auditrecord/{number}/change/",
        "/admin/chat/reviewlimit/add/",
    ]:
        page.goto(address)
        expect(page.locator("#site-name")).to_contain_text("Parley")
    page.goto("/readers/")
    expect(page.get_by_role("heading", name="Who has read your conversations")).to_be_visible()
