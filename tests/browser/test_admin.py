"""The admin in a browser. The `watch` fixture fails tests whose pages violate the policy or load from elsewhere."""

import re
from datetime import timedelta
from typing import Literal

import pytest
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from chat import trash
from chat.models import Conversation, Export, Job, Message, Reply, ServerProcess, User
from chat.search.filling import reindex
from tests.browser.axe import violations
from tests.browser.conftest import Visit, Watch
from tests.browser.pages import ask
from tests.browser.test_hostile import FENCES, LIVELY, NESTED, expect_harmless
from tests.server import Server
from tests.upstream import Upstream, finish, pause, text

pytestmark = pytest.mark.chromium

LIST = "/admin/chat/conversation/"
EXPORTS = "/admin/chat/export/"
ANSWER = """## Salt

Two **spoons** of `salt`, says a [book](https://example.org).

```python
def spoons(people: int) -> int:
    return people // 3  # and a pinch
```

| People | Spoons |
| ------ | -----: |
| 6      | 2      |

> Taste it.
"""
HOSTILE = """<script>alert(1)</script><img src="https://x.example/a.png" onerror="alert(1)">
![b](https://x.example/b.png) [c](javascript:alert(1)) <style>* { display: none }</style>"""


@pytest.fixture
def sam(visit: Visit, server: Server) -> Page:
    """The browser of Sam, who administers Parley."""
    server.session_cookie("sam", is_staff=True, is_superuser=True)
    return visit("sam")


def talk(
    server: Server, title: str, *answers: str, question: str = "How much?", status: str = "complete", queued: str = ""
) -> str:
    """Create a conversation of Alice's and return the URL of its transcript."""

    def store() -> str:
        alice, _ = User.objects.get_or_create(username="alice")
        # A process that is alive has the running replies, so that the server leaves them alone.
        ServerProcess.objects.renew("elsewhere", timedelta(hours=1))
        conversation = Conversation.objects.create(owner=alice, title=title, model="scripted")
        now = timezone.now()
        for index, answer in enumerate(answers):
            asked = now + timedelta(seconds=index)
            parent = conversation.messages.create(role="user", text=question, created=asked, parent=conversation.leaf)
            leaf = Message(conversation=conversation, role="assistant", text=answer, created=asked, parent=parent)
            leaf.save()
            times = {"asked": asked, "started": asked, "answered": asked, "ended": asked}
            made = {"model": "scripted", "process": "elsewhere", "reasoning": "Let me see."}
            Reply.objects.create(message=leaf, status=status, **made, **times)
            conversation.leaf = leaf
        conversation.add_up()
        conversation.save()
        if conversation.leaf and queued:
            conversation.leaf.queued.create(text=queued, model="scripted")
        return f"{LIST}{conversation.pk}/change/"

    return server.database.run(store)


# The policy


def test_the_watch_sees_a_violation_in_the_admin(sam: Page, watch: Watch) -> None:
    watch.expect("Content Security Policy")
    sam.goto(LIST)
    with sam.expect_console_message(lambda message: "Content Security Policy" in message.text):
        sam.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")


def test_wide_code_scrolls_in_its_box(sam: Page, server: Server) -> None:
    sam.goto(talk(server, "Salt", f"```\n{'wide ' * 100}\n```"))
    box = sam.locator(".code").bounding_box()
    assert box
    assert box["x"] + box["width"] <= sam.evaluate("innerWidth")


def test_no_page_violates_the_policy(sam: Page, server: Server) -> None:
    transcript = talk(server, "Salt", ANSWER)
    for address in [
        "/admin/",
        "/admin/chat/",
        LIST,
        f"{LIST}?q=salt",
        f"{LIST}?q=nothing",
        f"{LIST}?status=complete&model=scripted",
        f"{LIST}?o=-5.1&_facets=True",
        transcript,
        transcript.replace("/change/", "/history/"),
        transcript.replace("/change/", "/delete/"),
        "/admin/chat/user/",
        "/admin/chat/user/add/",
        "/admin/auth/group/add/",
    ]:
        sam.goto(address)
        expect(sam.locator("#site-name")).to_contain_text("Parley")


def test_pages_announce_the_modules_that_they_import(sam: Page, server: Server) -> None:
    announced: list[str] = []
    # The first page fetches what the next one needs when it has nothing else to do.
    sam.add_init_script("window.requestIdleCallback = () => 0")

    def conceal(route: Route) -> None:
        response = route.fetch()
        announced[:] = re.findall(r'<link rel="modulepreload" href="(.+?)">', response.text())
        route.fulfill(response=response, body=response.text().replace("modulepreload", "concealed"))

    pages = ["/", talk(server, "Salt", ANSWER), LIST]
    for url in pages:
        sam.route(server.url + url, conceal)
    counts = []
    for url in pages:
        sam.goto(url)
        assert set(sam.evaluate(IMPORTED)) == set(announced)
        counts.append(len(announced))
    assert min(counts[:2]) > counts[2] == 0


