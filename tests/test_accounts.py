"""Signing in: what is limited, what an attempt costs, and where it may lead."""

import asyncio
import re
import threading
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator, default_token_generator
from django.core.mail import EmailMessage
from django.urls import reverse
from pytest_django import Settings

from chat.models import User
from chat.process import Process
from config.server.middleware import Handler
from config.server.threads import PASSWORD_THREADS, THREADS, SharedThreads
from tests.client import AsyncClient, Client
from tests.passwords import QuickHasher
from tests.server import Server, Servers
from tests.test_settings import load
from tests.visitor import PATIENCE

LOGIN = reverse("account_login")
LIMITED = "Too many attempts"
GUESS = "a guess"
WRONG = "password don&#x27;t match"


@pytest.fixture(autouse=True)
def _people(alice: User) -> None:
    """Alice has an account."""


def sign_in(login: str, password: str = GUESS, host: str = "localhost", address: str = "192.0.2.1") -> str:
    """The page that a browser without cookies gets after an attempt, or where it is sent."""
    browser = Client(headers={"host": host}, address=address)
    answer = browser.post(LOGIN, {"login": login, "password": password})
    return str(answer.text or answer.headers["location"])


# Limits


@pytest.mark.parametrize("host", ["localhost:{}", "localhost.:{}", "LOCALHOST:{}", "127.0.0.1:{}"])
def test_host_header_does_not_reset_the_limit(host: str) -> None:
    for port in range(1000, 1005):
        assert LIMITED not in sign_in("alice", host=host.format(port))
    assert LIMITED in sign_in("alice", "alice's password", host=host.format(1005))


def test_name_and_address_share_one_limit() -> None:
    for login in ["alice", "alice@example.org", "ALICE", "Alice@Example.org", " alice "]:
        assert LIMITED not in sign_in(login)
    assert LIMITED in sign_in("alice", "alice's password")
    assert LIMITED in sign_in("alice@example.org", "alice's password")


def test_other_accounts_are_not_limited(bob: User) -> None:
    for _ in range(6):
        sign_in("alice")
    assert sign_in("bob", "bob's password", address="192.0.2.2") == "/"


def test_unknown_logins_are_limited_too() -> None:
    for _ in range(5):
        assert LIMITED not in sign_in("nobody", host="localhost:1")
    assert LIMITED in sign_in("Nobody", host="localhost:2")


def test_processes_count_wrong_passwords_together(server: Server, start_server: Servers) -> None:
    other = start_server(server.database)
    server.database.run(lambda: User.objects.create_user("alice", password="a good password"))
    with httpx.Client(trust_env=False, timeout=30) as client:
        for process in (server, other, server, other, server):
            assert LIMITED not in post_login(client, process, GUESS).text
        assert LIMITED in post_login(client, other, "a good password").text


def post_login(client: httpx.Client, server: Server, password: str) -> httpx.Response:
    page = client.get(f"{server.url}{LOGIN}").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    fields = {"csrfmiddlewaretoken": token[1], "login": "alice", "password": password}
    return client.post(f"{server.url}{LOGIN}", data=fields)


# What an attempt costs


@pytest.mark.parametrize("login", ["alice", "alice@example.org", "nobody", "nobody@example.org", "zoe", "una"])
def test_every_attempt_hashes_one_password(login: str) -> None:
    User.objects.create_user("zoe", "zoe@example.org", "zoe's password", is_active=False)
    User.objects.create_user("una", "una@example.org")
    with patch.object(QuickHasher, "encode", autospec=True, side_effect=QuickHasher.encode) as encode:
        sign_in(login)
    assert encode.call_count == 1


@pytest.mark.django_db(transaction=True)
async def test_many_who_sign_in_keep_no_page_from_others(bob: User) -> None:
    """Each hash lasts until the test lets it go."""
    hashing, go, encode = threading.Semaphore(0), threading.Event(), QuickHasher.encode

    def slowly(*arguments: Any) -> str:
        hashing.release()
        assert go.wait(PATIENCE)
        return encode(*arguments)

    process = Process.from_settings()
    pages = SharedThreads(process.serving(Handler()))  # type: ignore[arg-type]
    browser = AsyncClient()
    await browser.aforce_login(bob)
    token = "a" * 32
    cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
    visit = partial(httpx.AsyncClient, transport=httpx.ASGITransport(pages), base_url="http://127.0.0.1")
    with patch.object(QuickHasher, "encode", autospec=True, side_effect=slowly):
        async with (
            visit(cookies=cookies) as his,
            visit(cookies={settings.CSRF_COOKIE_NAME: token}, headers={"x-csrftoken": token}) as theirs,
        ):
            logins = [{"login": f"nobody-{number}", "password": GUESS} for number in range(THREADS + 2)]
            signing_in = [asyncio.create_task(theirs.post(LOGIN, data=login)) for login in logins]
            for _ in range(PASSWORD_THREADS):
                await asyncio.to_thread(hashing.acquire)
            assert (await his.get("/history/")).status_code == 200
            assert not any(answer.done() for answer in signing_in)
            go.set()
            assert [WRONG in (await answer).text for answer in signing_in] == [True] * len(logins)
    await process.close()


# Which account a login leads to


