"""Signing in: what is limited, what an attempt costs, and where it may lead."""

import re
from unittest.mock import patch

import httpx
import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from chat.models import User
from tests.passwords import QuickHasher
from tests.server import Server, Servers

LOGIN = reverse("account_login")
LIMITED = "Too many failed login attempts"
GUESS = "a guess"


@pytest.fixture(autouse=True)
def _people(alice: User) -> None:
    """Alice has an account."""


def sign_in(login: str, password: str = GUESS, host: str = "localhost", address: str = "192.0.2.1") -> str:
    """The page that a browser without cookies gets after an attempt, or where it is sent."""
    answer = Client().post(LOGIN, {"login": login, "password": password}, headers={"host": host}, REMOTE_ADDR=address)
    return answer.content.decode() or answer["Location"]


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
    with httpx.Client(trust_env=False) as client:
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


# Which account a login leads to


def test_an_address_that_two_accounts_share_signs_in_to_neither() -> None:
    User.objects.create_user("alice-admin", "alice@example.org", "another password")
    assert "not correct" in sign_in("alice@example.org", "alice's password")
    assert sign_in("alice", "alice's password") == "/"


def test_a_name_that_looks_like_an_address_signs_in() -> None:
    User.objects.create_user("zoe@example.org", password="zoe's password")
    assert sign_in("zoe@example.org", "zoe's password") == "/"


def test_a_disabled_account_is_told_only_with_its_password() -> None:
    User.objects.filter(username="alice").update(is_active=False)
    assert "not correct" in sign_in("alice")
    assert sign_in("alice", "alice's password") == reverse("account_inactive")


# Where one is sent


@pytest.mark.parametrize("name", ["account_login", "account_signup", "account_logout", "account_reset_password"])
def test_an_unreadable_next_address_is_ignored(client: Client, settings: Settings, name: str) -> None:
    settings.CHAT_SIGNUP = True
    assert client.get(reverse(name), {"next": "//["}).status_code in (200, 302)
    assert client.post(reverse(name), {"next": "//["}).status_code in (200, 302)
