"""A reviewer works through conversations by keyboard."""

import re

import pytest
from playwright.sync_api import Page, expect

from chat.models import Conversation, Marking, Review, ReviewQueue, User
from tests.browser.axe import expect_accessible
from tests.browser.conftest import Visit, Watch
from tests.browser.pages import button
from tests.browser.test_admin import ANSWER, HOSTILE, LIST, talk
from tests.server import Server

pytestmark = pytest.mark.chromium


@pytest.fixture
def sam(visit: Visit, server: Server) -> Page:
    """The browser of Sam, who reviews; axe sets styles."""
    server.session_cookie("sam", is_staff=True, is_superuser=True)
    return visit("sam", bypass_csp=True)


def test_a_reviewer_works_by_keyboard(sam: Page, server: Server, watch: Watch) -> None:
    # What the browser says of the answer to whoever comes second.
    watch.expect("409 (Conflict)")
    transcript = talk(server, "Salt", ANSWER)
    form = sam.locator(".review-form")
    sam.goto(transcript)
    with sam.expect_navigation():
        sam.keyboard.press("a")
    expect(form.get_by_label("State")).to_have_value("in review")
    expect(form.get_by_label("Reviewer").locator(":checked")).to_have_text("sam")
    form.get_by_label("Labels").focus()
    sam.keyboard.type(f"salt, {HOSTILE[:40]}")
    with sam.expect_navigation():
        sam.keyboard.press("Enter")
    expect(sam.locator(".review")).to_contain_text("Changed by sam")
    expect(form.get_by_label("Labels")).to_have_value(f"{HOSTILE[:40]}, salt")
    expect_accessible(sam)

    def change() -> None:
        bob, conversation = User.objects.create_user("bob"), Conversation.objects.get()
        assert Review.objects.change(conversation.pk, 2, bob, state="in review", assignee=bob, labels=[HOSTILE[:40]])

    server.database.run(change)
    with sam.expect_navigation():
        sam.keyboard.press("e")
    expect(sam.get_by_role("alert")).to_contain_text("Somebody else has changed this review")
    expect(sam.locator(".help")).to_contain_text("Review: In review, bob. Labels: <script>")
    expect_accessible(sam)
    sam.set_viewport_size({"width": 360, "height": 800})
    assert sam.evaluate("document.documentElement.scrollWidth") <= 360
    form.get_by_role("button", name="Save").focus()
    with sam.expect_navigation():
        sam.keyboard.press("Enter")
    sam.goto(f"{LIST}?review=done&reviewer=sam&label=salt")
    expect(sam.locator(".status--review")).to_have_text("Review: Done, sam")
    # The tools follow the title at once.
    assert sam.locator(".titles").bounding_box()["height"] < 100  # type: ignore[index]


def test_a_report_becomes_a_flag_that_a_reviewer_settles(visit: Visit, sam: Page, server: Server) -> None:
    transcript = talk(server, "Salt", ANSWER)
    alice = visit("alice", bypass_csp=True)
    alice.goto(f"/c/{transcript.split('/')[4]}/")
    alice.get_by_role("link", name="Report", exact=True).focus()
    with alice.expect_navigation():
        alice.keyboard.press("Enter")
    alice.get_by_label("What is wrong with it?").fill(HOSTILE)
    expect_accessible(alice)
    alice.get_by_role("button", name="Report").press("Enter")
    expect(alice.locator("blockquote")).to_contain_text("<script>alert(1)</script>")
    expect_accessible(alice)

    sam.goto(f"{LIST}?flagged=report")
    expect(sam.locator(".status--flagged")).to_have_text("Flagged")
    sam.get_by_role("link", name="Salt").press("Enter")
    flag = sam.locator(".remark--open")
    expect(flag).to_be_in_viewport()
    expect(flag).to_contain_text("<script>alert(1)</script>")
    entry = sam.locator(".entry", has=flag)
    entry.get_by_text("Note or flag").focus()
    sam.keyboard.press("Enter")
    entry.get_by_role("textbox").fill(HOSTILE)
    expect_accessible(sam)
    sam.set_viewport_size({"width": 360, "height": 800})
    assert sam.evaluate("document.documentElement.scrollWidth") <= 360
    entry.get_by_role("button", name="Add note").press("Enter")
    expect(sam.locator(".remark", has_text="Note sam")).to_contain_text("<script>alert(1)</script>")
    assert sam.locator(".remark :is(script, style, img, a)").count() == 0
    sam.get_by_role("button", name="Settle").press("Enter")
    expect(sam.locator(".remark", has_text="Settled by sam")).to_be_visible()
    expect(flag).to_have_count(0)
    alice.reload()
    expect(alice.locator("main")).to_contain_text("An administrator settled it")