def test_an_address_that_two_accounts_share_signs_in_to_neither() -> None:
    User.objects.create_user("alice-admin", "alice@example.org", "another password")
    assert WRONG in sign_in("alice@example.org", "alice's password")
    assert sign_in("alice", "alice's password") == "/"


def test_a_name_that_looks_like_an_address_signs_in() -> None:
    User.objects.create_user("zoe@example.org", password="zoe's password")
    assert sign_in("zoe@example.org", "zoe's password") == "/"


def test_a_disabled_account_is_told_only_with_its_password() -> None:
    User.objects.filter(username="alice").update(is_active=False)
    assert WRONG in sign_in("alice")
    assert sign_in("alice", "alice's password") == reverse("account_inactive")


# Where one is sent


@pytest.mark.parametrize(
    "name", ["account_login", "account_signup", "account_logout", "account_reset_password", "admin:login"]
)
def test_an_unreadable_next_address_is_ignored(client: Client, settings: Settings, name: str) -> None:
    settings.CHAT_SIGNUP = True
    assert client.get(reverse(name), {"next": "//["}).status_code in (200, 302)
    assert client.post(reverse(name), {"next": "//["}).status_code in (200, 302)


# Forgotten passwords


RESET = reverse("account_reset_password")


def ask_for_a_link(email: str = "alice@example.org", host: str = "localhost") -> int:
    status: int = Client(headers={"host": host}).post(RESET, {"email": email}).status_code
    return status


@pytest.mark.any_store
@pytest.mark.parametrize("host", ["chat.example.org:6666", "chat.example.org.", "CHAT.example.org.:443"])
def test_links_in_mails_name_a_configured_host(settings: Settings, mailoutbox: list[EmailMessage], host: str) -> None:
    settings.ALLOWED_HOSTS = ["chat.example.org"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://other.example.org", "https://chat.example.org"]
    for email in ("alice@example.org", "nobody@example.org"):
        assert ask_for_a_link(email, host) == 302
    assert "\nhttps://chat.example.org/accounts/password/reset/key/" in str(mailoutbox[0].body)
    for mail in mailoutbox:
        assert str(mail.body).endswith("Parley at https://chat.example.org")
        assert mail.subject.startswith("[Parley] ")
        assert ":6666" not in str(mail.message())


def test_without_a_trusted_origin_a_mail_names_the_host(mailoutbox: list[EmailMessage]) -> None:
    ask_for_a_link(host="localhost:8001")
    assert "\nhttp://localhost:8001/accounts/password/reset/key/" in str(mailoutbox[0].body)


def test_a_link_works_for_an_hour(alice: User) -> None:
    token = default_token_generator.make_token(alice)

    class Later(PasswordResetTokenGenerator):
        def _now(self) -> datetime:
            return datetime.now() + later  # noqa: DTZ005 (as Django does)

    later = timedelta(minutes=59)
    assert Later().check_token(alice, token)
    later = timedelta(minutes=61)
    assert not Later().check_token(alice, token)


def test_a_new_password_by_mail_ends_the_wait(mailoutbox: list[EmailMessage]) -> None:
    for _ in range(6):
        page = sign_in("alice")
    assert LIMITED in page
    ask_for_a_link()
    browser = Client()
    link = re.search(r"http://localhost(\S+)", str(mailoutbox[0].body))
    assert link
    form = browser.get(link[1]).headers["location"]
    browser.post(form, {"password1": "a better one", "password2": "a better one"})
    assert sign_in("alice", "a better one", address="192.0.2.2") == "/"


def test_mails_from_one_address_are_limited(mailoutbox: list[EmailMessage]) -> None:
    assert [ask_for_a_link(f"{number}@example.org") for number in range(21)] == [302] * 20 + [429]
    assert len(mailoutbox) == 20


@pytest.mark.any_store
def test_without_a_mail_server_no_link_is_made(start_server: Servers, collected_static: None) -> None:
    server = start_server(DEBUG="0", EMAIL_URL="")
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        assert client.get(RESET).status_code == 404
        assert "Forgot" not in client.get(LOGIN).text
    with_mail = {name: load(**environment)["PASSWORD_RESET"] for name, environment in MAIL.items()}
    assert with_mail == {"none": False, "server": True, "console": True, "debugging": True}


MAIL: dict[str, dict[str, str]] = {
    "none": {},
    "server": {"EMAIL_URL": "smtp://localhost"},
    "console": {"EMAIL_URL": "consolemail://"},
    "debugging": {"DEBUG": "1"},
}


# Signing up


@pytest.mark.parametrize(
    "name", ["b\u043eb", "\uff42ob", "someone@example.net", "Admin", "root", "bob smith", "b\u00f6b", "b\u0000b"]
)
def test_a_name_that_deceives_is_refused(settings: Settings, name: str) -> None:
    assert sign_up(settings, name) == 200
    assert User.objects.count() == 1


@pytest.mark.parametrize("name", ["bob", "Bob.Smith-2", "bob_smith"])
def test_a_plain_name_is_taken(settings: Settings, name: str) -> None:
    assert sign_up(settings, name) == 302
    assert User.objects.filter(username=name).exists()


def sign_up(settings: Settings, name: str) -> int:
    settings.CHAT_SIGNUP = True
    password = "a good password"
    fields = {"username": name, "email": "bob@example.org", "password1": password, "password2": password}
    status: int = Client().post(reverse("account_signup"), fields).status_code
    return status
