"""What all tests share: their marks, what is left out where a program is missing, people, and servers."""

import gc
import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.core.management.commands import flush
from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from pytest_django import DjangoDbBlocker, Settings

from chat.database import DatabaseThreads
from chat.models import User
from chat.replylog import ReplyLog
from tests import marks
from tests.client import Client
from tests.environment import once
from tests.hosts import Host, StartHost, hosts
from tests.marks import PROGRAMS
from tests.programs import PACKAGES, missing
from tests.redis import RedisServer
from tests.replylogs import Stores
from tests.server import Databases, Server, Servers, SharedServers, delete_rows
from tests.upstream import Upstream

# Without a deadline: a busy machine is not the fault of the tested code.
hypothesis.settings.register_profile("parley", deadline=None)
hypothesis.settings.load_profile("parley")

# Marks


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in marks.brought(marks_of(item), set(item.fixturenames)):  # type: ignore[attr-defined]
            item.add_marker(mark)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    marks.running = marks_of(item)
    try:
        return (yield)
    finally:
        marks.running = None


def marks_of(item: pytest.Item) -> set[str]:
    return {mark.name for mark in item.iter_markers()}


# What is left out

LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = Counter()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Skip what cannot run here, or refuse to run at all when nothing may be left out."""
    reasons = {
        mark: f"{', '.join(missing(mark))}: apt-get install {PACKAGES[mark]}" for mark in PROGRAMS if missing(mark)
    }
    absent = {mark for item in session.items for mark in reasons if item.get_closest_marker(mark)}
    if absent and os.environ.get("REQUIRE_ALL") == "1":
        raise pytest.UsageError(*(f"REQUIRE_ALL=1, but there is no {reasons[mark]}" for mark in sorted(absent)))
    if not os.environ.get("WIRE_RECORDINGS"):
        reasons["wire"] = "recordings of real endpoints: set WIRE_RECORDINGS to their directory"
    for item in session.items:
        for mark, reason in reasons.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"no {reason}"))
                session.config.stash[LEFT_OUT][reason] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if left_out := terminalreporter.config.stash[LEFT_OUT]:
        terminalreporter.section("left out")
        for reason, count in left_out.items():
            terminalreporter.line(f"{count} tests, for want of {reason}")


# Time


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Spare the garbage collector what has been loaded by now, and call it less often.

    `make quick` takes 76 instead of 85 seconds.
    """
    gc.freeze()
    gc.set_threshold(20_000)


# Django


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """A copy of a database that is migrated already is there before Django would create one."""
    return connection.vendor == "sqlite"


@pytest.fixture(scope="session")
def django_db_createdb() -> bool:
    return False


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> None:
    """Each worker has its own database.

    A SQLite database is a file, as people have it: in memory it locks in another way.
    """
    databases = Databases(tmp_path_factory.mktemp("database"), django_db_blocker, os.environ.get("DATABASE_URL", ""))
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = databases.make().name
    elif "TESTS_POSTGRESQL" in os.environ:
        connection.settings_dict["TEST"]["TEMPLATE"] = databases.template().name
        if "pool" not in connection.settings_dict["OPTIONS"]:
            # The servers' end after each request. In the tests' own process, a new one for each hop takes milliseconds.
            connection.settings_dict["CONN_MAX_AGE"] = None


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, kept_open():
        patch.setattr(flush.Command, "handle", empty)
        yield
    connections.close_all()


@pytest.fixture
def analyze(db: None) -> Iterator[Callable[[], None]]:
    """Lets the database count its rows, for its plans, until the end of the test."""

    def analyze() -> None:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")

    yield analyze
    if connection.vendor == "sqlite":
        # The connection would remember the counts, though they are rolled back, and plan otherwise for the next tests.
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_stat1")
            cursor.execute("ANALYZE sqlite_schema")