def test_marks_are_given_beside_the_transcript(sam: Page, server: Server) -> None:
    transcript = talk(server, "Salt", *[ANSWER] * 6)

    def fill() -> None:
        queue = ReviewQueue.objects.create(name="Salt", rubric="Correct: yes, no")
        queue.put(Conversation.objects.values_list("pk", flat=True))
        sam = User.objects.get(username="sam")
        assert Marking.objects.claim(queue, sam)
        # However long a label is, it leaves its place to the list.
        assert Review.objects.change(
            Conversation.objects.get().pk, 0, sam, state="new", assignee=None, labels=["x" * 50]
        )

    server.database.run(fill)
    sam.set_viewport_size({"width": 1280, "height": 800})
    sam.goto(transcript)
    form, last = sam.locator("#mark-form"), sam.locator("[data-entry]").last
    last.scroll_into_view_if_needed()
    expect(form).to_be_in_viewport()
    beside, text = form.bounding_box(), last.bounding_box()
    assert beside
    assert text
    assert beside["x"] > text["x"] + text["width"]
    expect_accessible(sam)
    sam.set_viewport_size({"width": 768, "height": 800})
    last.scroll_into_view_if_needed()
    expect(form).not_to_be_in_viewport()
    sam.goto("/admin/chat/reviewqueue/")
    # On cards, beside Django's sidebar.
    expect(sam.locator("#result_list thead")).to_be_hidden()
    sam.get_by_role("link", name="0 of 1 marks given").click()
    expect(sam.get_by_role("button", name="Mark Salt")).to_be_in_viewport()
    assert sam.evaluate("document.documentElement.scrollWidth") <= 768
    sam.set_viewport_size({"width": 1280, "height": 800})
    sam.goto(LIST)
    assert sam.locator("#changelist-filter").evaluate("panel => panel.offsetWidth") == 240


