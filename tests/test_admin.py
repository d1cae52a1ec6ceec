"""The admin: the list of conversations, their transcripts, and permissions."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from chat.admin.transcripts import MESSAGES_PER_PAGE
from chat.models import Conversation, Message, QueuedQuestion, Reply, ReplyEvent, User
from chat.search.filling import reindex
from tests.client import Client

LIST = reverse("admin:chat_conversation_changelist")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> [a](javascript:alert(1)) ![b](https://x.example/b.png)"


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    """The browser of Bob, who is staff and can see and read conversations but nothing else."""
    bob.is_staff = True
    bob.save()
    bob.user_permissions.add(*Permission.objects.filter(codename__in=["view_conversation", "read_conversation"]))
    client.force_login(bob)
    return client


def talk(owner: User, *answers: str, title: str = "A talk", **reply: object) -> Conversation:
    """A conversation with a question for each of these answers, one per minute from noon on."""
    conversation = Conversation.objects.create(owner=owner, title=title, model="demo", updated=NOON)
    for index, answer in enumerate(answers):
        asked = NOON + timedelta(minutes=index)
        question = conversation.messages.create(
            role="user", text=f"Question {index}?", created=asked, parent_id=conversation.leaf_id
        )
        conversation.leaf = add_answer(question, answer, asked + timedelta(seconds=1), **reply)
    conversation.add_up()
    conversation.save()
    return conversation


def add_answer(question: Message, text: str, created: datetime, **reply: object) -> Message:
    answer = question.conversation.messages.create(role="assistant", text=text, created=created, parent=question)
    Reply.objects.create(message=answer, **{"model": "demo", "status": "complete", **reply})
    return answer


def queue(conversation: Conversation, text: str, created: datetime = NOON) -> QueuedQuestion:
    """Queue a question after the reply on screen."""
    assert conversation.leaf
    return conversation.leaf.queued.create(text=text, model="large-1", created=created)


def change(conversation: Conversation) -> str:
    return reverse("admin:chat_conversation_change", args=[conversation.pk])


def delete(conversation: Conversation) -> str:
    return reverse("admin:chat_conversation_delete", args=[conversation.pk])


def page(browser: Client, url: str) -> str:
    response = browser.get(url)
    assert response.status_code == 200
    return str(response.text)


# Access


def test_anonymous_people_are_sent_to_the_chats_sign_in(client: Client) -> None:
    response = client.get("/admin/login/?next=" + quote(LIST))
    assert response.status_code == 302
    assert response["Location"] == f"{reverse('account_login')}?next={quote(LIST, safe='')}"


def test_only_staff_enter_the_admin(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get(LIST, follow=True).status_code == 403


def test_staff_need_permission_to_see_conversations(client: Client, alice: User, bob: User) -> None:
    bob.is_staff = True
    bob.save()
    client.force_login(bob)
    assert client.get(LIST).status_code == 403
    assert client.get(change(talk(alice, "Secret"))).status_code == 403


def test_two_permissions_are_enough_to_read(reader: Client, alice: User) -> None:
    conversation = talk(alice, "Readable")
    assert "A talk" in page(reader, LIST)
    assert "Readable" in page(reader, change(conversation))


def test_users_and_groups_are_in_the_admin(staff: Client) -> None:
    for name in ["chat_user", "auth_group"]:
        page(staff, reverse(f"admin:{name}_changelist"))


def test_the_admin_leads_back_to_the_chat(staff: Client) -> None:
    html = page(staff, reverse("admin:index"))
    assert '<a href="/">Back to the chat</a>' in html
    for name in ["account_change_password", "account_logout"]:
        assert f'"{reverse(name)}"' in html
    assert "Parley" in html


def test_the_admin_shows_the_version(staff: Client) -> None:
    assert f"Parley {settings.VERSION}" in page(staff, reverse("admin:index"))


# The list


def test_the_list_shows_the_facts_of_each_conversation(staff: Client, alice: User) -> None:
    talk(alice, "One", "Two", title="On soup")
    html = page(staff, LIST)
    for cell in [">On soup<", ">alice<", ">demo<", ">4<", "March 1, 2026", 'status--complete">Complete<']:
        assert cell in html


def test_a_conversation_without_messages_is_listed(staff: Client, alice: User) -> None:
    talk(alice)
    assert ">A talk<" in page(staff, LIST)


def test_the_latest_activity_comes_first(staff: Client, alice: User) -> None:
    for title, days in [("Oldest", -9), ("Newest", 0), ("Between", -3)]:
        conversation = talk(alice, title=title)
        Conversation.objects.filter(pk=conversation.pk).update(updated=NOON + timedelta(days=days))
    html = page(staff, LIST)
    assert html.index("Newest") < html.index("Between") < html.index("Oldest")


@pytest.mark.parametrize("words", ["soup", "alice@example.org", "spoons", "alice two SPOONS"])
def test_the_list_is_searched(staff: Client, alice: User, bob: User, words: str) -> None:
    talk(alice, "Two spoons", title="On soup")
    talk(bob, "Nothing", title="Elsewhere")
    reindex(lambda done, total: None)
    html = page(staff, f"{LIST}?q={quote(words)}")
    assert "On soup" in html
    assert "Elsewhere" not in html


def test_a_search_without_words_says_so(staff: Client, alice: User) -> None:
    talk(alice, title="On soup")
    html = page(staff, f"{LIST}?q=-soup")
    assert html.count("Write a word to look for, too") == 1
    assert "On soup" not in html


# The transcript


def test_a_transcript_shows_a_branch_from_its_beginning(staff: Client, alice: User) -> None:
    html = page(staff, change(talk(alice, "Answer 0.", "**Answer** 1.")))
    places = [html.index(text) for text in ["Question 0?", "Answer 0.", "Question 1?", "<strong>Answer</strong> 1."]]
    assert places == sorted(places)
    assert ">alice<" in html


def test_a_transcript_shows_the_facts_of_each_reply(staff: Client, alice: User) -> None:
    conversation = talk(
        alice,
        "Half an answer",
        status="failed",
        model="large-1",
        asked=NOON,
        started=NOON + timedelta(seconds=1.25),
        ended=NOON + timedelta(seconds=65),
        attempt=2,
        finish_reason="length",
        upstream_id="chatcmpl-7",
        usage={"prompt_tokens": 12, "completion_tokens": 3400},
        error_code="busy",
        error_params={"retry_after": 60},
    )
    html = page(staff, change(conversation))
    for fact in [
        "Failed",
        "large-1",
        "March 1, 2026, 12:00:00 p.m.",
        "<dt>First token</dt><dd>after 1.2 s</dd>",
        "<dt>Finished</dt><dd>after 65.0 s</dd>",
        "12 prompt, 3,400 completion",
        "<dd>2</dd>",
        "length",
        "chatcmpl-7",
        "busy: The model isn&#x27;t available right now. Try again in 60 seconds.",
    ]:
        assert fact in html


@pytest.mark.django_db(transaction=True)
def test_a_running_reply_shows_its_text_so_far(staff: Client, alice: User) -> None:
    conversation = talk(alice, "", status="streaming")
    reply = Reply.objects.get()
    for seq, kind, data in [(1, "reasoning", "Let me see."), (2, "delta", "Half **an"), (3, "delta", "** answer")]:
        ReplyEvent.objects.create(reply=reply, seq=seq, kind=kind, data=data)
    html = page(staff, change(conversation))
    assert "Half <strong>an</strong> answer" in html
    assert "Let me see." in html


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("text", "is_told"), [("Half an answer", False), ("", True)], ids=["resumed", "lost"])
def test_only_a_reply_without_its_text_is_logged_as_such(
    staff: Client, alice: User, caplog: pytest.LogCaptureFixture, text: str, is_told: bool
) -> None:
    """The log of a reply that ended long ago is purged. When it is resumed, its text is in its message."""
    html = page(staff, change(talk(alice, text, status="queued", started=NOON)))
    assert text in html
    assert ("is shown without its text so far" in caplog.text) == is_told


def test_a_long_transcript_has_pages(staff: Client, alice: User) -> None:
    conversation = talk(alice, *(f"Answer {index}." for index in range(MESSAGES_PER_PAGE)))
    first, second = page(staff, change(conversation)), page(staff, change(conversation) + "?p=2")
    assert first.count("<article") == second.count("<article") == MESSAGES_PER_PAGE
    assert "Answer 24." in first
    assert "Question 25?" in second
    assert 'href="?p=2"' in first
    assert f"{2 * MESSAGES_PER_PAGE} messages" in first


@pytest.mark.parametrize("number", ["0", "-1", "999", "x", ""])
def test_a_page_out_of_range_is_the_nearest_page(staff: Client, alice: User, number: str) -> None:
    assert "Answer." in page(staff, change(talk(alice, "Answer.")) + f"?p={number}")


def test_a_transcript_says_what_was_sent_with_a_question(staff: Client, alice: User) -> None:
    instructions = "Be <b>brief</b>.\n\nIn verse."
    shown = page(staff, change(talk(alice, "A.", instructions=instructions, temperature=0.0, max_tokens=5000)))
    assert ">Be &lt;b&gt;brief&lt;/b&gt;.\n\nIn verse.</p>" in shown
    assert "<dt>Temperature</dt><dd>0</dd>" in shown
    assert "<dt>Longest reply</dt><dd>5,000 tokens</dd>" in shown
    plain = page(staff, change(talk(alice, "A.")))
    assert not [word for word in ("Instructions", "Temperature", "Longest reply") if word in plain]


def test_a_long_transcript_takes_few_queries(
    staff: Client, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    conversation = talk(alice, *(f"Answer {index}." for index in range(MESSAGES_PER_PAGE)))
    for index in range(5):
        queue(conversation, f"Next {index}?")
    # Session, person, their limit, conversation, its owner, what is running, the type of the object, the branch, its
    # messages, their siblings and kept HTML, other branches, problems, what is queued, the review, who can
    # review, remarks, flags, marks asked for and given, queues. The record of this takes five.
    with django_assert_max_num_queries(27):
        assert page(staff, change(conversation) + "?p=2").count("message--queued") == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("status", "state"),
    [("streaming", "Queued"), ("complete", "Queued"), ("stopped", "Held"), ("failed", "Held"), ("interrupted", "Held")],
)
def test_a_transcript_ends_with_the_queued_questions(staff: Client, alice: User, status: str, state: str) -> None:
    conversation = talk(alice, "Answer.", status=status)
    queue(conversation, "First **queued** `now`?")
    queue(conversation, "Second queued?", NOON + timedelta(minutes=5))
    transcript, queued = page(staff, change(conversation)).split("Queued questions</h2>")
    assert "Question 0?" in transcript
    first, second = queued.split("Second queued?")
    # As it will look when it is asked.
    assert 'First **queued** <code dir="ltr">now</code>?' in first
    for facts, minute in [(first, 0), (second, 5)]:
        assert f">{state}</span>" in facts
        assert "<dt>Model</dt><dd>large-1</dd>" in facts
        assert f"<dt>Sent</dt><dd>March 1, 2026, 12:0{minute}:00 p.m.</dd>" in facts
        assert "<dt>Follows</dt><dd>the message of March 1, 2026, 12:00:01 p.m.</dd>" in facts


def test_a_transcript_shows_the_questions_queued_on_other_branches(staff: Client, alice: User) -> None:
    conversation = talk(alice, "First answer.", status="stopped")
    queue(conversation, "After the first?")
    conversation.leaf = add_answer(conversation.messages.get(role="user"), "Second answer.", NOON)
    conversation.save()
    assert "After the first?" in page(staff, change(conversation))


def test_queued_questions_are_on_the_last_page(staff: Client, alice: User) -> None:
    conversation = talk(alice, *(f"Answer {index}." for index in range(MESSAGES_PER_PAGE)))
    assert "Queued questions" not in page(staff, change(conversation) + "?p=2")
    queue(conversation, "Last?")
    assert "Last?" not in page(staff, change(conversation))
    assert "Last?" in page(staff, change(conversation) + "?p=2")


def test_a_transcript_leads_to_who_has_read_it(staff: Client, client: Client, alice: User, bob: User) -> None:
    conversation = talk(alice, "Answer.")
    address = f"{reverse('admin:chat_auditrecord_changelist')}?conversation={conversation.pk}"
    html = page(staff, change(conversation))
    assert f'<a href="{address}">Audit record</a>' in html
    assert "History" not in html
    assert staff.get(address).context["cl"].result_count == 1
    bob.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    client.force_login(bob)
    assert "Audit record" not in page(client, change(conversation))


def test_a_conversation_without_messages_is_shown(staff: Client, alice: User) -> None:
    assert "There are no messages." in page(staff, change(talk(alice)))


def test_an_unknown_conversation_redirects(staff: Client) -> None:
    assert staff.get(reverse("admin:chat_conversation_change", args=["nowhere"])).status_code == 302


# Read only


def test_nothing_can_be_added_or_changed(reader: Client, alice: User) -> None:
    conversation = talk(alice, "Answer.")
    assert reader.get(reverse("admin:chat_conversation_add")).status_code == 403
    assert reader.post(change(conversation), {"title": "Mine"}).status_code == 403
    html = page(reader, change(conversation))
    content = html[html.index('id="content-main"') : html.index("<dialog")]
    assert "<form" not in content
    assert "<input" not in content


def test_deleting_asks_first(staff: Client, alice: User) -> None:
    conversation = talk(alice, "Running", title="To go", status="streaming")
    queue(conversation, "And then?")
    ReplyEvent.objects.create(reply=Reply.objects.get(), seq=1, kind="delta", data="So far")
    html = page(staff, delete(conversation))
    assert "To go" in html
    assert "Messages: 2" in html
    assert "Queued questions: 1" in html
    assert staff.post(delete(conversation), {"post": "yes"}).status_code == 302
    assert not Message.objects.exists()
    assert not ReplyEvent.objects.exists()
    assert not QueuedQuestion.objects.exists()


def test_several_conversations_are_deleted_together(staff: Client, alice: User) -> None:
    pks = [str(talk(alice, "Answer.", title=f"Talk {index}").pk) for index in range(3)]
    data = {"action": "delete_selected", "_selected_action": pks[:2]}
    assert "Messages: 4" in staff.post(LIST, data).content.decode()
    staff.post(LIST, {**data, "post": "yes"})
    assert Conversation.objects.get().title == "Talk 2"


def test_view_permission_is_not_enough_to_delete(reader: Client, alice: User) -> None:
    conversation = talk(alice, "Answer.")
    assert reader.post(delete(conversation), {"post": "yes"}).status_code == 403
    reader.post(LIST, {"action": "delete_selected", "_selected_action": str(conversation.pk), "post": "yes"})
    assert Conversation.objects.filter(pk=conversation.pk).exists()


def test_deleting_a_person_deletes_their_conversations(staff: Client, alice: User) -> None:
    talk(alice, "Running", status="streaming")
    ReplyEvent.objects.create(reply=Reply.objects.get(), seq=1, kind="delta", data="So far")
    url = reverse("admin:chat_user_delete", args=[alice.pk])
    page(staff, url)
    assert staff.post(url, {"post": "yes"}).status_code == 302
    assert not Conversation.objects.exists()


def test_deleting_a_person_shows_figures_instead_of_rows(staff: Client, alice: User) -> None:
    queue(talk(alice, "One.", "Two."), "Question 3?")
    ReplyEvent.objects.create(reply=Reply.objects.all()[0], seq=1, kind="delta", data="Two.")
    html = page(staff, reverse("admin:chat_user_delete", args=[alice.pk]))
    for figure in ["Users: 1", "Conversations: 1", "Messages: 4", "Queued questions: 1"]:
        assert f"<li>{figure}</li>" in html
    assert "Question" not in html
    assert "event" not in html


def test_deleting_a_person_needs_permission_for_their_conversations(reader: Client, bob: User, alice: User) -> None:
    bob.user_permissions.add(*Permission.objects.filter(codename__in=["view_user", "delete_user"]))
    url = reverse("admin:chat_user_delete", args=[alice.pk])
    assert "Are you sure" in page(reader, url)
    talk(alice, "One.")
    assert "permission" in page(reader, url)
    assert reader.post(url, {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


# Hostile text


@pytest.mark.parametrize("url", [lambda _: LIST, change, delete], ids=["list", "transcript", "deletion"])
def test_a_hostile_title_is_text(staff: Client, alice: User, url: Callable[[Conversation], str]) -> None:
    conversation = talk(alice, title=HOSTILE)
    html = page(staff, url(conversation))
    assert escape(HOSTILE, quote=False)[:60] in html.replace("&quot;", '"').replace("&#x27;", "'")
    assert "<script>alert" not in html
    assert "<img src=x" not in html


def test_hostile_messages_are_text(staff: Client, alice: User) -> None:
    error: dict[str, Any] = {"error_code": HOSTILE[:64], "error_params": {"retry_after": HOSTILE}}
    conversation = talk(alice, HOSTILE, finish_reason=HOSTILE[:60], reasoning=HOSTILE, **error)
    conversation.messages.filter(role="user").update(text=HOSTILE)
    queue(conversation, HOSTILE)
    html = page(staff, change(conversation))
    assert "<script>alert" not in html
    assert "<img" not in html[html.index('class="transcript"') :]
    assert 'href="javascript:' not in html
