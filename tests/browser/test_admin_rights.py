"""What different reviewers find in the administration, and that nothing hostile does anything on any of its pages."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group, Permission
from django.utils import timezone
from playwright.sync_api import Page, expect

from chat.models import (
    Conversation,
    Export,
    LedgerEntry,
    QueueRule,
    Remark,
    Review,
    ReviewLimit,
    ReviewQueue,
    SavedFilter,
    User,
)
from chat.search.filling import reindex
from tests.browser.axe import expect_accessible, violations
from tests.browser.conftest import Visit, Watch
from tests.browser.test_admin import HOSTILE, LIST, talk
from tests.browser.test_hostile import FENCES, LIVELY, NESTED, expect_harmless
from tests.server import Server
from tests.test_routes import EXPORTS, addresses

pytestmark = pytest.mark.chromium

QUEUES = "/admin/chat/reviewqueue/"


# Two reviewers with different rights


@pytest.fixture
def soup(server: Server) -> str:
    """The transcript of a conversation of Alice's. It is in a queue, beside one of Bob's about beer."""
    soup, beer = talk(server, "On soup", "Two spoons."), talk(server, "On beer", "Two glasses.")

    def store() -> None:
        Conversation.objects.filter(pk=beer.split("/")[-3]).update(owner=User.objects.create_user("bob"))
        sales = Group.objects.create(name="Sales")
        sales.user_set.add(User.objects.get(username="alice"))
        queue = ReviewQueue.objects.create(name="Salt", rubric="Correct: yes, no")
        queue.put(Conversation.objects.values_list("pk", flat=True))
        reindex(lambda done, total: None)

    server.database.run(store)
    return soup


def reviewer(visit: Visit, server: Server, name: str, *rights: str, limit: str = "") -> Page:
    """The browser of a member of the staff with these permissions, limited to the people of a group."""
    server.session_cookie(name, is_staff=True)

    def allow() -> None:
        user = User.objects.get(username=name)
        user.user_permissions.set(Permission.objects.filter(codename__in=rights))
        if limit:
            ReviewLimit.objects.create(reviewer=user).groups.add(Group.objects.get(name=limit))

    server.database.run(allow)
    # axe sets styles.
    return visit(name, bypass_csp=True)


def test_one_who_only_sees_finds_no_text(visit: Visit, server: Server, soup: str, watch: Watch) -> None:
    watch.expect("403 (Forbidden)")
    carol = reviewer(visit, server, "carol", "view_conversation")
    carol.goto(LIST)
    expect(carol.locator("#result_list tbody tr")).to_have_count(2)
    expect(carol.locator("#content")).not_to_contain_text("On soup")
    expect(carol.locator("#searchbar")).to_have_count(0)
    expect(carol.get_by_role("link", name="Export")).to_have_count(0)
    expect_accessible(carol)
    carol.get_by_role("link", name=soup.split("/")[-3]).click()
    expect(carol.locator(".transcript")).to_contain_text("scripted")
    expect(carol.locator("#content")).not_to_contain_text("spoons")
    expect(carol.locator(".review-form")).to_have_count(0)
    expect_accessible(carol)
    for refused in (QUEUES, f"{LIST}export.csv"):
        answer = carol.goto(refused)
        assert answer
        assert answer.status == 403


def test_one_who_is_limited_reads_what_is_theirs(visit: Visit, server: Server, soup: str) -> None:
    rights = ("view_conversation", "read_conversation", "review_conversation")
    dan = reviewer(visit, server, "dan", *rights, limit="Sales")
    dan.goto(LIST)
    expect(dan.locator("#result_list tbody tr")).to_have_count(1)
    expect(dan.locator("#result_list")).to_contain_text("On soup")
    dan.locator("#searchbar").fill("two")
    dan.keyboard.press("Enter")
    expect(dan.locator(".snippet")).to_have_text(["Two spoons."])
    # The field to search by is Django's.
    assert violations(dan, "#result_list") == []
    dan.get_by_role("link", name="On soup").click()
    expect(dan.locator(".transcript")).to_contain_text("Two spoons.")
    expect(dan.locator(".review-form")).to_have_count(1)
    beer = server.database.run(lambda: Conversation.objects.get(title="On beer").pk)
    dan.goto(f"{LIST}{beer}/change/")
    expect(dan.locator(".messagelist")).to_contain_text("doesn’t exist")
    dan.goto(QUEUES)
    dan.get_by_role("button", name="Review the next").click()
    expect(dan).to_have_url(re.compile(f"{soup}$"))
    mark = dan.locator(".mark-form")
    mark.get_by_label("yes").check()
    mark.get_by_role("button", name="Save marks").click()
    expect(dan.locator(".messagelist")).to_contain_text("Nothing in this queue is open to you now.")
    expect_accessible(dan)


# Hostile texts

# No page of a browser: a file, or a stream.
FILES = rf"{EXPORTS}|/export\.|/file/$|/events/$|/jsi18n/$|/autocomplete/$"
ALERT = "<script>alert(1)</script>"
LONG = "\n\n".join([HOSTILE, *LIVELY])
SHORT = HOSTILE[:40]


def store_everything_hostile() -> None:
    """Put hostile texts wherever a person, a model or a reviewer can put one."""
    alice, conversation = User.objects.get(username="alice"), Conversation.objects.get()
    rob = User.objects.create_user("rob")
    Group.objects.create(name=HOSTILE[:100]).user_set.add(alice)
    ReviewLimit.objects.create(reviewer=rob)
    Conversation.objects.update(instructions=LONG, model=SHORT)
    answer = conversation.messages.filter(role="assistant").latest("pk")
    reply = answer.reply
    reply.instructions = reply.finish_reason = reply.upstream_id = HOSTILE
    reply.judge("bad", HOSTILE)
    reply.save()
    Remark.objects.report(answer, alice, HOSTILE)
    Remark.objects.add(conversation.pk, None, rob, "note", HOSTILE)
    Review.objects.change(conversation.pk, 0, rob, state="in review", assignee=rob, labels=[SHORT])
    queue = ReviewQueue.objects.create(
        name=HOSTILE[:90], instructions=LONG, rubric="<script>alert(1)</script>: yes, no"
    )
    queue.put([conversation.pk])
    QueueRule.objects.create(queue=queue, owner=rob, share=10, conditions={"label": SHORT})
    queue.markings.update(reviewer=rob, done=timezone.now(), correction=HOSTILE, corrected=answer)
    SavedFilter.objects.create(person=User.objects.get(username="sam"), name=SHORT, query=f"q={SHORT}")
    EmailAddress.objects.create(user=alice, email="alice@example.org")
    LedgerEntry.objects.create(person=alice, reply_id=conversation.pk, model=SHORT)
    sam = User.objects.get(username="sam")
    Export(person=sam, suffix="csv", query=f"q={HOSTILE}", reason=HOSTILE, address="192.0.2.7").ask(
        [(conversation.pk, 2)]
    )
    # Many messages make a page ask how a file is to be made.
    Conversation.objects.update(message_count=30_000)
    reindex(lambda done, total: None)


def test_nothing_hostile_does_anything_on_any_page(visit: Visit, server: Server, watch: Watch) -> None:
    # Addresses for forms only, or without all of their parameters.
    watch.expect("403 (Forbidden)", "404 (Not Found)", "405 (Method Not Allowed)", "400 (Bad Request)")
    server.session_cookie("sam", is_staff=True, is_superuser=True)
    sam = visit("sam")
    talk(server, HOSTILE[:200], LONG, FENCES, NESTED, question=LONG, queued=LONG)
    server.database.run(store_everything_hostile)
    searched = f"{LIST}?q=alert&owner={ALERT}"
    pages = [searched, f"{LIST}?q=alert", f"{LIST}export.csv?q=alert"]
    pages += [page for page in server.database.run(lambda: addresses("admin/")) if not re.search(FILES, page)]
    # With what the first ones have left in the record.
    pages += [
        "/admin/chat/auditrecord/",
        f"/admin/chat/auditrecord/?q={ALERT}",
        f"/admin/chat/ledgerentry/?person={ALERT}",
    ]
    showing = set()
    for page in pages:
        sam.goto(page)
        if ALERT in sam.locator("body").inner_text():
            showing.add(page.partition("?")[0].removeprefix("/admin/").split("/")[1])
        assert sam.locator("#content script:not([src], [type='application/json'])").count() == 0, page
        assert sam.locator("#content :is(iframe, object, embed, base, meta, style, svg[onload])").count() == 0, page
        assert sam.locator("a[href^='javascript:'], a[href^='data:'], img[src*=example]").count() == 0, page
        for answer in sam.locator("[data-role=assistant] [data-text]").all():
            expect_harmless(answer)
    # So there was something to look at.
    assert showing >= {"auditrecord", "conversation", "export", "group", "ledgerentry", "user"}
    assert showing >= {"reviewlabel", "reviewlimit", "reviewqueue"}