def test_a_reviewer_works_through_a_queue_by_keyboard(sam: Page, server: Server, watch: Watch) -> None:
    # What the browser says of a rule that cannot be.
    watch.expect("status of 422")
    talk(server, "Salt", ANSWER)

    def fill() -> None:
        rubric = f"Correct: yes, no\n{HOSTILE[:40].replace(':', '')}: 1-5\nComment: text"
        queue = ReviewQueue.objects.create(name=HOSTILE[:50], instructions=HOSTILE, rubric=rubric, reviewers=2)
        queue.put(Conversation.objects.values_list("pk", flat=True))
        bob = User.objects.create_superuser("bob")
        marking = Marking.objects.claim(queue, bob)
        assert marking
        answer = marking.conversation.leaf
        assert marking.give(bob, {"Correct": "no", "Comment": HOSTILE}, HOSTILE, answer, answer)

    server.database.run(fill)
    sam.goto("/admin/chat/reviewqueue/")
    expect_accessible(sam)
    sam.get_by_role("link", name="1 of 2 marks given").press("Enter")
    expect(sam.locator("#content tbody")).to_contain_text("Marked by bob; 1 reviewer wanted")
    expect_accessible(sam)
    sam.set_viewport_size({"width": 360, "height": 800})
    assert sam.evaluate("document.documentElement.scrollWidth") <= 360
    sam.set_viewport_size({"width": 1280, "height": 800})
    sam.go_back()
    sam.get_by_role("link", name="Set a rule").press("Enter")
    sam.get_by_label("Owner", exact=True).fill("nobody")
    sam.get_by_role("button", name="Preview").press("Enter")
    expect(sam.locator(".errorlist")).to_contain_text("nobody called “nobody”")
    expect_accessible(sam)
    sam.get_by_label("Owner", exact=True).fill("alice")
    sam.get_by_role("button", name="Preview").press("Enter")
    expect(sam.get_by_role("status")).to_contain_text("of the 1 conversation that met")
    expect_accessible(sam)
    sam.get_by_role("button", name="Save rule").press("Enter")
    expect(sam.locator(".field-filled")).to_have_text("10% of new ones")
    sam.get_by_role("button", name="Review the next").press("Enter")
    form = sam.locator(".mark-form")
    expect(sam.get_by_role("button", name="Keys")).to_be_visible()
    sam.keyboard.press("s")
    expect(sam.locator(".messagelist")).to_contain_text("What you have skipped comes back after a day.")
    server.database.run(lambda: ReviewQueue.objects.get().skips.all().delete())
    sam.get_by_role("button", name="Review the next").press("Enter")
    expect(sam.get_by_role("button", name="Keys")).to_be_visible()
    sam.keyboard.press("r")
    expect(form.get_by_role("radio", name="yes")).to_be_focused()
    sam.keyboard.press("2")
    expect(form.get_by_role("radio", name="no")).to_be_checked()
    expect(form).to_contain_text("1 mark is still to be given.")
    expect(form).to_contain_text("<script>alert(1)</script>")
    assert form.locator(":is(script, style, img, a)").count() == 0
    expect_accessible(sam)
    sam.set_viewport_size({"width": 360, "height": 800})
    assert sam.evaluate("document.documentElement.scrollWidth") <= 360
    form.get_by_role("radio", name="yes").press("Space")
    form.get_by_role("spinbutton").fill("4")
    better = form.get_by_label("A better answer")
    # The letter that begins with the words of the answer: outside of fields it is a key.
    form.get_by_role("heading").click()
    sam.keyboard.press("b")
    expect(better).to_have_value(ANSWER)
    expect(better).to_be_focused()
    expect(sam.get_by_role("radio", name="My better answer is for this one")).to_be_checked()
    better.fill(HOSTILE)
    better.press("m")
    expect(better).to_have_value(f"{HOSTILE}m")
    # Outside of fields a letter is a key.
    form.get_by_role("heading").click()
    sam.keyboard.press("m")
    expect(sam.locator(".messagelist")).to_contain_text("Nothing in this queue is open to you now.")
    expect(sam.locator(".field-progress")).to_have_text("2 of 2 marks given")
    assert sam.evaluate("document.documentElement.scrollWidth") <= 360
    sam.get_by_role("link", name="See the marks of 1 other").press("Enter")
    given = sam.locator(".given")
    expect(given.locator("tr", has_text="Correct")).to_contain_text("0% agree")
    assert given.locator(":is(script, style, img)").count() == 0
    given.get_by_role("link", name="A better answer by bob").press("Enter")
    beside = sam.locator(".entry .remark", has_text="Better answer bob")
    expect(beside).to_be_in_viewport()
    expect(beside).to_contain_text("<script>alert(1)</script>")
    expect(sam.locator(".entry .remark", has_text="Better answer you")).to_be_visible()
    assert beside.locator(":is(script, style, img, a)").count() == 0
    expect_accessible(sam)
    assert sam.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_better_answer_begins_below_what_is_in_the_box(sam: Page, server: Server) -> None:
    transcript = talk(server, "Salt", "Two spoons.\n\nOr three.", "Salt.")

    def fill() -> None:
        queue = ReviewQueue.objects.create(name="Salt", rubric="Correct: yes, no")
        queue.put(Conversation.objects.values_list("pk", flat=True))
        assert Marking.objects.claim(queue, User.objects.get(username="sam"))

    server.database.run(fill)
    sam.goto(transcript)
    first, second = sam.get_by_role("button", name="Begin with its words").all()
    better = sam.get_by_label("A better answer", exact=True)
    better.fill("My own words")
    better.press("Control+a")
    first.click()
    expect(better).to_have_value("My own words\n\nTwo spoons.\n\nOr three.")
    expect(better).to_be_focused()
    # At the words: there it begins.
    assert better.evaluate("box => box.selectionStart === 14 && box.selectionEnd === 14")
    # They are there already.
    first.click()
    expect(better).to_have_value("My own words\n\nTwo spoons.\n\nOr three.")
    expect(better).to_be_focused()
    second.click()
    expect(better).to_have_value("My own words\n\nTwo spoons.\n\nOr three.\n\nSalt.")
    better.fill("")
    first.click()
    expect(better).to_have_value("Two spoons.\n\nOr three.")


