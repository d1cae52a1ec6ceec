"""Real servers for tests: Daphne in its own process, on a real socket, with its own database."""

import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import environ
import psycopg
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.models import Model
from django.db.utils import load_backend
from django.test import Client  # noqa: TID251 (only its session is used)
from psycopg import sql
from pytest_django import DjangoDbBlocker

from chat.models import AuditHead, AuditRecord, Reply, ServerProcess, User
from tests.environment import once
from tests.forkserver import Process
from tests.marks import needs
from tests.programs import free_port

START_SECONDS = 60
STOP_SECONDS = 60
# Short, because many tests wait for a lease to run out.
LEASE_SECONDS = "4"


class Database:
    """A migrated database that a server and a test share."""

    def __init__(self, name: str, url: str, blocker: DjangoDbBlocker) -> None:
        self.name = name
        self.url = url
        self._blocker = blocker

    def run[T](self, query: Callable[[], T]) -> T:
        """Run `query` against this database and return its result.

        It runs in its own thread, because Django refuses queries where an event loop runs, and Playwright has one.
        """
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._run, query).result()

    def _run[T](self, query: Callable[[], T]) -> T:
        default = connections["default"]
        # It may be another kind of database than that of the tests.
        place = environ.Env.db_url_config(self.url)
        options = default.settings_dict["OPTIONS"] if place["ENGINE"] == default.settings_dict["ENGINE"] else {}
        # A pool belongs to its first database.
        options = {name: value for name, value in options.items() if name != "pool"}
        backend = load_backend(place["ENGINE"])
        described = {**default.settings_dict, **place, "OPTIONS": options}
        connections["default"] = backend.DatabaseWrapper(described, "default")
        with self._blocker.unblock():
            try:
                return query()
            finally:
                connections["default"].close()


