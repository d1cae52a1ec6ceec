"""Django's middleware runs in the event loop, under its own names."""

import logging
import threading
from collections.abc import Callable
from functools import partial

import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.utils.module_loading import import_string
from pytest_django import Settings

from chat.models import User
from config.server.middleware import INLINE, LARGE_FORM, Handler, Inline, InlineMiddleware
from tests import client
from tests.client import AsyncClient, Client


def test_every_middleware_of_djangos_is_replaced() -> None:
    named = [path for path in settings.MIDDLEWARE if path.startswith("django.")]
    assert sorted(named) == sorted(INLINE)
    for path in named:
        assert issubclass(import_string(INLINE[path]), (Inline, import_string(path)))


@pytest.mark.parametrize("make", [Handler, partial(client.Handler, enforce_csrf_checks=True)])
def test_no_middleware_is_adapted_to_a_thread(
    make: Callable[[], InlineMiddleware], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Django says so in its log when DEBUG is on: a synchronous one would keep a thread as long as the view takes."""
    settings.DEBUG = True
    with caplog.at_level(logging.DEBUG, "django.request"):
        make().load_middleware(is_async=True)
    assert [line for line in caplog.messages if "handler adapted for middleware" in line] == []


@pytest.mark.django_db(transaction=True)
def test_a_page_calls_no_method_of_middleware_in_a_thread(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Client()
    browser.force_login(alice)
    monkeypatch.setattr("django.utils.deprecation.sync_to_async", None)
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize(("size", "in_loop"), [(LARGE_FORM // 2, True), (LARGE_FORM + 1, False)])
async def test_a_large_form_is_parsed_in_a_thread(size: int, in_loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    parse = ASGIRequest._load_post_and_files

    def note_and_parse(request: ASGIRequest) -> None:
        threads.append(threading.get_ident())
        parse(request)

    monkeypatch.setattr(ASGIRequest, "_load_post_and_files", note_and_parse)
    browser = AsyncClient(enforce_csrf_checks=True)
    # With it, the token is looked for in the form.
    browser.cookies[settings.CSRF_COOKIE_NAME] = "c" * 32
    await browser.post("/c/", {"text": "a" * size})
    assert [thread == threading.get_ident() for thread in threads] == [in_loop]


def test_the_settings_keep_their_names(settings: Settings) -> None:
    before = list(settings.MIDDLEWARE)
    Handler()
    assert before == settings.MIDDLEWARE
