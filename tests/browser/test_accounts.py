"""Accounts in a browser: signing in, signing out, passwords."""

import re
from collections.abc import Callable
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from chat.models import User
from tests.browser.conftest import Visit, Watch
from tests.browser.pages import button, question
from tests.server import Server, Servers

pytestmark = pytest.mark.chromium

PASSWORD = "a good password"
HOME = re.compile(":[0-9]+/$")
LOGIN = re.compile("/accounts/login/")


@pytest.fixture
def alice(visit: Visit, server: Server) -> Page:
    """Alice's browser; she has an account but is not signed in."""
    page = visit()
    server.database.run(lambda: User.objects.create_user("alice", "alice@example.org", PASSWORD))
    return page


def sign_in(page: Page, username: str, password: str) -> None:
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    button(page, "Sign in").click()


def forget(page: Page) -> None:
    """Make the browser forget who is signed in, on a page whose stream does not notice."""
    page.goto("about:blank")
    page.context.clear_cookies()


def fill_passwords(page: Page, *passwords: str) -> None:
    fields = page.locator("input[type=password]")
    expect(fields).to_have_count(len(passwords))
    for field, password in zip(fields.all(), passwords, strict=True):
        field.fill(password)


def test_signing_in_by_email_leads_to_the_requested_page(alice: Page) -> None:
    alice.goto("/accounts/password/change/")
    expect(alice).to_have_url(LOGIN)
    sign_in(alice, "alice@example.org", PASSWORD)
    expect(alice.get_by_role("heading", name="Change your password")).to_be_visible()


def test_anonymous_people_are_asked_to_sign_in(alice: Page) -> None:
    alice.goto("/")
    expect(alice).to_have_url(LOGIN)
    sign_in(alice, "alice", PASSWORD)
    expect(alice).to_have_url(HOME)
    expect(question(alice)).to_be_visible()


def test_a_wrong_password_shows_an_error(alice: Page) -> None:
    alice.goto("/accounts/login/")
    expect(alice.get_by_label("Username")).to_be_focused()
    sign_in(alice, "alice", "wrong")
    expect(alice.get_by_role("alert")).to_contain_text("don't match")
    expect(alice.get_by_label("Username")).to_have_value("alice")


def test_a_disabled_account_can_be_left_for_another_one(alice: Page, server: Server) -> None:
    server.database.run(lambda: User.objects.update(is_active=False))
    alice.goto("/accounts/login/")
    sign_in(alice, "alice", PASSWORD)
    expect(alice.get_by_role("heading", name="This account is disabled")).to_be_visible()
    alice.get_by_role("link", name="Sign in").click()
    expect(alice).to_have_url(LOGIN)
    expect(alice.get_by_label("Username")).to_be_visible()


def test_an_expired_page_leads_to_the_login(alice: Page, watch: Watch) -> None:
    watch.expect("status of 403")
    alice.goto("/accounts/login/")
    alice.context.clear_cookies()
    sign_in(alice, "alice", PASSWORD)
    expect(alice.get_by_role("heading", name="This page has expired")).to_be_visible()
    alice.get_by_role("link", name="Back to Parley").click()
    expect(alice).to_have_url(LOGIN)


def test_signing_out_leads_to_the_login_page(visit: Visit) -> None:
    alice = visit("alice")
    alice.goto("/")
    button(alice, "alice").click()
    button(alice, "Sign out").click()
    expect(alice).to_have_url(LOGIN)
    alice.goto("/")
    expect(alice).to_have_url(LOGIN)


def test_signing_out_clears_the_browser(visit: Visit) -> None:
    alice = visit("alice")
    alice.goto("/")
    question(alice).fill("A draft of a secret")
    other = alice.context.new_page()
    other.goto("/")
    other.evaluate("sessionStorage.setItem('draft', 'A draft of a secret')")
    button(alice, "alice").click()
    alice.get_by_text("Dark", exact=True).click()
    button(alice, "Sign out").click()
    expect(alice).to_have_url(LOGIN)
    assert alice.evaluate("sessionStorage.length") == 0
    other.wait_for_function("() => sessionStorage.length === 0")
    expect(alice.locator("html")).to_have_attribute("data-theme", "dark")
    again = visit("alice")
    again.goto("/")
    expect(question(again)).to_have_value("A draft of a secret")