# What a page has fetched because a module needs it.
IMPORTED = """
    const scripts = new Set([...document.scripts].map((script) => script.src));
    performance.getEntriesByType("resource").map((entry) => entry.name)
        .filter((url) => url.endsWith(".js") && !scripts.has(url))
        .map((url) => new URL(url).pathname);
"""


def test_a_reviewer_finds_reads_and_deletes_a_conversation(visit: Visit, server: Server) -> None:
    server.database.run(lambda: User.objects.create_superuser("sam", password="sam's password"))
    talk(server, "Salt", ANSWER)
    talk(server, "Pepper", ANSWER, status="failed")
    server.database.run(lambda: reindex(lambda done, total: None))
    page = visit()
    page.goto("/admin/")
    page.get_by_label("Username or email").fill("sam")
    page.get_by_label("Password").fill("sam's password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Conversations").first.click()
    page.get_by_role("textbox", name="Search").fill("spoons alice")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="Failed", exact=True).click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Pepper").click()
    expect(page.locator(".transcript")).to_contain_text("Two spoons of salt")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, I’m sure").click()
    expect(page.locator(".messagelist")).to_contain_text("deleted successfully")
    page.get_by_role("link", name="Back to the chat").click()
    expect(page).to_have_url(f"{server.url}/")
    page.go_back()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_running_reply_says_one_thing_at_a_time(sam: Page, server: Server) -> None:
    transcript = talk(server, "Salt", "", status="streaming")
    server.database.run(lambda: Reply.objects.update(reasoning="", started=None, answered=None, ended=None))
    sam.goto(transcript)
    expect(sam.locator(".message__status--waiting")).to_be_visible()
    expect(sam.locator("[data-reasoning]")).to_be_hidden()


def test_several_conversations_are_deleted_together(sam: Page, server: Server) -> None:
    talk(server, "Salt", ANSWER)
    talk(server, "Pepper", ANSWER)
    sam.goto(LIST)
    sam.locator("#action-toggle").check()
    sam.get_by_role("combobox", name="Action").select_option("delete_selected")
    sam.get_by_role("button", name="Run").click()
    expect(sam.locator("#content")).to_contain_text("Messages: 4")
    sam.get_by_role("button", name="Yes, I’m sure").click()
    expect(sam.locator("#content")).to_contain_text("0 conversations")


def test_hostile_text_stays_text(sam: Page, server: Server) -> None:
    corpus = "\n\n".join([HOSTILE, *LIVELY])
    transcript = talk(server, HOSTILE[:200], corpus, FENCES, NESTED, question=corpus, queued=corpus)
    server.database.run(lambda: reindex(lambda done, total: None))
    sam.goto(f"{LIST}?q=alert")
    expect(sam.locator(".snippet mark").first).to_have_text("alert")
    sam.get_by_label("Name for these filters").fill(HOSTILE[:60])
    sam.get_by_role("button", name="Save filters").click()
    expect(sam.locator(".saved-filters a")).to_have_text(HOSTILE[:60])
    found = f"{transcript}?_changelist_filters=q%3Dalert"
    for address in [LIST, f"{LIST}?q=alert", transcript, found, transcript.replace("/change/", "/delete/")]:
        sam.goto(address)
        expect(sam.locator("#content")).to_contain_text("<script>alert(1)</script>")
        assert (
            sam.locator(
                "#content :is(script:not([src], [type='application/json']), style, img:not([src^='/static/']))"
            ).count()
            == 0
        )
        assert sam.locator("a[href^=javascript]").count() == 0
        for answer in sam.locator("[data-role=assistant] [data-text]").all():
            expect_harmless(answer)


# Reading


def test_a_transcript_only_has_buttons_for_its_code(sam: Page, server: Server) -> None:
    sam.goto(talk(server, "Salt", ANSWER, status="failed"))
    expect(sam.locator(".transcript")).to_contain_text("Failed")
    expect(sam.locator(".transcript").get_by_role("button")).to_have_text(["Download", "Copy"])
    expect(sam.locator(".transcript .message form")).to_have_count(0)


