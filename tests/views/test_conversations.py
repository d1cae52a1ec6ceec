"""The page of a conversation and the sidebar."""

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from chat import asking
from chat.catalog import Catalog, Model
from chat.demo import Demo
from chat.models import Conversation, Message, Reply, ReplyEvent, User
from chat.views import history as sidebar
from chat.views import pages
from tests.client import Client
from tests.views.conftest import end

HTML = {"accept": "text/html"}


def several(owner: User, count: int) -> list[Conversation]:
    """Conversations an hour apart, the newest first."""
    now = timezone.now()
    made = [
        Conversation(owner=owner, title=f"Number {number}", model="demo", updated=now - timedelta(hours=number))
        for number in range(count)
    ]
    return Conversation.objects.bulk_create(made)


def talk(owner: User, count: int) -> tuple[Conversation, Reply]:
    """A conversation of numbered questions and answers, and its first reply."""
    first = asking.begin(owner, "Question 0", "demo")
    conversation = first.message.conversation
    end(first, "Answer 0")
    for number in range(1, count):
        end(asking.ask(conversation, f"Question {number}", "demo"), f"Answer {number}")
    return conversation, first


def older(client: Client, history: dict[str, Any]) -> dict[str, Any]:
    """The next page of the sidebar."""
    context: dict[str, Any] = client.get(f"/history/?{history['next']}").context["history"]
    return context


def test_a_conversation_is_rendered_on_the_server(client: Client, ended: Reply) -> None:
    page = client.get(ended.message.conversation.get_absolute_url()).text
    assert "What is **two** and two?" in page, "a question is text"
    assert '<p dir="auto">It is <em>four</em>.</p>' in page, "an answer is Markdown"
    assert "I add." in page


def test_the_page_shows_a_running_reply_and_its_cursor(client: Client, alice: User) -> None:
    reply = asking.begin(alice, "Hello", "demo")
    conversation = reply.message.conversation
    for seq, (kind, data) in enumerate([("reasoning", "hm"), ("delta", "Hello "), ("delta", "**you**")], 1):
        ReplyEvent.objects.create(reply=reply, seq=seq, kind=kind, data=data)
    page = client.get(conversation.get_absolute_url()).text
    assert '<p dir="auto">Hello <strong>you</strong></p>' in page
    assert 'data-seq="3"' in page
    assert f'data-events-url="/replies/{reply.pk}/events/"' in page


def test_a_page_names_the_versions_that_it_shows(client: Client, ended: Reply, alice: User) -> None:
    conversation = Conversation.objects.get(messages=ended.pk)
    alice.refresh_from_db()
    page = client.get(conversation.get_absolute_url()).text
    assert f'data-version="{conversation.version}"' in page
    assert f'data-list-version="{alice.list_version}"' in page


def test_a_messages_fragment_equals_its_markup_on_the_page(client: Client, ended: Reply) -> None:
    fragment = client.get(f"/replies/{ended.pk}/").text.strip()
    page = client.get(ended.message.conversation.get_absolute_url()).text
    article = fragment[fragment.index('<div class="message__text') : fragment.index("</div>")]
    assert article in page


def test_another_answer_can_be_put_on_screen(client: Client, ended: Reply) -> None:
    conversation = ended.message.conversation
    second = end(asking.retry(ended, "demo"), "It is five.")
    page = client.get(conversation.get_absolute_url()).text
    assert "It is five." in page
    assert "four" not in page
    response = client.post(f"/c/{conversation.pk}/branch/", {"message": str(ended.pk)})
    assert response.status_code == 303
    page = client.get(conversation.get_absolute_url()).text
    assert "four" in page
    assert "It is five." not in page
    assert str(second.pk) in page, "the way back to it"


