"""How long sessions last."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat import sessions
from chat.database import DatabaseThreads
from chat.models import User
from chat.sessions import STAFF_SECONDS, OpenSession, OpenSessions, valid_sessions
from tests.client import AsyncClient, Client
from tests.hosts import PATIENCE

IDLE = settings.SESSION_COOKIE_AGE
STAFF = reverse("admin:index")


@pytest.fixture(autouse=True)
def _real_transactions(transactional_db: None) -> None:
    """What is asked gives its connection back, which a transaction around the test would not survive."""


@pytest.fixture
def signed_in(client: Client, alice: User) -> Client:
    """Alice's browser, after she has signed in with her password."""
    client.post(reverse("account_login"), {"login": "alice", "password": "alice's password"})
    return client


def key(signed_in: Client) -> str:
    return signed_in.cookies[settings.SESSION_COOKIE_NAME].value


def age(signed_in: Client, seconds: float) -> None:
    """Make the session this much older, as if nobody had used it."""
    session = SessionStore(key(signed_in))
    session["began"] -= seconds
    session["seen"] -= seconds
    session.save()
    Session.objects.update(expire_date=timezone.now() + timedelta(seconds=IDLE - seconds))


def is_signed_in(signed_in: Client) -> bool:
    return bool(signed_in.get("/").status_code == 200)


def test_an_idle_session_ends(signed_in: Client) -> None:
    age(signed_in, IDLE - 60)
    assert session_holds(signed_in)
    age(signed_in, IDLE + 60)
    assert not session_holds(signed_in)
    assert not is_signed_in(signed_in)


def test_a_session_in_use_does_not_end(signed_in: Client) -> None:
    for _ in range(3):
        age(signed_in, IDLE * 0.9)
        assert is_signed_in(signed_in)
    assert Session.objects.get().expire_date > timezone.now() + timedelta(seconds=IDLE * 0.9)


def test_a_session_is_not_written_at_each_request(signed_in: Client) -> None:
    Session.objects.update(expire_date=(before := timezone.now() + timedelta(seconds=IDLE)))
    assert is_signed_in(signed_in)
    assert Session.objects.get().expire_date == before


def test_staff_sign_in_again_after_a_day(signed_in: Client, alice: User) -> None:
    age(signed_in, STAFF_SECONDS + 60)
    assert is_signed_in(signed_in)
    # Also those who have become staff since.
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert not session_holds(signed_in)
    assert not is_signed_in(signed_in)


def test_a_day_of_staff_is_not_prolonged_by_use(signed_in: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    for _ in range(3):
        age(signed_in, STAFF_SECONDS * 0.3)
        assert signed_in.get(STAFF).status_code == 200
    age(signed_in, STAFF_SECONDS * 0.3)
    assert signed_in.get(STAFF).status_code == 302


# Asked from outside of a request


still_valid: Callable[[set[str]], set[str]] = async_to_sync(valid_sessions)


def session_is_still_valid(key: str) -> bool:
    return still_valid({key}) == {key}


def session_holds(signed_in: Client) -> bool:
    return session_is_still_valid(key(signed_in))


def test_only_signing_out_takes_the_cookie_from_the_browser(signed_in: Client) -> None:
    """By the time a late request is answered, the browser may have the cookie of the next session."""
    ended = key(signed_in)
    signed_out = signed_in.post(reverse("account_logout"))
    assert signed_out.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == 0
    signed_in.cookies[settings.SESSION_COOKIE_NAME] = ended
    for answer in signed_in.get("/"), signed_in.post("/draft/", {"text": "Late"}):
        assert settings.SESSION_COOKIE_NAME not in answer.cookies
        assert "Cookie" in answer["Vary"]


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenSessions]:
    """Looked at all the time."""
    monkeypatch.setattr(sessions, "LOOK", 0)
    opened = OpenSessions(DatabaseThreads(1))
    yield opened
    opened.close()


async def open_key(alice: User) -> str:
    client = AsyncClient()
    await client.aforce_login(alice)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


async def ends(session: OpenSession) -> None:
    """Sign out, and wait until that has been noticed."""
    await Session.objects.filter(pk=session.key).adelete()
    async with asyncio.timeout(PATIENCE):
        await session.ended.wait()


async def test_an_open_session_ends_when_its_person_signs_out(opened: OpenSessions, alice: User) -> None:
    with opened.open(await open_key(alice)) as here, opened.open(await open_key(alice)) as elsewhere:
        await ends(here)
        assert not elsewhere.ended.is_set()


async def test_sessions_are_looked_at_again_after_none_was_open(opened: OpenSessions, alice: User) -> None:
    with opened.open(key := await open_key(alice)):
        looking = opened._looking
    assert looking
    await looking
    with opened.open(key) as session:
        await ends(session)


@pytest.mark.parametrize("failure", [OperationalError, RuntimeError])
async def test_a_failed_look_ends_no_session_and_is_repeated(
    opened: OpenSessions, alice: User, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    failed = asyncio.Event()

    async def fail(_: Iterable[str]) -> set[str]:
        failed.set()
        raise failure

    with opened.open(await open_key(alice)) as session:
        with monkeypatch.context() as patch:
            patch.setattr(sessions, "valid_sessions", fail)
            async with asyncio.timeout(PATIENCE):
                await failed.wait()
        await asyncio.sleep(0)
        assert not session.ended.is_set()
        await ends(session)


@pytest.mark.parametrize("count", [2, 20])
def test_many_sessions_are_looked_up_in_two_queries(
    count: int, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    clients = [Client() for _ in range(count)]
    for client in clients:
        client.force_login(alice)
    keys = [key(client) for client in clients]
    clients[0].logout()
    with django_assert_num_queries(2):
        valid = still_valid(set(keys))
    assert sorted(valid) == sorted(keys[1:])


def test_a_session_is_valid_until_its_person_signs_out(signed_in: Client) -> None:
    assert session_is_still_valid(before := key(signed_in))
    signed_in.post(reverse("account_logout"))
    assert not session_is_still_valid(before)


def test_a_change_of_the_password_ends_all_other_sessions(signed_in: Client, alice: User) -> None:
    alice.set_password("a better one")
    alice.save()
    assert not session_holds(signed_in)


def test_a_disabled_account_has_no_valid_session(signed_in: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert not session_holds(signed_in)


def test_a_deleted_account_has_no_valid_session(signed_in: Client, alice: User) -> None:
    alice.delete()
    assert not session_holds(signed_in)


@pytest.mark.parametrize("key", ["", "a" * 32])
def test_nobody_has_no_valid_session(key: str) -> None:
    assert not session_is_still_valid(key)


def test_a_session_may_name_djangos_own_backend(client: Client, alice: User) -> None:
    client.force_login(alice)
    session = Session.objects.get()
    data = session.get_decoded() | {BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend"}
    Session.objects.update(session_data=SessionStore().encode(data))
    assert client.get("/").status_code == 200
