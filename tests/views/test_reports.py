"""Reporting an answer to the administrators."""

import asyncio
from typing import Any

import pytest
from django.urls import reverse

from chat import asking, trash
from chat.database import in_thread
from chat.models import Conversation, Remark, Reply, TooManyRemarks, User
from chat.models.remarks import MOST_REPORTS
from tests.client import Client
from tests.test_admin import LIST, page

HTML = {"accept": "text/html"}


def report(client: Client, reply: Reply, text: str = "It is rude", **headers: str) -> Any:
    return client.post(reverse("report", args=[reply.pk]), {"reason": text}, headers={**HTML, **headers})


def fill(reply: Reply, by: User) -> None:
    """Let a person have reported as many answers as they may."""
    remarks = (
        Remark(conversation=reply.message.conversation, kind="report", by=by, text="x") for _ in range(MOST_REPORTS)
    )
    Remark.objects.bulk_create(remarks)


def test_a_person_reports_an_answer_and_learns_what_happens(client: Client, ended: Reply, sam: User) -> None:
    address = reverse("report", args=[ended.pk])
    assert f'href="{address}"' in client.get(ended.message.conversation.get_absolute_url()).text
    assert "Administrators get your report" in client.get(address).text
    response = report(client, ended)
    assert (response.status_code, response["location"]) == (303, address)
    html = client.get(address).text
    assert "It is rude" in html
    assert "No administrator has settled it yet" in html
    Remark.objects.settle(sam)
    assert "An administrator settled it" in client.get(address).text


def test_administrators_see_a_report_as_a_flag(client: Client, ended: Reply, sam: User) -> None:
    report(client, ended)
    client.force_login(sam)
    assert "Flagged</span>" in page(client, f"{LIST}?flagged=report")
    response = client.get(reverse("admin:chat_conversation_change", args=[ended.message.conversation_id]))
    assert "<strong>Report</strong> alice" in response.text
    assert "It is rude" in response.text


def test_an_answer_is_reported_once(client: Client, ended: Reply) -> None:
    report(client, ended)
    assert report(client, ended, "Again").status_code == 303
    assert Remark.objects.get().text == "It is rude"


async def test_of_several_reports_at_once_one_is_kept(ended: Reply, alice: User) -> None:
    here = in_thread(Remark.objects.report)
    await asyncio.gather(*(here(ended.message, alice, "It is rude") for _ in range(3)))
    assert await Remark.objects.acount() == 1


def test_reports_have_a_limit_per_day(client: Client, ended: Reply, alice: User) -> None:
    fill(ended, alice)
    response = report(client, ended)
    assert response.status_code == 422
    assert "You have reported 20 answers within a day" in response.text
    assert "It is rude" in response.text
    with pytest.raises(TooManyRemarks):
        Remark.objects.report(ended.message, alice, "It is rude")


@pytest.mark.parametrize(("text", "sentence"), [("", "Write a reason first."), ("x" * 2001, "2,001 characters")])
def test_a_bad_reason_is_refused_beside_the_field(client: Client, ended: Reply, text: str, sentence: str) -> None:
    response = report(client, ended, text)
    assert response.status_code == 422
    assert sentence in response.text
    assert sentence in report(client, ended, text, accept="application/json").json()["error"]["fields"]["reason"]
    assert not Remark.objects.exists()


def test_programs_report_too(client: Client, ended: Reply) -> None:
    assert report(client, ended, accept="application/json").json() == {}


def test_only_an_answer_of_ones_own_that_has_ended_can_be_reported(
    client: Client, ended: Reply, alice: User, bob: User
) -> None:
    running = asking.begin(alice, "Hello", "demo")
    assert report(client, running).status_code == 409
    conversation = ended.message.conversation
    trash.put(alice, [conversation.pk])
    assert report(client, ended).status_code == 404
    with pytest.raises(Conversation.DoesNotExist):
        Remark.objects.report(ended.message, alice, "It is rude")
    Conversation.objects.update(trashed=None)
    client.force_login(bob)
    assert report(client, ended).status_code == 404
    assert not Remark.objects.exists()
