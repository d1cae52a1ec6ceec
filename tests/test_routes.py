"""Every address of the chat and of the administration, found by itself, asked by everybody who may not have the answer.

Whoever adds an address finds it here. If it takes an argument that no other one takes, `argument` has to know it.
"""

import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.urls import URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from pytest_django import Settings

from chat.models import (
    AuditHead,
    AuditRecord,
    Conversation,
    Draft,
    Export,
    Label,
    LedgerEntry,
    Marking,
    Message,
    QueuedQuestion,
    QueueRule,
    Remark,
    Reply,
    Review,
    ReviewLabel,
    ReviewLimit,
    ReviewQueue,
    SavedFilter,
    Searchable,
    User,
)
from tests.client import Client
from tests.test_admin import NOON, queue, talk
from tests.test_admin_audit import content

# Views use the database from other threads.
pytestmark = pytest.mark.django_db(transaction=True)

# In each text of Alice's, in most of them besides, and in the figures of her conversation.
SECRET = "quetzal"
WORD = "ibis"
MODEL = "ocelot-1"
# What reviewers call it.
LABEL = "toucan"
# They never end, or end the session that the test needs.
LEFT_OUT = {"events/", "accounts/logout/", "admin/logout/"}
# With patterns of another kind, which take no id of anything that a person has written.
EXPRESSIONS = {
    "^accounts/(email|confirm-email)/",
    "^admin/r/",
    "accounts/^confirm-email/",
    "accounts/^password/reset/key/",
    "admin/^(?P<app_label>",
    "admin/(?P<url>",
}
EXPORTS = r"/(auditrecord|conversation|ledgerentry|reviewqueue/[^/]*)/export"
# What a browser would send to change or delete Alice's things.
SENT = {
    "post": "yes",
    "action": "delete_selected",
    "text": "Changed",
    "title": "Changed",
    "name": "Changed",
    "version": "1",
    "state": "done",
    "kind": "flag",
    "reason": "Changed",
}
OTHER_METHODS = "HEAD PUT PATCH DELETE OPTIONS"
OF_TEXT = [Action for Action in AuditRecord.Action if Action in ("listed", "searched", "read", "watched", "exported")]


class AnyMethod(Client):
    """A browser that can be made to send what no page lets it send."""

    def ask(self, method: str, path: str) -> Any:
        return self._ask(getattr(self._client, method.lower()), path)


@pytest.fixture(autouse=True)
def _no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most answers are refusals, each of which takes longer to log than to give."""
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)


@pytest.fixture
def client() -> AnyMethod:
    return AnyMethod()


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """All routes, such as `c/<uuid:pk>/`."""
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        elif isinstance(entry.pattern, RoutePattern):
            yield route
        else:
            assert route.startswith(tuple(EXPRESSIONS)), f"say in EXPRESSIONS that {route} leads to nobody's text"


@pytest.fixture
def secrets(alice: User) -> Conversation:
    """A conversation of Alice's with everything that a conversation can have."""
    User.objects.filter(pk=alice.pk).update(instructions=SECRET)
    reply = {"reasoning": SECRET, "instructions": SECRET, "feedback": "bad", "feedback_reason": SECRET}
    conversation = talk(alice, f"Answer {SECRET} {WORD}.", title=f"Title {SECRET} {WORD}", **{**reply, "model": MODEL})
    Message.objects.filter(role="user").update(text=f"Question {SECRET} {WORD}?")
    Conversation.objects.update(model=MODEL, instructions=SECRET)
    queued = queue(conversation, f"Next {SECRET}?")
    Draft.objects.keep(alice.pk, conversation.pk, SECRET)
    Label.objects.create(owner=alice, name=SECRET)
    EmailAddress.objects.create(user=alice, email="alice@example.org")
    messages = [Searchable.of_message(message) for message in conversation.messages.all()]
    Searchable.objects.put([Searchable.of_title(conversation), *messages, Searchable.of_queued(queued)])
    conversation.refresh_from_db()
    return conversation


def argument(route: str, name: str) -> object:
    """The value of an argument that leads to something of Alice's."""
    first = {
        "c/": Conversation,
        "questions/": Message,
        "replies/": Message,
        "labels/": Label,
        "trash/": Conversation,
        "admin/chat/conversation/filters/": SavedFilter,
        "admin/chat/conversation/": Conversation,
        "admin/chat/user/": User,
        "admin/chat/auditrecord/": AuditRecord,
        "admin/chat/reviewlimit/": ReviewLimit,
        "admin/chat/review/": Conversation,
        "admin/chat/reviewlabel/": ReviewLabel,
        "admin/chat/remark/": Conversation,
        "admin/chat/reviewqueue/": ReviewQueue,
        "admin/chat/export/": Export,
        "admin/chat/ledgerentry/": LedgerEntry,
        "admin/auth/group/": Group,
        "admin/account/emailaddress/": EmailAddress,
    }
    values: dict[str, Callable[[], object]] = {
        "message": lambda: Message.objects.filter(role="assistant").latest("pk").pk,
        "marking": lambda: Marking.objects.earliest("pk").pk,
        "conversation": lambda: Conversation.objects.get().pk,
        "remark": lambda: Remark.objects.earliest("pk").pk,
        "question": lambda: QueuedQuestion.objects.get().pk,
        "key": lambda: Searchable.objects.earliest("pk").pk,
        "suffix": lambda: "csv" if route.startswith("admin/") else "md",
        "content_type_id": lambda: Permission.objects.get(codename="view_conversation").content_type_id,
    }
    if name in values:
        return values[name]()
    models: list[Any] = [model for start, model in first.items() if route.startswith(start)]
    assert models or route.startswith("admin/r/"), f"say what <{name}> of {route} is"
    of_role = {"questions/": "user", "replies/": "assistant"}.get(route.split("<", maxsplit=1)[0])
    rows = (models or [Conversation])[0]._default_manager.all()
    rows = rows.filter(role=of_role) if of_role else rows
    row: Model | None = rows.first()
    assert row, f"make a row for <{name}> of {route}"
    return row.pk