def test_a_reviewer_stays_at_the_remark_below_a_long_answer(sam: Page, server: Server) -> None:
    sam.goto(talk(server, "Salt", "A line.\n\n" * 60))
    entry = sam.locator(".entry").last
    entry.get_by_text("Note or flag").click()
    entry.get_by_role("textbox", name="Note").fill("Too salty")
    button(entry, "Flag").click()
    flag = entry.locator(".remark--open")
    expect(flag).to_be_in_viewport(ratio=1)
    button(flag, "Settle").click()
    expect(flag).to_have_count(0)
    expect(entry.locator(".remark")).to_be_in_viewport(ratio=1)
    button(entry, "Delete the flag").click()
    expect(entry.locator(".remark")).to_have_count(0)
    expect(entry.get_by_text("Note or flag")).to_be_in_viewport()


def test_a_reviewer_writes_and_settles_remarks_by_keyboard(sam: Page, server: Server) -> None:
    transcript = talk(server, "Salt", *[ANSWER] * 3)

    def write(text: str, tabs: int) -> None:
        sam.keyboard.press("f")
        # There the keys are letters.
        sam.keyboard.type(f"{text} fx")
        for _ in range(tabs):
            sam.keyboard.press("Tab")
        with sam.expect_navigation():
            sam.keyboard.press("Enter")

    sam.goto(transcript)
    write("All of it", 2)
    expect(sam.locator(".review > .remark--open")).to_contain_text("All of it fx")
    answer = sam.locator(".entry").last
    sam.goto(f"{transcript}#{answer.locator('article').get_attribute('id')}")
    write("Too sweet", 2)
    write("Ask a cook", 1)
    expect(answer.locator(".remark", has_text="Note sam")).to_contain_text("Ask a cook fx")
    flag = answer.locator(".remark--open")
    expect(flag).to_contain_text("Too sweet fx")
    sam.keyboard.press("x")
    expect(flag.get_by_role("button", name="Settle")).to_be_focused()
    sam.keyboard.press("x")
    expect(sam.locator(".review .remark--open").get_by_role("button", name="Settle")).to_be_focused()
    sam.keyboard.press("x")
    with sam.expect_navigation():
        sam.keyboard.press("Enter")
    expect(answer.locator(".remark", has_text="Settled by sam")).to_contain_text("Too sweet fx")
    expect(sam.locator(".remark--open")).to_have_text(re.compile("All of it fx"))
    sam.keyboard.press("f")
    sam.keyboard.type("From the text")
    sam.keyboard.press("Escape")
    # Outside of it, letters are keys again.
    sam.keyboard.press("?")
    expect(sam.locator(".shortcuts")).to_contain_text("Leave a field")
    sam.keyboard.press("Escape")
    sam.locator("details.remark-new[open] textarea").focus()
    with sam.expect_navigation():
        sam.keyboard.press("Control+Enter")
    expect(sam.locator(".remark", has_text="Note sam").last).to_contain_text("From the text")
    # Whoever has moved to a form means that one.
    for entry in sam.locator(".entry").all()[:2]:
        entry.get_by_text("Note or flag").focus()
        sam.keyboard.press("f")
        expect(entry.get_by_role("textbox", name="Note")).to_be_focused()
    sam.reload()
    sam.get_by_role("button", name="Keys").click()
    sam.keyboard.press("f")
    expect(sam.locator(".shortcuts")).to_contain_text("Write a note or a flag")
    expect(sam.locator("details.remark-new[open]")).to_have_count(0)
    expect_accessible(sam)
