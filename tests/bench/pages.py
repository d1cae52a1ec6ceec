"""Measures pages in the databases of tests.bench.data, and writes the table into docs/performance.md.

    python -m tests.bench.pages sqlite postgresql

Each figure is the time of a request to the views, without a server, in milliseconds.
"""

import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.bench import comparison, data

if TYPE_CHECKING:
    from chat.models import Conversation, User
    from tests.client import Client

ROUNDS = 10
LABEL = "Measured"
# Every twentieth conversation of the person has the label.
ONE_LABELLED = 20


def measure() -> dict[str, list[float]]:
    """Milliseconds of each page in the database of the settings."""
    from chat.models import Conversation, User

    person = User.objects.get(username="heavy")
    label = labelled(person)
    newest = Conversation.objects.for_user(person).order_by("-updated").first()
    assert newest
    found = requests(signed_in(person), persons(newest, label))
    return found | requests(signed_in(User.objects.get(username="staff")), staffs(newest))


def signed_in(person: "User") -> "Client":
    from tests.client import Client

    client = Client()
    client.force_login(person)
    return client


def labelled(person: "User") -> str:
    """The address's parameter of a label that some of the person's conversations have."""
    from chat.models import Conversation, Label, Labelling

    label, created = Label.objects.get_or_create(owner=person, key=LABEL.lower(), defaults={"name": LABEL})
    if created:
        rows = Conversation.objects.for_user(person).order_by("-updated").values_list("pk", flat=True)
        Labelling.objects.bulk_create(Labelling(label=label, conversation_id=pk) for pk in list(rows)[::ONE_LABELLED])
    return urlencode({"label": label.pk})


def persons(newest: "Conversation", label: str) -> dict[str, str]:
    return {
        "a person's first page": "/",
        "a person's conversation": newest.get_absolute_url(),
        "a person's list": "/history/",
        "the same of one label": f"/history/?{label}",
        "the same, 500 at once": "/history/?count=500",
    }


def staffs(newest: "Conversation") -> dict[str, str]:
    words = data.vocabulary()
    rare, frequent = words[50_000], words[5]
    asked: dict[str, dict[str, object]] = {
        "newest": {},
        "oldest of the pages": {"p": 10},
        "by messages": {"o": 6},
        "by tokens": {"o": -7},
        "of a day": {"since": "2026-03-01", "until": "2026-03-01"},
        "until a day": {"until": "2025-03-01"},
        "of one person": {"owner": "heavy"},
        "failed": {"status": "failed"},
        "running": {"status": "streaming"},
        "with an error": {"error": "busy"},
        "with an error that nobody had": {"error": "cut_off"},
        "judged bad": {"feedback": "bad"},
        "judged good": {"feedback": "good"},
        "a model that one in a thousand has": {"model": "rare"},
        "flagged": {"flagged": "yes"},
        "new to reviewers": {"review": "new"},
        "in the trash": {"trash": "in"},
        "judged bad and failed, of one person": {"feedback": "bad", "status": "failed", "owner": "heavy"},
        "with a frequent word": {"q": frequent},
        "with a rare word": {"q": rare},
        "failed, with a rare word": {"q": rare, "status": "failed"},
    }
    conversations = "/admin/chat/conversation/"
    return {
        **{f"staff's list: {what}": f"{conversations}?{urlencode(query)}" for what, query in asked.items()},
        "staff's transcript": f"{conversations}{newest.pk}/change/",
        "staff's transcript, at a hit": f"{conversations}{newest.pk}/change/?{urlencode({'q': frequent})}",
        "the audit record": "/admin/chat/auditrecord/",
        "the ledger": "/admin/chat/ledgerentry/",
        "the ledger of one person": "/admin/chat/ledgerentry/?person=heavy",
    }


def requests(client: "Client", pages: dict[str, str]) -> dict[str, list[float]]:
    return {what: [timed(client, url) for _ in range(ROUNDS)] for what, url in pages.items()}


def timed(client: "Client", url: str) -> float:
    began = time.perf_counter()
    response = client.get(url)
    taken = time.perf_counter() - began
    assert response.status_code == 200, url
    return taken * 1000


if __name__ == "__main__":
    comparison.main("pages", __doc__, measure)
