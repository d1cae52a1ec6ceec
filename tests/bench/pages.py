"""Measures pages in the databases of tests.bench.data, and writes the table into docs/performance.md.

    python -m tests.bench.pages sqlite postgresql

Each figure is the time of a request to the views, without a server, in milliseconds.
"""

import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.bench import comparison, data

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from chat.models import Conversation, User
    from tests.client import Client

type Filters = dict[str, dict[str, str]]

CONVERSATIONS = "/admin/chat/conversation/"
ROUNDS = 10
LABEL = "Measured"
# Every twentieth conversation of the person has the label.
ONE_LABELLED = 20


def measure() -> dict[str, list[float]]:
    """Milliseconds of each page in the database of the settings."""
    from chat.models import Conversation, User
    from tests.bench import reviews

    person = User.objects.get(username="heavy")
    label = labelled(person)
    newest = Conversation.objects.for_user(person).order_by("-updated").first()
    assert newest
    found = requests(signed_in(person), persons(newest, label))
    found |= requests(signed_in(User.objects.get(username="staff")), staffs(newest))
    for group, one in reviews.GROUPS.items():
        reviewer = User.objects.get(username=reviews.limited_to(group))
        found |= requests(signed_in(reviewer), limited(f"a reviewer of one in {one} people"))
    return found


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
    lists: Filters = {
        "newest": {},
        "oldest of the pages": {"p": "10"},
        "by messages": {"o": "6"},
        "by tokens": {"o": "-7"},
        "of a day": {"since": "2026-03-01", "until": "2026-03-01"},
        "until a day": {"until": "2025-03-01"},
        "of one person": {"owner": "heavy"},
        "of a group": {"group": "sales"},
        "failed": {"status": "failed"},
        "running": {"status": "streaming"},
        "with an error": {"error": "busy"},
        "with an error that nobody had": {"error": "cut_off"},
        "judged bad": {"feedback": "bad"},
        "judged good": {"feedback": "good"},
        "a model that one in a thousand has": {"model": "rare"},
        "flagged or reported": {"flagged": "yes"},
        "reported": {"flagged": "report"},
        "new to reviewers": {"review": "new"},
        "in review": {"review": "in review"},
        "done": {"review": "done"},
        "of one reviewer": {"reviewer": "ann"},
        "of no reviewer": {"reviewer": "(nobody)"},
        "in review, of one reviewer": {"review": "in review", "reviewer": "ann"},
        "with a label that half of the reviews have": {"label": "clear"},
        "with a label that one in a hundred has": {"label": "unsafe"},
        "in the trash": {"trash": "in"},
        "not in the trash": {"trash": "out"},
        "judged bad and failed, of one person": {"feedback": "bad", "status": "failed", "owner": "heavy"},
        "flagged or reported, not in the trash, new to reviewers": {"flagged": "yes", "trash": "out", "review": "new"},
        "with a frequent word": {"q": frequent},
        "with a rare word": {"q": rare},
        "failed, with a rare word": {"q": rare, "status": "failed"},
        "flagged or reported, with a frequent word": {"q": frequent, "flagged": "yes"},
    }
    failed, flagged = {"status": "failed"}, {"flagged": "yes"}
    return {
        **listed("staff's list", lists),
        "staff's transcript": transcript(newest, {}),
        "staff's transcript, at a hit": transcript(newest, {"q": frequent}),
        "staff's transcript, at the first problem": transcript(first(failed), failed),
        "staff's transcript, at a flag": transcript(first(flagged), flagged),
        "staff's next conversation, of those that failed": transcript(first(failed), failed, "next"),
        "staff's next conversation, of those flagged or reported": transcript(first(flagged), flagged, "next"),
        "the audit record": "/admin/chat/auditrecord/",
        "the ledger": "/admin/chat/ledgerentry/",
        "the ledger of one person": "/admin/chat/ledgerentry/?person=heavy",
    }


def limited(who: str) -> dict[str, str]:
    """The pages of a reviewer who may see some people's conversations only."""
    words = data.vocabulary()
    lists: Filters = {
        "newest": {},
        "by messages": {"o": "6"},
        "failed": {"status": "failed"},
        "judged bad": {"feedback": "bad"},
        "flagged or reported": {"flagged": "yes"},
        "new to reviewers": {"review": "new"},
        "in review": {"review": "in review"},
        "with a label that half of the reviews have": {"label": "clear"},
        "in the trash": {"trash": "in"},
        "with a frequent word": {"q": words[5]},
        "with a rare word": {"q": words[50_000]},
    }
    return {**listed(who, lists), f"{who}: the ledger": "/admin/chat/ledgerentry/"}


def listed(whose: str, lists: Filters) -> dict[str, str]:
    return {f"{whose}: {what}": f"{CONVERSATIONS}?{urlencode(query)}" for what, query in lists.items()}


def first(query: dict[str, str]) -> "Conversation":
    """The first conversation of the list that is filtered so."""
    from chat.conditions import CONDITIONS
    from chat.models import Conversation

    rows: QuerySet[Conversation] = Conversation.objects.order_by("-updated", "-pk")
    for name, value in query.items():
        rows = CONDITIONS[name](rows, value)
    return rows[0]


def transcript(conversation: "Conversation", query: dict[str, str], page: str = "change") -> str:
    """Its page, or the `next` one, as a reviewer opens it from the list that is filtered so."""
    listed = {"_changelist_filters": urlencode(query)} if query else {}
    return f"{CONVERSATIONS}{conversation.pk}/{page}/?{urlencode(listed)}"


def requests(client: "Client", pages: dict[str, str]) -> dict[str, list[float]]:
    return {what: [timed(client, url) for _ in range(ROUNDS)] for what, url in pages.items()}


def timed(client: "Client", url: str) -> float:
    began = time.perf_counter()
    # A transcript leads to its place at a hit, a problem or a flag.
    response = client.get(url, follow=True)
    taken = time.perf_counter() - began
    assert response.status_code == 200, url
    return taken * 1000


if __name__ == "__main__":
    comparison.main("pages", __doc__, measure)