def addresses(start: str = "") -> list[str]:
    """Those of all routes that begin so, with arguments that lead to Alice's things."""
    found = [route for route in routes(get_resolver()) if route.startswith(start) and route not in LEFT_OUT]
    return ["/" + re.sub(r"<(?:\w+:)?(\w+)>", partial(_filled, route), route) for route in found]


def others() -> list[str]:
    """Those of the chat itself."""
    return [address for address in addresses() if not address.startswith(("/admin/", "/accounts/"))]


def _filled(route: str, match: re.Match[str]) -> str:
    return str(argument(route, match[1]))


def allow(user: User, *codenames: str) -> None:
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))


LABELS = ("view_reviewlabel", "delete_reviewlabel")
QUEUES = ("view_reviewqueue", "add_reviewqueue", "change_reviewqueue")


def limited(user: User) -> None:
    """Sees and reads, but nobody of Alice's."""
    allow(user, "view_conversation", "read_conversation", "delete_conversation", "review_conversation", *LABELS)
    ReviewLimit.objects.create(reviewer=user).groups.add(Group.objects.create(name="Others"))


# What they may do would change something: they only see what asks before that.
ASKED_FIRST = {"deletes without reading"}
# By name: what they may do, and what no answer to them has.
ROLES: dict[str, tuple[Callable[[User], None], list[str]]] = {
    "without permissions": (lambda user: None, [SECRET, LABEL, MODEL]),
    "may only see": (lambda user: allow(user, "view_conversation"), [SECRET, LABEL]),
    "deletes without reading": (
        lambda user: allow(user, "view_conversation", "delete_conversation", "delete_reviewqueue", *LABELS),
        [SECRET, LABEL],
    ),
    "manages queues without reading": (lambda user: allow(user, "view_conversation", *QUEUES), [SECRET, LABEL]),
    "looks at labels": (lambda user: allow(user, *LABELS), [SECRET, LABEL, MODEL]),
    # Reads everything, and changes nothing.
    "reads without reviewing": (lambda user: allow(user, "view_conversation", "read_conversation"), []),
    "reviews without reading": (lambda user: allow(user, "view_conversation", "review_conversation"), [SECRET, LABEL]),
    "may only read": (lambda user: allow(user, "read_conversation"), [SECRET, LABEL, MODEL]),
    "limited to others": (limited, [SECRET, LABEL, MODEL, "alice"]),
    "looks after accounts": (
        lambda user: allow(user, "view_user", "change_user", "view_group"),
        [SECRET, LABEL, MODEL],
    ),
    "looks at the record": (lambda user: allow(user, "view_auditrecord"), [SECRET, LABEL, MODEL]),
}


@pytest.fixture
def rows(secrets: Conversation, alice: User) -> None:
    """One of each thing that an address of the administration can be about."""
    Group.objects.create(name="Readers")
    Export(person=alice, suffix="csv", query=f"q={SECRET}", address="192.0.2.7").ask([(secrets.pk, 2)])
    Export.objects.update(finished=NOON)
    LedgerEntry.objects.create(person=alice, reply_id=secrets.pk, model=MODEL)
    SavedFilter.objects.create(person=alice, name=SECRET, query="status=failed")
    reviewer = User.objects.create_user("rob")
    ReviewLimit.objects.create(reviewer=reviewer)
    Review.objects.change(secrets.pk, 0, reviewer, state="in review", assignee=reviewer, labels=[LABEL])
    queue = ReviewQueue.objects.create(name="Macaw", rubric="Correct: yes, no")
    queue.put([secrets.pk])
    QueueRule.objects.create(queue=queue, owner=reviewer, share=10, conditions={"label": LABEL})
    queue.markings.update(done=NOON, marks={"Correct": SECRET})
    Remark.objects.report(secrets.messages.get(role="assistant"), alice, SECRET)