def test_a_long_branch_shows_its_end_and_a_link_to_more(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SHOWN", 4)
    conversation, _ = talk(alice, 4)
    url = conversation.get_absolute_url()
    page = client.get(url).text
    assert "Question 2" in page
    assert "Answer 1" not in page
    assert "?last=8" in page
    assert "Question 0</" in client.get(f"{url}?last=8").text.replace("\n", "")
    assert "?last=16" not in client.get(f"{url}?last=8").text


# The sidebar


def test_the_history_is_the_persons_own_newest_first(client: Client, alice: User, bob: User) -> None:
    several(alice, 3)
    Conversation.objects.create(owner=bob, title="Bob's secret", model="demo")
    page = client.get("/").text
    assert page.index("Number 0") < page.index("Number 1") < page.index("Number 2")
    assert "secret" not in page


def test_the_history_is_grouped_by_period(client: Client, alice: User) -> None:
    now = timezone.localtime().replace(hour=12, minute=0)
    for days in (0, 1, 2, 7, 8, 30, 31, 400):
        Conversation.objects.create(owner=alice, title=f"{days}", model="demo", updated=now - timedelta(days=days))
    month, long_ago = now - timedelta(days=31), now - timedelta(days=400)
    groups = client.get("/").context["history"]["groups"]
    assert [(heading, [conversation.title for conversation in group]) for heading, group in groups] == [
        ("Today", ["0"]),
        ("Yesterday", ["1"]),
        ("Previous 7 days", ["2", "7"]),
        ("Previous 30 days", ["8", "30"]),
        (f"{month:%B}" if month.year == now.year else f"{month:%B %Y}", ["31"]),
        (f"{long_ago:%B %Y}", ["400"]),
    ]


@pytest.mark.parametrize("pins", [0, 1, sidebar.BATCH, 50])
def test_the_history_continues_where_it_ended(client: Client, alice: User, pins: int) -> None:
    pinned = several(alice, 100)[100 - pins :]
    Conversation.objects.filter(pk__in=[conversation.pk for conversation in pinned]).update(pinned=True)
    # Two with the same moment at the seam are neither lost nor doubled.
    seam = Conversation.objects.order_by("-updated")[sidebar.BATCH]
    Conversation.objects.order_by("-updated").filter(pk__in=[seam.pk]).update(
        updated=Conversation.objects.order_by("-updated")[sidebar.BATCH - 1].updated
    )
    titles: list[str] = []
    history = client.get("/").context["history"]
    while True:
        titles += [conversation.title for _, group in history["groups"] for conversation in group]
        if not history["next"]:
            break
        history = older(client, history)
    assert sorted(titles) == sorted(f"Number {number}" for number in range(100))
    assert titles[:pins] == [conversation.title for conversation in pinned]


def test_a_group_on_two_pages_has_one_heading(client: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidebar, "BATCH", 2)
    now = timezone.localtime().replace(hour=12, minute=0)
    for minutes in range(5):
        Conversation.objects.create(owner=alice, title="A", model="demo", updated=now - timedelta(minutes=minutes))
    history = client.get("/").context["history"]
    labels = [label for label, _ in history["groups"]]
    assert labels == ["Today"]
    assert [label for label, _ in older(client, history)["groups"]] == [""]


def test_a_history_of_ten_thousand_is_quick(
    client: Client, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    several(alice, 10_000)
    # Most are in the archive, some in the trash, some pinned.
    rows = Conversation.objects.order_by("-updated")
    for field, value, pks in [
        ("archived", True, rows[1000:8000]),
        ("trashed", timezone.now(), rows[200:300]),
        ("pinned", True, rows[9000:9050]),
    ]:
        Conversation.objects.filter(pk__in=list(pks.values_list("pk", flat=True))).update(**{field: value})
    client.get("/")
    began = time.process_time()
    with django_assert_max_num_queries(7):
        history = client.get("/").context["history"]
    for _ in range(10):
        history = older(client, history)
    # About 12 ms of CPU each; the bound only tells an index from a scan.
    assert (time.process_time() - began) / 11 < 0.25


def test_every_message_of_a_long_conversation_can_be_reached(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SHOWN", 4)
    monkeypatch.setattr(pages, "MOST_SHOWN", 8)
    conversation, first = talk(alice, 10)
    url = conversation.get_absolute_url()
    seen: list[str] = []
    query: str | None = ""
    while query is not None:
        context = client.get(url + query).context
        assert len(context["messages_shown"]) <= 8
        seen += [message.text for message in context["messages_shown"]]
        query = context["earlier"] and context["earlier"].partition("#")[0]
    assert set(seen) == {f"{kind} {number}" for kind in ("Question", "Answer") for number in range(10)}
    assert "Latest messages" in client.get(f"{url}?until={first.pk}").text


@pytest.fixture
def forked(alice: User) -> list[Reply]:
    """Four exchanges, on screen, and another answer to the first question."""
    first = end(asking.begin(alice, "Question 0", "demo"), "Answer 0")
    conversation = first.message.conversation
    other = end(asking.retry(first, "demo"), "Another answer 0")
    conversation.show(first.message)
    later = [end(asking.ask(conversation, f"Question {number}", "demo"), f"Answer {number}") for number in range(1, 4)]
    return [first, other, *later]


def shown_from(client: Client, message: Message) -> list[str]:
    url = f"{message.conversation.get_absolute_url()}transcript/"
    return [message.text for message in client.get(url, {"from": message.pk}).context["messages_shown"]]


def test_a_fragment_begins_with_a_message_or_with_its_sibling(client: Client, forked: list[Reply]) -> None:
    first, other, second, third, _ = (reply.message for reply in forked)
    rest = ["Question 1", "Answer 1", "Question 2", "Answer 2", "Question 3", "Answer 3"]
    assert shown_from(client, first) == shown_from(client, other) == ["Answer 0", *rest]
    assert shown_from(client, second) == rest[1:]
    first.conversation.show(other)
    assert shown_from(client, first) == ["Another answer 0"]
    assert shown_from(client, third) == ["Question 0", "Another answer 0"], (
        "it is on another branch, so as much as fits"
    )


def test_a_fragment_says_after_which_message_it_comes(client: Client, forked: list[Reply]) -> None:
    message = forked[2].message
    fragment = client.get(f"{message.conversation.get_absolute_url()}transcript/?from={message.pk}").text
    assert f'data-parent="{message.parent_id}"' in fragment
    whole = client.get(f"{message.conversation.get_absolute_url()}transcript/").text
    assert 'data-parent=""' in whole


def test_a_branch_is_shown_at_its_fork(client: Client, forked: list[Reply], monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = forked[0].message, forked[1].message
    url = first.conversation.get_absolute_url()
    for message, place in [(other, f"{url}#message-{other.pk}"), (first, f"{url}#message-{first.pk}")]:
        shown = client.post(f"{url}branch/", {"message": message.pk}, headers=HTML)
        assert (shown.status_code, shown.headers["location"]) == (303, place)
    monkeypatch.setattr(pages, "SHOWN", 4)
    shown = client.post(f"{url}branch/", {"message": first.pk}, headers=HTML)
    assert shown.headers["location"] == f"{url}?from={first.parent_id}#message-{first.pk}"
    page = client.get(shown.headers["location"])
    assert [message.text for message in page.context["messages_shown"]][:2] == ["Question 0", "Answer 0"]
    program = client.post(f"{url}branch/", {"message": other.pk}, headers={"accept": "application/json"})
    assert program.json() == {"leaf": str(other.pk)}


def show_branch(client: Client, message: Message, query: str) -> Any:
    url = f"{message.conversation.get_absolute_url()}branch/?{query}"
    return client.post(url, {"message": message.pk}, headers={"accept": "application/json"})


def test_the_answer_to_a_form_brings_the_transcript_that_its_page_asks_for(client: Client, forked: list[Reply]) -> None:
    first = forked[0].message
    query = f"conversation={first.conversation_id}&from={first.pk}"
    answer = show_branch(client, first, query).json()
    assert answer["leaf"] == str(forked[-1].pk)
    shown = client.get(f"{first.conversation.get_absolute_url()}transcript/?{query}").text
    assert messages_in(answer["transcript"]) == messages_in(shown) != []


def messages_in(html: str) -> list[str]:
    return re.findall(r' id="message-([^"]+)"', html)


def test_a_transcript_that_cannot_be_had_keeps_nothing_from_being_done(
    client: Client, forked: list[Reply], bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page asks for it again, and says what is wrong."""
    first, other = forked[0].message, forked[1].message
    bobs = asking.begin(bob, "Hello?", "demo").message.conversation_id

    def fails(*_: object) -> None:
        raise OperationalError

    for message, conversation in [(first, bobs), (other, "none"), (first, first.conversation_id)]:
        if conversation == first.conversation_id:
            monkeypatch.setattr(pages, "transcript", fails)
        answer = show_branch(client, message, f"conversation={conversation}").json()
        assert answer == {"leaf": str(message.pk if message == other else forked[-1].pk)}


def test_a_refusal_brings_no_transcript(client: Client, forked: list[Reply]) -> None:
    conversation = forked[0].message.conversation
    gone = Message(conversation=conversation)
    refusal = show_branch(client, gone, f"conversation={conversation.pk}")
    assert (refusal.status_code, list(refusal.json())) == (422, ["error"])


def test_a_page_shows_no_more_messages_than_it_may(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_SHOWN", 4)
    url = talk(alice, 5)[0].get_absolute_url()
    for query in ("last=9999999", "from=start", "from=start&last=9999999"):
        assert len(client.get(f"{url}?{query}").context["messages_shown"]) == 4


def test_a_page_up_to_an_unknown_message_is_the_latest(client: Client, ended: Reply) -> None:
    assert client.get(f"{ended.message.conversation.get_absolute_url()}?until=nonsense").status_code == 200


def test_the_first_page_says_what_is_kept_and_who_can_read_it(client: Client) -> None:
    page = client.get("/").text
    assert "Conversations are kept until you delete them, and can be restored for 30 days" in page
    assert "Administrators can read them." in page


def answering(html: str) -> str:
    """Which models the first page names."""
    names = re.search("You're talking to <strong[^>]*>(.*?)</strong>", html)
    assert names
    return names[1]


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"model": "large"}, "large"),
        ({"model": "large", "also": "small"}, "large and small"),
        ({"model": "large", "also": "large"}, "large"),
        ({"model": "gone", "also": "gone"}, "small"),
        ({}, "small"),
    ],
)
def test_the_first_page_names_the_model_that_is_chosen(
    client: Client, alice: User, settings: Settings, chosen: dict[str, str], named: str
) -> None:
    settings.CHAT_DEMO = False
    client.process.catalog = Catalog([Model(name, Demo(False, 0)) for name in ("small", "large")])
    User.objects.update(model="large")
    assert answering(client.get("/").text) == "large"
    # The page of a refused question has the choice that came with it.
    refused = client.post("/c/", {"text": " ", **chosen})
    assert refused.status_code == 422
    assert answering(refused.text) == named


def test_the_only_model_is_named_when_a_question_is_refused(client: Client, settings: Settings) -> None:
    settings.CHAT_DEMO = False
    refused = client.post("/c/", {"text": " "})
    assert answering(refused.text) == "demo"
    assert '<span class="composer__model">demo</span>' in refused.text


def test_only_staff_are_led_to_the_admin(client: Client, alice: User) -> None:
    assert "Administration" not in client.get("/").text
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert "Administration" in client.get("/").text


def test_only_staff_are_told_how_to_connect_a_model(client: Client, alice: User, settings: Settings) -> None:
    settings.CHAT_DEMO = True
    assert "OPENAI_BASE_URL" not in client.get("/").text
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert "OPENAI_BASE_URL" in client.get("/").text