def test_a_reviewer_reads_what_was_found_by_keyboard(sam: Page, server: Server) -> None:
    talk(server, "Pepper", "A little salt.")
    talk(server, "Salt", "Two spoons.", "Of salt.", "And salt, again.")
    server.database.run(lambda: reindex(lambda done, total: None))
    sam.goto(f"{LIST}?q=salt&o=-6")
    sam.get_by_role("link", name="Of salt", exact=False).or_(sam.get_by_role("link", name="And salt")).click()
    ways = sam.get_by_role("navigation", name="Ways through the transcript")
    expect(ways).to_contain_text("Hit 1 of 2")
    target = sam.locator(".message:target")
    expect(target).to_contain_text("Of salt.")
    expect(target).to_be_in_viewport()
    marked = "[...CSS.highlights.get('hit')].map(range => range.toString())"
    assert sam.evaluate(marked) == ["salt", "salt"]
    sam.keyboard.press("j")
    expect(ways).to_contain_text("Hit 2 of 2")
    expect(target).to_contain_text("And salt, again.")
    sam.keyboard.press("?")
    expect(sam.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    sam.keyboard.press("Escape")
    sam.keyboard.press("n")
    expect(ways).to_contain_text("Hit 1 of 1")
    expect(target).to_contain_text("A little salt.")
    sam.keyboard.press("u")
    expect(sam.locator("#searchbar")).to_have_value("salt")


def test_a_transcript_opens_with_the_flag_in_view(sam: Page, server: Server) -> None:
    long = "\n\n".join(["Salt."] * 100)
    talk(server, "Salt", long, long, long)

    def flag() -> None:
        answer = Message.objects.filter(role="assistant").order_by("created")[1]
        answer.remarks.create(conversation=answer.conversation, kind="flag", text="Too salty")
        answer.conversation.remarks.create(kind="flag", text="All of it")

    server.database.run(flag)
    sam.goto(f"{LIST}?flagged=yes")
    sam.get_by_role("link", name="Salt").click()
    target = sam.locator(".remark:target")
    expect(target).to_contain_text("All of it")
    expect(target).to_be_in_viewport(ratio=1)
    sam.keyboard.press("j")
    expect(target).to_contain_text("Too salty")
    expect(target).to_be_in_viewport(ratio=1)
    # Below the ways that stay at the top.
    ways, shown = sam.locator(".ways").bounding_box(), target.bounding_box()
    assert ways
    assert shown
    assert shown["y"] >= ways["y"] + ways["height"]
    expect(sam.locator("[data-entry]:has(:target)")).to_have_count(1)


def test_a_running_reply_is_written_before_the_reviewers_eyes(
    alice: Page, sam: Page, upstream: Upstream, server: Server
) -> None:
    upstream.script(text("One **bo"), pause("more"), text("ld** <script>alert(1)</script>."), pause("end"), finish())
    ask(alice, "How much?")
    sam.goto(server.database.run(lambda: f"{LIST}{Conversation.objects.get().pk}/change/"))
    answer = sam.locator("[data-role=assistant]")
    expect(answer).to_contain_text("One **bo")
    upstream.release("more")
    expect(answer.locator("strong")).to_have_text("bold")
    expect(answer.locator("script")).to_have_count(0)
    upstream.release("end")
    expect(sam.locator("[data-facts] .status--complete")).to_be_visible()
    expect(answer).to_have_attribute("data-status", "complete")
    expect(sam.locator("[data-changed]")).to_be_hidden()
    ask(alice, "And more?")
    sam.reload()
    expect(sam.locator("[data-role=user]")).to_have_count(2)


def test_what_happens_after_a_transcript_was_opened_is_announced(
    alice: Page, sam: Page, upstream: Upstream, server: Server
) -> None:
    upstream.script(text("Two spoons.\n\n" * 40), finish())
    ask(alice, "How much?")
    expect(alice.locator("[data-status=complete]")).to_be_visible()
    sam.goto(server.database.run(lambda: f"{LIST}{Conversation.objects.get().pk}/change/"))
    announced = sam.get_by_role("status")
    expect(sam.locator("[data-changed]")).to_be_hidden()
    ask(alice, "And more?")
    expect(announced).to_contain_text("This conversation has changed.")
    expect(sam.locator("[data-changed]")).to_be_in_viewport()
    announced.get_by_role("link").click()
    expect(sam.locator("[data-role=user]")).to_have_count(2)
    expect(sam.locator("[data-changed]")).to_be_hidden()


def test_a_transcript_tells_of_the_way_to_the_trash_and_back(sam: Page, server: Server) -> None:
    sam.add_init_script("""
        window.EventSource = class extends EventSource {
            constructor(url) {
                super(url);
                this.addEventListener("change", () => (document.documentElement.dataset.told = ""));
            }
        };
    """)
    told, changed = sam.locator("html[data-told]"), sam.locator("[data-changed]")
    sam.goto(talk(server, "Salt", ANSWER))
    for move in (
        lambda: trash.put(User.objects.get(username="alice"), [Conversation.objects.get().pk]),
        lambda: trash.restore(User.objects.get(username="alice"), Q()),
    ):
        expect(told).to_be_attached()
        expect(changed).to_be_hidden()
        server.database.run(move)
        expect(changed).to_be_visible()
        changed.get_by_role("link").click()


# Looks


def test_a_transcript_draws_formulas_and_copies_code(sam: Page, server: Server) -> None:
    sam.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sam.goto(talk(server, "Salt", f"{ANSWER}\n\\[\\sqrt{{x}}\\]\n"))
    expect(sam.locator(".formula .katex-display svg path")).to_be_visible()
    sam.get_by_role("button", name="Copy").click()
    expect(sam.get_by_role("button", name="Copied")).to_be_visible()
    assert sam.evaluate("navigator.clipboard.readText()").startswith("def spoons")


def test_our_part_of_the_admin_is_accessible(visit: Visit, sam: Page, server: Server) -> None:
    # axe itself sets styles.
    page = visit("sam", bypass_csp=True)
    statuses = ["complete", "stopped", "interrupted", "failed"]
    parts = [(talk(server, status, ANSWER, status=status, queued="And then?"), ".transcript") for status in statuses]
    server.database.run(lambda: Export.objects.create(person=User.objects.get(username="sam"), suffix="csv"))
    others = [(parts[3][0], ".ways"), (LIST, "#result_list .status"), (f"{LIST}?status=failed", ".saved-filters")]
    others.append((EXPORTS, "#result_list"))
    for address, part in [*parts, *others]:
        page.goto(address)
        expect(page.locator(part).first).to_be_visible()
        assert violations(page, part) == []


def test_nothing_is_wider_than_the_screen(sam: Page, server: Server) -> None:
    title = "A title that has " + "no" * 60
    for address in [talk(server, title, ANSWER, "long" * 100, queued="long" * 100), LIST]:
        sam.goto(address)
        for width in (1280, 360):
            sam.set_viewport_size({"width": width, "height": 800})
            assert sam.evaluate("document.documentElement.scrollWidth") <= width


def test_every_column_of_the_list_fits_beside_the_filters(sam: Page, server: Server) -> None:
    talk(server, "A title that takes more than one line beside all the others", ANSWER, status="interrupted")
    sam.goto(LIST)
    results = sam.locator("#changelist-form .results")
    assert results.evaluate("results => results.scrollWidth <= results.clientWidth")


def test_the_chats_styles_do_not_change_the_admins(sam: Page, server: Server) -> None:
    schemes: list[Literal["light", "dark"]] = ["light", "dark"]
    for scheme in schemes:
        sam.emulate_media(color_scheme=scheme)
        colours = set()
        for address in ["/admin/", talk(server, "Salt", ANSWER)]:
            sam.goto(address)
            colours.add(sam.locator("#site-name a").evaluate("link => getComputedStyle(link).color"))
        assert len(colours) == 1


def test_what_the_filters_show_is_exported(sam: Page, server: Server) -> None:
    talk(server, "On soup", ANSWER)
    talk(server, "On salt", "", status="failed")
    sam.goto(f"{LIST}?status=failed")
    with sam.expect_download() as download:
        sam.get_by_role("link", name="Export as CSV").click()
    assert download.value.suggested_filename == "conversations.csv"
    # Nothing limits how long Playwright waits for the file itself, which a busy browser may never report.
    text = sam.request.get(download.value.url).text()
    assert "On salt" in text
    assert "On soup" not in text


def test_an_export_shows_how_far_it_is(sam: Page, server: Server) -> None:
    talk(server, "On soup", ANSWER)

    @transaction.atomic
    def ask() -> None:
        export = Export(person=User.objects.get(username="sam"), suffix="csv", query="status=complete", done=3)
        export.ask([(conversation.pk, 10) for conversation in Conversation.objects.all()])
        # Another process makes it, until the test says that it has.
        Job.objects.update(process="elsewhere")

    server.database.run(ask)
    sam.goto(EXPORTS)
    expect(sam.locator(".field-status")).to_have_text("30 %")
    server.database.run(lambda: Export.objects.update(done=7))
    expect(sam.locator(".field-status")).to_have_text("70 %")
    server.database.run(lambda: Export.objects.update(finished=timezone.now()))
    expect(sam.get_by_role("link", name="Download")).to_be_visible()
    expect(sam.get_by_role("status")).to_have_text("A file is ready to be downloaded")
    sam.get_by_role("button", name="Delete").click()
    expect(sam.locator(".messagelist")).to_have_text("The file is deleted.")