class Databases:
    """Makes copies of a migrated database: on the PostgreSQL server at `url`, otherwise on SQLite."""

    def __init__(self, folder: Path, blocker: DjangoDbBlocker, url: str) -> None:
        self._folder = folder
        self._blocker = blocker
        self._url = url if url.startswith("postgres") else ""
        self._numbers = itertools.count()
        self._template: Database | None = None
        self._made: list[Database] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._url:
            for database in reversed(self._made):
                self._execute("DROP DATABASE {} WITH (FORCE)", database.name)

    def make(self) -> Database:
        if self._template is None:
            self._template = self.template()
        return self._copy(self._template)

    def template(self) -> Database:
        """The migrated database. All processes of a run share it, except on a server that was there before."""
        name = "parley_template"
        if not self._url:
            path = Path(os.environ["TESTS_SHARED"], f"{name}.sqlite3")
            database = Database(str(path), f"sqlite:///{path}", self._blocker)
            once("migrated", lambda: self._migrate(database), "TESTS_SHARED")
        elif os.environ.get("TESTS_POSTGRESQL") == self._url:
            database = self._named(name)
            once("migrated-on-postgresql", lambda: self._migrate(database))
        else:
            database = self._next()
            self._migrate(database)
        return database

    def _migrate(self, database: Database) -> None:
        if self._url:
            self._execute("CREATE DATABASE {}", database.name)
        database.run(lambda: call_command("migrate", verbosity=0))

    def _copy(self, template: Database) -> Database:
        database = self._next()
        if self._url:
            self._execute("CREATE DATABASE {} TEMPLATE {}", database.name, template.name)
        else:
            shutil.copyfile(template.name, database.name)
        return database

    def _next(self) -> Database:
        name = f"parley_{os.getpid()}_{next(self._numbers)}"
        self._made.append(database := self._named(name))
        return database

    def _named(self, name: str) -> Database:
        if self._url:
            return Database(name, urlsplit(self._url)._replace(path=f"/{name}").geturl(), self._blocker)
        path = self._folder / f"{name}.sqlite3"
        return Database(str(path), f"sqlite:///{path}", self._blocker)

    def _execute(self, statement: str, *names: str) -> None:
        administration = urlsplit(self._url)._replace(path="/postgres").geturl()
        with psycopg.connect(administration, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class Server:
    """A Daphne process. A test can kill it and start it again, at the same address and on the same database."""

    def __init__(self, database: Database, environment: dict[str, str]) -> None:
        self.database = database
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = environment
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process, "the server does not run"
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it listens."""
        needs("process")
        self._process = Process(
            *("daphne", "-b", "127.0.0.1", "-p", str(self.port), "config.asgi:application"),
            environment={**os.environ, "DEBUG": "1", "DATABASE_URL": self.database.url, **self._environment},
        )
        listens: Future[bool] = Future()
        self._reader = threading.Thread(target=self._read, args=(self._process, listens))
        self._reader.start()
        try:
            assert listens.result(START_SECONDS)
        except (AssertionError, TimeoutError):
            self.kill()
            raise RuntimeError(f"The server did not start:\n{self.log()}") from None

    def _read(self, process: Process, listens: Future[bool]) -> None:
        for line in process.stdout:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()
            if "Listening on TCP address" in line and not listens.done():
                listens.set_result(True)
        if not listens.done():
            listens.set_result(False)

    def kill(self) -> None:
        """Send SIGKILL, which no process can handle."""
        if self._process:
            self._process.kill()
            self._ended()

    def terminate(self) -> int:
        """Send SIGTERM, as a deployment does; return the exit status once the process has ended."""
        assert self._process, "the server does not run"
        self._process.terminate()
        return self._ended()

    def stop(self) -> None:
        """Ask the process to end, so that it can save its coverage, and kill it if it does not."""
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self.terminate()

    def _ended(self) -> int:
        assert self._process
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._reader.join()
            self._process.stdout.close()
            self._process = None
        return status

    def as_new(self) -> None:
        """Make it run and forget everybody who has used it. What is still being written stops within a moment."""
        self.database.run(forget_everybody)
        self._lines.clear()
        if not self._process or self._process.poll() is not None:
            self.restart()

    def restart(self) -> None:
        """Start the process again, after killing it if it still runs."""
        self.kill()
        self.start()

    def wait_for[T](self, find: Callable[[str], T | None]) -> T:
        """Wait until `find` finds something in the log, and return that; lines come a moment after what they tell."""
        with self._more:
            if found := self._more.wait_for(lambda: find(self.log()), START_SECONDS):
                return found
            raise TimeoutError(f"It is not in the log:\n{self.log()}")

    def wait_for_line(self, part: str) -> None:
        """Wait until a process of this server has logged a line that contains `part`."""
        self.wait_for(lambda log: part in log)

    def log(self) -> str:
        """Everything that the processes of this server have logged."""
        return "".join(self._lines)

    def stored(self, reply: dict[str, Any]) -> Reply:
        """The row of a reply that a visitor has asked for, with its message."""
        return self.database.run(lambda: Reply.objects.select_related("message").get(pk=reply["id"]))

    def session_cookie(self, username: str, **fields: Any) -> str:
        """Sign a person in and return the `sessionid`. A person who does not exist is created, with `fields`."""

        def sign_in() -> str:
            user, _ = User.objects.get_or_create(username=username, defaults=fields)
            client = Client()
            client.force_login(user)
            return client.cookies[settings.SESSION_COOKIE_NAME].value

        return self.database.run(sign_in)


def forget_everybody() -> None:
    """Delete all that people have stored, with what is still being written for them, and all counts of attempts."""
    with transaction.atomic():
        # In the order in which servers lock them, so that neither waits for the other.
        list(Reply.objects.select_for_update().order_by("pk").values_list("pk"))
        User.objects.all().delete()
        # The server lives on.
        delete_rows(but={ServerProcess})
    cache.clear()


def delete_rows(but: Set[type[Model]] = frozenset()) -> None:
    """Delete the rows of every model but these, and but those that a migrated database has.

    The audit record stays: the database refuses to delete it.
    """
    kept = {ContentType, Permission, AuditHead, AuditRecord, *but}
    models = set(apps.get_models(include_auto_created=True)) - kept
    tables = {model._meta.db_table: connection.ops.quote_name(model._meta.db_table) for model in models}
    # Most are empty, and to look at all of them takes less time than so many statements.
    filled = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {quoted})" for name, quoted in tables.items())  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(filled))
        for (name,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {tables[name]}")  # noqa: S608


class Servers:
    """Starts servers, and stops those that still run at the end."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.close()

    def __call__(self, database: Database | None = None, **environment: str) -> Server:
        """Start a server, on its own database or on that of another server."""
        server = Server(database or self._databases.make(), {"CHAT_LEASE_SECONDS": LEASE_SECONDS, **environment})
        self._running.callback(server.stop)
        server.start()
        return server


class SharedServers:
    """Gives tests one server for each environment, as if it were new for each test."""

    def __init__(self, start: Servers) -> None:
        self._start = start
        self._servers: dict[frozenset[tuple[str, str]], Server] = {}

    def __call__(self, **environment: str) -> Server:
        key = frozenset(environment.items())
        if server := self._servers.get(key):
            server.as_new()
        else:
            server = self._servers[key] = self._start(None, **environment)
        return server