def state() -> list[Any]:
    models: list[Any] = [Conversation, Message, Reply, QueuedQuestion, Draft, Label, SavedFilter, User, Group]
    models += [Review, ReviewLabel, Remark, ReviewQueue, Marking, QueueRule]
    skipped = {"last_login"}
    # Others may ask for some of their own.
    exports = list(Export.objects.filter(person__username="alice").values_list("pk", "expires"))
    return exports + [
        sorted(model.objects.values_list(*(f.name for f in model._meta.fields if f.name not in skipped)), key=str)
        for model in models
    ]


def answers(
    client: AnyMethod,
    address: str,
    pk: UUID,
    methods: str = "GET POST",
    streams: str = EXPORTS,
    is_asked_first: bool = False,
) -> Iterator[tuple[str, Any]]:
    """What a browser gets there, by method. A stream, which nobody reads here, only where it is expected.

    Where it is asked first, it does not say yes.
    """
    sent = {**SENT, "_selected_action": str(pk)}
    if is_asked_first:
        # A page that asks takes whatever is sent to it for a yes; a list takes its own word for it.
        sent = {} if address.endswith("/delete/") else {name: value for name, value in sent.items() if name != "post"}
    for method in methods.split():
        response = client.post(address, sent) if method == "POST" else client.ask(method, address)
        assert not response.streaming or re.search(streams, address), f"{method} {address}"
        yield f"{method} {address}", response


@pytest.mark.parametrize(
    "role", [pytest.param(role, marks=[] if role == "limited to others" else pytest.mark.any_store) for role in ROLES]
)
def test_the_administration_keeps_what_somebody_may_not_have(
    client: AnyMethod, bob: User, rows: None, secrets: Conversation, role: str
) -> None:
    allowed, hidden = ROLES[role]
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    allowed(bob)
    client.force_login(bob)
    before = state()
    for address in [
        *addresses("admin/"),
        f"/admin/chat/conversation/?q={WORD}",
        "/admin/chat/conversation/owners/?term=al",
    ]:
        streams = EXPORTS if hidden else f"{EXPORTS}|/events/"
        for request, response in answers(client, address, secrets.pk, "GET POST", streams, role in ASKED_FIRST):
            text = "" if not hidden else content(response) if response.streaming else response.text
            assert not [word for word in hidden if word in text], f"{request} shows it"
    assert state() == before


@pytest.mark.any_store
def test_no_other_method_is_a_way_around(client: AnyMethod, bob: User, rows: None, secrets: Conversation) -> None:
    """One role is enough: whatever a view does with another method than POST, it does as with GET."""
    allowed, hidden = ROLES["may only see"]
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    allowed(bob)
    client.force_login(bob)
    before = state()
    for address in [*addresses("admin/"), *others()]:
        for request, response in answers(client, address, secrets.pk, OTHER_METHODS):
            assert response.streaming or not [word for word in hidden if word in response.text], f"{request} shows it"
    assert state() == before


@pytest.mark.parametrize("is_staff", [False, True], ids=["stranger", "superuser"])
def test_the_chat_shows_nobody_what_is_somebody_elses(
    client: AnyMethod, bob: User, sam: User, rows: None, secrets: Conversation, settings: Settings, is_staff: bool
) -> None:
    settings.CHAT_SHOW_READERS = True
    client.force_login(sam if is_staff else bob)
    before = state()
    for address in [*others(), f"/search/?q={WORD}", f"/search/offers/?q={WORD}"]:
        # What has no id starts or changes something of one's own.
        methods = "GET POST" if re.search(r"\d", address) else "GET"
        for request, response in answers(client, address, secrets.pk, methods):
            assert SECRET not in response.text, f"{request} shows it"
    assert state() == before


def test_each_page_with_somebodys_text_is_recorded_once(
    client: AnyMethod, sam: User, rows: None, secrets: Conversation
) -> None:
    client.force_login(sam)
    recorded = 0
    # A stream of events that names no reply has no text.
    reply = secrets.messages.get(role="assistant").pk
    ways = [re.sub("/events/$", f"/events/?reply={reply}:0", address) for address in addresses("admin/")]
    for address in [*ways, f"/admin/chat/conversation/?q={WORD}"]:
        before = AuditHead.objects.get().number
        for request, response in answers(client, address, secrets.pk, "GET", f"{EXPORTS}|/events/"):
            is_text = response.streaming or SECRET in response.text
            count = AuditRecord.objects.filter(pk__gt=before, action__in=OF_TEXT).count()
            assert count == is_text, f"{request} has {count} records"
            recorded += is_text
    # The list, the search, the transcript, a message of it, its events, what asks before a deletion, and four exports.
    assert recorded >= 10


def test_each_search_that_leads_somewhere_is_recorded_once(
    client: AnyMethod, sam: User, rows: None, secrets: Conversation
) -> None:
    client.force_login(sam)
    ways = [
        address
        for address in addresses("admin/chat/conversation/")
        if re.search(r"\d.*/(next|previous|change)/$", address)
    ]
    assert len(ways) == 3
    for address in ways:
        before = AuditHead.objects.get().number
        assert client.get(f"{address}?_changelist_filters=q%3D{WORD}").status_code == 302
        assert AuditRecord.objects.filter(pk__gt=before).get().action == "searched", address
