"""The history in the sidebar: its marks, its entries, and what is open now."""

from typing import Any
from uuid import uuid4

import pytest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from chat import asking
from chat.models import Conversation, Label, Labelling, Reply, User
from chat.templatetags import entries
from tests.client import Client
from tests.endings import end

JSON = {"accept": "application/json"}


@pytest.fixture
def running(alice: User) -> Reply:
    return asking.begin(alice, "Hello?", "demo")


@pytest.fixture
def url(running: Reply) -> str:
    return f"{running.message.conversation.get_absolute_url()}seen/"


def marks(client: Client) -> list[str]:
    groups = client.get("/history/").context["history"]["groups"]
    return [conversation.mark for _, group in groups for conversation in group]


def test_a_reply_that_is_being_written_is_marked(client: Client, running: Reply) -> None:
    assert marks(client) == ["running"]
    assert "A reply is being written" in client.get("/history/").text


@pytest.mark.parametrize(
    ("status", "mark"),
    [("complete", "unseen"), ("failed", "failed"), ("interrupted", "failed"), ("stopped", "")],
)
def test_the_end_of_a_reply_is_marked_until_it_is_seen(
    client: Client, running: Reply, url: str, status: str, mark: str
) -> None:
    end(running, "Hi!", status)
    assert marks(client) == [mark]
    assert client.post(url, headers=JSON).status_code == 200
    assert marks(client) == [""]
    end(asking.ask(running.message.conversation, "And?", "demo"), "Well.", status)
    assert marks(client) == [mark]


def test_a_reply_on_another_branch_is_marked_while_it_is_written(client: Client, running: Reply, url: str) -> None:
    end(running, "Hi!")
    client.post(url)
    asking.retry(running, "demo")
    running.message.conversation.show(running.message)
    assert marks(client) == ["running"]


def test_the_end_of_a_comparison_is_marked(client: Client, alice: User) -> None:
    replies = asking.compare(lambda: asking.begin(alice, "Hello?", "small"), "large")
    for reply in replies:
        end(reply, "Hi!")
    assert marks(client) == ["unseen"]


def test_a_page_without_scripts_tells_by_an_image(client: Client, running: Reply, url: str) -> None:
    page = running.message.conversation.get_absolute_url()
    assert f'src="{url}"' not in client.get(page).text, "nothing has ended"
    end(running, "Hi!")
    assert f'src="{url}"' in client.get(page).text
    assert client.get(url, headers={"accept": "image/*"}).status_code == 204
    assert marks(client) == [""]
    assert f'src="{url}"' not in client.get(page).text


def test_other_pages_are_told_once_that_it_is_seen(client: Client, alice: User, running: Reply, url: str) -> None:
    client.post(url)
    end(running, "Hi!")
    alice.refresh_from_db()
    client.post(url)
    client.post(url)
    assert User.objects.get().list_version == alice.list_version + 1


def test_a_conversation_that_ended_before_there_were_marks_has_none(client: Client, alice: User) -> None:
    """Its column says that it was seen when the column was made."""
    conversation = Conversation.objects.create(owner=alice, title="Old", model="demo")
    assert conversation.unseen_end() is None
    assert marks(client) == [""]


# Entries


def test_an_entry_is_rendered_again_when_what_it_shows_has_changed(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [Conversation.objects.create(owner=alice, title=title) for title in ("One", "Two")]
    rendered: list[str] = []

    def render(template: str, shown: dict[str, Any]) -> SafeString:
        rendered.append(shown["title"])
        return render_to_string(template, shown)

    monkeypatch.setattr(entries, "render_to_string", render)
    titles = [f">{title}</a>" for title in ("Two", "One", "Three")]
    for expected in (["Two", "One"], []):
        page = client.get("/history/").text
        assert [title in page for title in titles] == [True, True, False]
        assert rendered == expected
        rendered.clear()
    Conversation.objects.filter(pk=second.pk).update(title="Three")
    page = client.get("/history/").text
    assert [title in page for title in titles] == [False, True, True]
    assert rendered == ["Three"]
    assert f'href="{first.get_absolute_url()}" aria-current="page"' in client.get(f"/history/?here={first.pk}").text
    label = Label.objects.create(owner=alice, name="Work")
    Labelling.objects.create(label=label, conversation=first)
    assert "<bdi>Work</bdi>" in client.get("/history/").text


def test_no_entry_runs_what_a_title_says(client: Client, alice: User) -> None:
    Conversation.objects.create(owner=alice, title="<script>alert(1)</script>")
    page = client.get("/history/").text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") == 3


# What is open now


def test_what_is_open_comes_apart_if_it_is_far_below(client: Client, alice: User) -> None:
    first, *_ = [Conversation.objects.create(owner=alice, title=str(number)) for number in range(41)]
    far = f"/history/?here={first.pk}"
    assert [label for label, _ in client.get(far).context["history"]["groups"]] == ["Open now", "Today"]
    assert client.get(far).text.count("data-place") == 40
    assert client.get(f"{far}&count=41").text.count("data-place") == 41
    page = client.get(first.get_absolute_url()).text
    assert page.count('aria-current="page">0</a>') == 1
    for nothing in (f"/history/?here={uuid4()}", f"/history/?here={first.pk}&before=0_2030-01-01T00:00:00Z_{uuid4()}"):
        assert "Open now" not in client.get(nothing).text


def test_an_id_that_is_none_is_refused(client: Client) -> None:
    assert client.get("/history/?here=x").status_code == 400


def test_what_is_in_no_list_does_not_come_apart(client: Client, alice: User) -> None:
    Conversation.objects.bulk_create(Conversation(owner=alice, title=str(number)) for number in range(40))
    archived = Conversation.objects.create(owner=alice, title="Archived", archived=True)
    assert "Open now" not in client.get(f"/history/?here={archived.pk}").text
