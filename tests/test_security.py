"""What requests must not hold and what responses must say."""

import pytest
from django.conf import settings as loaded
from django.contrib.auth.models import Permission
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from chat.models import Conversation, User
from tests.client import Client
from tests.server import Servers
from tests.test_settings import load
from tests.visitor import Visitor

NUL = "a" * 16 + "\0" + "a" * 15


@pytest.fixture(autouse=True)
def _real_transactions(transactional_db: None) -> None:
    """Views give their connections back, which a transaction around the test would not survive."""


@pytest.fixture
def signed_in(client: Client, alice: User) -> Client:
    """Alice's browser; she is signed in."""
    client.force_login(alice)
    return client


# Headers


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/nowhere/", "/static/css/prose.css", "/admin/"])
def test_every_response_turns_off_what_no_page_uses(client: Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-DNS-Prefetch-Control"] == "off"
    assert "camera=()" in headers["Permissions-Policy"]


def test_private_pages_are_kept_out_of_caches(signed_in: Client, alice: User) -> None:
    conversation = Conversation.objects.create(owner=alice, title="Private", model="demo")
    for path in ["/", "/history/", f"/c/{conversation.pk}/", f"/c/{conversation.pk}/delete/", "/c/nowhere/"]:
        assert signed_in.get(path).headers["Cache-Control"] == "private, no-store"
    assert "no-store" in signed_in.get(reverse("account_change_password")).headers["Cache-Control"]


def test_public_files_stay_in_caches(signed_in: Client) -> None:
    assert "no-store" not in signed_in.get("/static/css/prose.css").headers["Cache-Control"]


@pytest.mark.parametrize("name", ["account_logout", "admin:logout"])
def test_signing_out_clears_what_the_browser_stored(signed_in: Client, name: str) -> None:
    assert "Clear-Site-Data" not in signed_in.get(reverse(name)).headers
    assert signed_in.post(reverse(name)).headers["Clear-Site-Data"] == '"storage"'
    assert "Clear-Site-Data" not in signed_in.post(reverse("account_login")).headers


# Cookies


def test_secure_cookies_can_be_set_by_this_host_alone() -> None:
    settings = load()
    names = [settings["SESSION_COOKIE_NAME"], settings["CSRF_COOKIE_NAME"]]
    assert names == ["__Host-sessionid", "__Host-csrftoken"]
    assert settings["MESSAGE_STORAGE"] == "config.security.HostMessageStorage"
    assert "SESSION_COOKIE_NAME" not in load(SECURE_COOKIES="0")


@pytest.mark.any_store
async def test_a_browser_over_https_gets_only_such_cookies(start_server: Servers, collected_static: None) -> None:
    server = start_server(DEBUG="0", SECURE_COOKIES="1")
    server.database.run(lambda: User.objects.create_user("alice", password="alice's password"))
    async with Visitor(server, "alice") as visitor:
        visitor.client.cookies.clear()
        headers = {"x-forwarded-proto": "https", "origin": server.url.replace("http:", "https:")}
        page = await visitor.client.get("/accounts/login/", headers=headers)
        token = page.cookies["__Host-csrftoken"] or ""
        answers = [page]
        for path, fields in [
            ("/accounts/login/", {"login": "alice", "password": "alice's password"}),
            ("/accounts/logout/", {}),
        ]:
            cookies = "; ".join(f"{name}={value}" for name, value in visitor.client.cookies.items())
            given = {**headers, "cookie": cookies, "x-csrftoken": token}
            answers.append(await visitor.client.post(path, data=fields, headers=given))
            token = answers[-1].cookies.get("__Host-csrftoken") or token
        cookies_set = [cookie for answer in answers for cookie in answer.headers.get_list("set-cookie")]
    assert {cookie.partition("=")[0] for cookie in cookies_set} == {
        "__Host-csrftoken",
        "__Host-sessionid",
        "__Host-messages",
    }
    for cookie in cookies_set:
        assert "Path=/;" in f"{cookie};"
        assert "Secure" in cookie
        assert "Domain" not in cookie


# NUL


@pytest.mark.parametrize("key", [NUL, "a" * 31, "A" * 32, "a" * 33, "../" * 11, ""])
def test_a_session_id_of_nobodys_making_is_not_looked_up(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, key: str
) -> None:
    client.cookies[loaded.SESSION_COOKIE_NAME] = key
    with django_assert_num_queries(0):
        assert client.get("/").status_code == 302


@pytest.mark.parametrize("path", ["/?q=%00", "/accounts/login/?next=%00", "/admin/chat/conversation/?title=a%00b"])
def test_a_nul_in_the_query_is_refused(signed_in: Client, path: str) -> None:
    assert signed_in.get(path).status_code == 400


def test_text_that_only_looks_like_a_nul_is_let_through(signed_in: Client) -> None:
    assert signed_in.get("/?q=%2500").status_code == 200


def test_no_nul_reaches_postgresql(signed_in: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    alice.user_permissions.set(Permission.objects.filter(codename__in=["view_conversation", "view_user"]))
    for path in ["chat/conversation/?model=%00", "chat/conversation/?status=%00", "chat/user/?username=%00"]:
        assert signed_in.get(f"/admin/{path}").status_code == 400
    signed_in.cookies[loaded.SESSION_COOKIE_NAME] = NUL
    for path in ["/", "/accounts/login/", "/history/", "/admin/"]:
        assert signed_in.get(path).status_code in (200, 302)
