"""What people think of answers."""

import pytest

from chat import asking
from chat.forms import REASON_CHARS
from chat.models import Conversation, Reply, User
from tests.client import Client

JSON = {"accept": "application/json"}


def judge(client: Client, reply: Reply, **fields: str) -> tuple[int, str, str]:
    """The status of the response, and what is kept."""
    status = client.post(f"/replies/{reply.pk}/feedback/", fields, headers=JSON).status_code
    reply.refresh_from_db()
    return status, reply.feedback, reply.feedback_reason


def test_an_answer_is_judged_changed_and_taken_back(client: Client, ended: Reply) -> None:
    assert judge(client, ended, verdict="good") == (200, "good", "")
    assert ended.feedback_given
    assert judge(client, ended, verdict="bad", reason="It is 4.") == (200, "bad", "It is 4.")
    assert judge(client, ended, verdict="", reason="It is 4.") == (200, "", "")
    assert ended.feedback_given is None


def test_other_pages_learn_of_feedback(client: Client, ended: Reply) -> None:
    def version() -> int:
        return Conversation.objects.get().version

    before = version()
    judge(client, ended, verdict="good")
    assert version() == before + 1


@pytest.mark.parametrize(
    "fields", [{"verdict": "great"}, {"verdict": "bad", "reason": (REASON_CHARS + 1) * "x"}, {"reason": "\0"}]
)
def test_bad_feedback_is_refused_with_a_sentence(client: Client, ended: Reply, fields: dict[str, str]) -> None:
    response = client.post(f"/replies/{ended.pk}/feedback/", fields, headers=JSON)
    assert response.status_code in (400, 422)
    assert response.json()["error"]["message"].endswith(".")


def test_an_answer_is_judged_when_it_has_ended(client: Client, alice: User) -> None:
    running = asking.begin(alice, "Hello", "demo")
    assert judge(client, running, verdict="good") == (409, "", "")


def test_a_form_leads_back_to_the_answer(client: Client, ended: Reply) -> None:
    response = client.post(f"/replies/{ended.pk}/feedback/", {"verdict": "bad"}, headers={"accept": "text/html"})
    assert response.status_code == 303
    assert response["location"] == ended.message.get_absolute_url()
    assert "What is wrong with it?" in client.get(ended.message.conversation.get_absolute_url()).text