def test_signing_up_is_closed(alice: Page) -> None:
    alice.goto("/accounts/login/")
    expect(alice.get_by_role("link", name="Create an account")).to_have_count(0)
    alice.goto("/accounts/signup/")
    expect(alice.get_by_role("heading", name="Sign-up is closed")).to_be_visible()


def test_signing_up_works_with_chat_signup(alice: Page, server: Server, start_server: Servers) -> None:
    opened = start_server(server.database, DEBUG="0", CHAT_SIGNUP="1")
    alice.goto(opened.url)
    alice.get_by_role("link", name="Create an account").click()
    alice.get_by_label("Username").fill("bob")
    alice.get_by_label("Email").fill("bob@example.org")
    fill_passwords(alice, PASSWORD, PASSWORD)
    button(alice, "Create account").click()
    expect(alice).to_have_url(HOME)
    expect(question(alice)).to_be_visible()
    assert server.database.run(lambda: User.objects.get(username="bob").email) == "bob@example.org"


def test_the_password_is_changed(alice: Page) -> None:
    alice.goto("/accounts/password/change/")
    sign_in(alice, "alice", PASSWORD)
    expect(alice.get_by_label("Current password", exact=True)).to_be_visible()
    fill_passwords(alice, PASSWORD, "a better one", "a better one")
    button(alice, "Change the password").click()
    expect(alice).to_have_url(HOME)
    expect(alice.get_by_text("Password successfully changed.")).to_be_visible()
    forget(alice)
    alice.goto("/")
    sign_in(alice, "alice", "a better one")
    expect(alice).to_have_url(HOME)


def test_a_reset_link_works_once(alice: Page, server: Server) -> None:
    alice.goto("/accounts/login/")
    alice.get_by_role("link", name="Forgot").click()
    alice.get_by_label("Email").fill("alice@example.org")
    button(alice, "Send the link").click()
    expect(alice.get_by_role("heading", name="Check your email")).to_be_visible()
    link = mailed_link(server)
    alice.goto(link)
    expect(alice.get_by_label("New password", exact=True)).to_be_visible()
    fill_passwords(alice, "a better one", "a better one")
    button(alice, "Set the password").click()
    expect(alice.get_by_role("heading", name="Password changed")).to_be_visible()
    alice.goto("/accounts/login/")
    sign_in(alice, "alice", "a better one")
    expect(alice).to_have_url(HOME)
    forget(alice)
    alice.goto(link)
    expect(alice.get_by_role("heading", name="This link no longer works")).to_be_visible()


def mailed_link(server: Server) -> str:
    """The link in the mail on the server's console."""
    return server.wait_for(lambda log: re.search(r"(http\S+/password/reset/key/\S+)\s", log))[1]


def test_the_back_button_shows_nothing_after_signing_out(
    launch_browser: Callable[..., Browser], server: Server, visit: Visit
) -> None:
    """In a browser with a back-forward cache, which Playwright turns off."""
    visit()
    with closing(launch_browser(ignore_default_args=["--disable-back-forward-cache"])) as browser:
        context = browser.new_context(base_url=server.url)
        value = server.session_cookie("alice")
        context.add_cookies([{"name": "sessionid", "value": value, "url": server.url}])
        alice = context.new_page()
        alice.goto("/")
        alice.goto("/accounts/logout/")
        button(alice, "Sign out").click()
        expect(alice).to_have_url(LOGIN)
        alice.evaluate("history.go(-2)")
        expect(alice).to_have_url(LOGIN)
        expect(question(alice)).to_have_count(0)
