import pytest

from chat import asking
from chat.models import Reply, User
from tests import endings
from tests.client import Client


@pytest.fixture(autouse=True)
def _real_transactions(transactional_db: None) -> None:
    """Views return their connections, which would end a transaction around the test."""


@pytest.fixture
def client(alice: User) -> Client:
    """Alice is signed in. Her requests need a CSRF token only where a test says so."""
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def ended(alice: User) -> Reply:
    """A complete reply in Alice's conversation, no longer in the log."""
    return end(asking.begin(alice, "What is **two** and two?", "demo"), "It is *four*.")


def end(reply: Reply, text: str) -> Reply:
    endings.end(reply, text, finish_reason="stop", last_seq=7, reasoning="I add.")
    return Reply.objects.select_related("message__conversation").get(pk=reply.pk)
