"""Browser tests of streams, stops and deaths again, through docs/nginx.conf, on two processes, PostgreSQL and Redis."""
# ruff: noqa: F401 (imported tests run here too, with this module's server)

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django import DjangoDbBlocker

from chat.models import Reply
from tests.browser.conftest import Watch
from tests.browser.pages import ask, expect_end, words
from tests.browser.test_chat import (
    test_a_question_continues_its_conversation,
    test_stop_before_the_first_word,
    test_stop_closes_the_connection_and_the_text_never_grows,
    test_stop_in_one_tab_shows_in_the_other,
    test_the_first_word_shows_before_the_rest_is_written,
    test_two_conversations_are_written_at_once,
)
from tests.browser.test_history import test_a_deleted_entry_leaves_a_line_that_can_undo_that
from tests.browser.test_survival import (
    CUT,
    RECOVERY_MS,
    test_a_kill_before_the_first_word_restarts_the_reply,
    test_a_kill_keeps_the_text_and_offers_retry,
    test_a_reload_after_a_kill_shows_what_was_seen,
    test_a_reload_in_the_middle_loses_nothing_and_doubles_nothing,
    test_a_reply_continues_when_its_tab_is_closed,
    test_a_second_tab_sees_the_same,
    test_reloads_while_words_rush_in_lose_nothing_and_double_nothing,
)
from tests.nginx import HOST, Nginx, running
from tests.postgresql import postgresql
from tests.redis import RedisServer
from tests.server import LEASE_SECONDS, Database, Databases, Server
from tests.test_nginx import SITE
from tests.upstream import Upstream, finish, hang, pause, text

pytestmark = [pytest.mark.chromium, pytest.mark.nginx, pytest.mark.postgresql, pytest.mark.redis]


class Deployment:
    """Two processes behind nginx that look like one server."""

    def __init__(self, nginx: Nginx, processes: list[Server]) -> None:
        self.url = nginx.url
        self.processes = processes

    @property
    def database(self) -> Database:
        return self.processes[0].database

    def session_cookie(self, username: str, **fields: Any) -> str:
        return self.processes[0].session_cookie(username, **fields)

    def as_new(self) -> None:
        for process in self.processes:
            process.as_new()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    def start(self) -> None:
        for process in self.processes:
            process.start()

    def restart(self) -> None:
        self.kill()
        self.start()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
    collected_static: None,
    endpoint: Upstream,
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    with ExitStack() as stack:
        databases = stack.enter_context(Databases(folder, django_db_blocker, stack.enter_context(postgresql())))
        database = databases.make()
        environment = {
            "DEBUG": "0",
            "CHAT_LEASE_SECONDS": LEASE_SECONDS,
            "OPENAI_BASE_URL": endpoint.url,
            "OPENAI_MODEL": "scripted,large",
            "CHAT_CONTINUE": "large=assistant",
            "ALLOWED_HOSTS": HOST,
            "SECURE_COOKIES": "1",
            "REDIS_URL": stack.enter_context(RedisServer()).url,
        }
        processes = [Server(database, environment) for _ in range(2)]
        nginx = stack.enter_context(running(SITE, [process.port for process in processes], folder))
        # Its port, and so its address, differs from that of the example.
        environment["CSRF_TRUSTED_ORIGINS"] = nginx.url
        for process in processes:
            stack.callback(process.kill)
            process.start()
        yield Deployment(nginx, processes)


def test_another_process_continues_the_reply_of_a_dead_one(
    alice: Page, server: Deployment, upstream: Upstream, watch: Watch
) -> None:
    watch.expect("status of 502", *CUT)
    upstream.script(text("One "), text("two"), hang())
    upstream.script(text(" three."), finish())
    alice.get_by_label("Model").select_option("large")
    ask(alice, "Count.")
    expect(words(alice)).to_have_text("One two")
    writer = server.database.run(lambda: Reply.objects.get().process)
    dead = next(process for process in server.processes if f":{process.pid}:" in writer)
    dead.kill()
    expect(words(alice)).to_have_text("One two three.", timeout=RECOVERY_MS)
    expect_end(alice, "complete")
    assert upstream.requests[-1].body["messages"][-1] == {"role": "assistant", "content": "One two"}


def test_six_streaming_tabs_leave_room_for_a_seventh_page(alice: Page, upstream: Upstream) -> None:
    tabs = [alice] + [alice.context.new_page() for _ in range(5)]
    for tab in tabs:
        upstream.script(text("One"), pause("rest"), text(" two."), finish())
        tab.goto("/")
        ask(tab, "Count.")
        expect(words(tab)).to_have_text("One")
    # Over HTTP/1.1 six streams would keep a browser from asking for anything else.
    seventh = alice.context.new_page()
    seventh.goto("/")
    expect(seventh.get_by_role("link", name="Count.", exact=True)).to_have_count(6)
    upstream.release("rest")
    for tab in tabs:
        expect(words(tab)).to_have_text("One two.")
        expect_end(tab, "complete")