@pytest.fixture(autouse=True)
def _threads_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They would outlive it, and their connections too."""
    pools: list[DatabaseThreads] = []
    opened: list[BaseDatabaseWrapper] = []
    make = DatabaseThreads.__init__

    def init(pool: DatabaseThreads, *args: Any, **options: Any) -> None:
        pools.append(pool)
        make(pool, *args, **options)

    def note(connection: BaseDatabaseWrapper, **signal: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            opened.append(connection)

    monkeypatch.setattr(DatabaseThreads, "__init__", init)
    connection_created.connect(note)
    yield
    for pool in pools:
        pool.shutdown()
    connection_created.disconnect(note)
    if opened:
        # In another thread, as Django refuses where an event loop runs, and Playwright has one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(close, opened).result()


def close(opened: list[BaseDatabaseWrapper]) -> None:
    for each in opened:
        # It belongs to another thread.
        each.inc_thread_sharing()
        each.close()
        each.dec_thread_sharing()


@contextmanager
def kept_open() -> Iterator[None]:
    """Keep a connection to SQLite: with the last one it writes its log into the database, which takes milliseconds."""
    if connection.vendor != "sqlite":
        yield
        return
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as another:
        another.execute("SELECT 1 FROM django_migrations").fetchone()
        yield


def empty(command: object, *, database: str, **options: object) -> None:
    """Take the place of Django's own `flush` after each test that commits.

    That truncates, for which PostgreSQL takes longer than most tests, and creates all permissions again.
    """
    with transaction.atomic(database):
        delete_rows()


@pytest.fixture(autouse=True)
def _quick_settings(settings: Settings) -> None:
    """Passwords take no time; pages need no `collectstatic`, and no client looks at all static files first."""
    settings.PASSWORD_HASHERS = ["tests.passwords.QuickHasher"]
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    settings.WHITENOISE_AUTOREFRESH = True


# People


@pytest.fixture
def alice(db: None) -> User:
    """She owns the conversations."""
    return User.objects.create_user("alice", email="alice@example.org", password="alice's password")


@pytest.fixture
def bob(db: None) -> User:
    """He is a stranger to Alice's conversations."""
    return User.objects.create_user("bob", email="bob@example.org", password="bob's password")


@pytest.fixture
def sam(db: None) -> User:
    """Staff: an administrator."""
    return User.objects.create_superuser("sam", email="sam@example.org", password="sam's password")


@pytest.fixture
def client() -> Client:
    """A browser. Its requests need a CSRF token only where a test says so."""
    return Client()


@pytest.fixture
def staff(client: Client, sam: User) -> Client:
    """Sam's browser."""
    client.force_login(sam)
    return client


# Logs of replies


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["database", pytest.param("redis", marks=pytest.mark.redis)])
def stores(request: pytest.FixtureRequest) -> Stores:
    return Stores(request.getfixturevalue("redis_server").url if request.param == "redis" else None)


@pytest.fixture
async def log(stores: Stores) -> AsyncIterator[ReplyLog]:
    async with stores.log() as log:
        yield log


# Servers


@pytest.fixture(scope="session")
def collected_static() -> None:
    """Static files with hashed names, without which a server with DEBUG=0 cannot serve its pages."""
    collected = Path(os.environ["TESTS_SHARED"], "static-collected")
    once("collected", lambda: collect(collected), "TESTS_SHARED")
    once("static-placed", lambda: Path(settings.STATIC_ROOT).symlink_to(collected))


def collect(folder: Path) -> None:
    # As where Brotli is not installed: it takes more time than all the rest.
    without_brotli = "import runpy, sys; sys.modules['brotli'] = None; runpy.run_path('manage.py', run_name='__main__')"
    subprocess.run(
        [sys.executable, "-c", without_brotli, "collectstatic", "--noinput"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "STATIC_ROOT": str(folder)},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Databases]:
    url = os.environ.get("DATABASE_URL", "")
    with Databases(tmp_path_factory.mktemp("databases"), django_db_blocker, url) as databases:
        yield databases


@pytest.fixture
def start_server(databases: Databases) -> Iterator[Servers]:
    """Starts real servers, each with its own database: `start_server(OPENAI_BASE_URL=…)`."""
    with Servers(databases) as servers:
        yield servers


@pytest.fixture(scope="module")
def share_server(databases: Databases, endpoint: Upstream) -> Iterator[SharedServers]:
    """Like `start_server`, but the tests of a module get the same server when they ask for the same settings."""
    with Servers(databases) as servers:
        yield SharedServers(servers)
        # Servers let their replies end before they stop; those that hang would keep them.
        endpoint.stop()


@pytest.fixture
def server(share_server: SharedServers) -> Server:
    """A real server with the built-in demo model."""
    return share_server()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Upstream]:
    """The endpoint of the module's servers; tests use it as `upstream`."""
    with Upstream() as endpoint:
        yield endpoint


@pytest.fixture
def upstream(endpoint: Upstream) -> Upstream:
    """A scripted endpoint: `start_server(OPENAI_BASE_URL=upstream.url, OPENAI_MODEL="scripted")`."""
    endpoint.forget()
    return endpoint


@pytest.fixture
async def start_host(upstream: Upstream) -> AsyncIterator[StartHost]:
    """Starts processes in the test's event loop, whose model `small` is `upstream`: `await start_host(running=1)`."""
    async with AsyncExitStack() as running:

        async def start(**options: Any) -> Host:
            host = Host.asking(upstream, **options)
            await running.enter_async_context(hosts(host))
            return host

        yield start
