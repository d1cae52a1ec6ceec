"""Real servers for tests: Daphne in a process of its own, on a real socket, with a database of its own."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import environ
import psycopg
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import connections, transaction
from django.db.utils import load_backend
from django.test import Client
from psycopg import sql
from pytest_django import DjangoDbBlocker

from chat.models import Reply, User
from tests.marks import needs
from tests.programs import free_port

START_SECONDS = 60
STOP_SECONDS = 15
# Short, because many tests wait for a lease to run out.
LEASE_SECONDS = "2"


class Database:
    """A migrated database that a server and a test share."""

    def __init__(self, name: str, url: str, blocker: DjangoDbBlocker) -> None:
        self.name = name
        self.url = url
        self._blocker = blocker

    def run[T](self, query: Callable[[], T]) -> T:
        """What `query` returns when it runs against this database.

        It runs in a thread of its own, because Django refuses queries where an event loop runs, and Playwright has one.
        """
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._run, query).result()

    def _run[T](self, query: Callable[[], T]) -> T:
        default = connections["default"]
        # It may be of another kind than the one of the tests.
        place = environ.Env.db_url_config(self.url)
        options = default.settings_dict["OPTIONS"] if place["ENGINE"] == default.settings_dict["ENGINE"] else {}
        # A pool is that of its first database.
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
    """Makes databases as copies of one that is migrated once: on the server of PostgreSQL at `url`, else on SQLite."""

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
            self._template = self._empty()
            self._template.run(lambda: call_command("migrate", verbosity=0))
        return self._copy(self._template)

    def _empty(self) -> Database:
        database = self._next()
        if self._url:
            self._execute("CREATE DATABASE {}", database.name)
        return database

    def _copy(self, template: Database) -> Database:
        database = self._next()
        if self._url:
            self._execute("CREATE DATABASE {} TEMPLATE {}", database.name, template.name)
        else:
            shutil.copyfile(template.name, database.name)
        return database

    def _next(self) -> Database:
        name = f"parley_{os.getpid()}_{next(self._numbers)}"
        if self._url:
            url = urlsplit(self._url)._replace(path=f"/{name}").geturl()
        else:
            name = str(self._folder / f"{name}.sqlite3")
            url = f"sqlite:///{name}"
        self._made.append(database := Database(name, url, self._blocker))
        return database

    def _execute(self, statement: str, *names: str) -> None:
        administration = urlsplit(self._url)._replace(path="/postgres").geturl()
        with psycopg.connect(administration, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class Server:
    """A Daphne process. It can be killed and started again, at the same address and on the same database."""

    def __init__(self, database: Database, environment: dict[str, str]) -> None:
        self.database = database
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = environment
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process, "the server does not run"
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it listens."""
        needs("process")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), "config.asgi:application"],
            cwd=settings.BASE_DIR,
            env={**os.environ, "DEBUG": "1", "DATABASE_URL": self.database.url, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self._process, ready))
        self._reader.start()
        if not ready.wait(START_SECONDS) or self._process.poll() is not None:
            self.kill()
            raise RuntimeError(f"The server did not start:\n{self.log()}")

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout
        for line in process.stdout:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()
            if "Listening on TCP address" in line:
                ready.set()
        process.wait()
        ready.set()

    def kill(self) -> None:
        """SIGKILL: the process cannot do anything about it."""
        if self._process:
            self._process.kill()
            self._ended()

    def terminate(self) -> int:
        """SIGTERM, as at a deployment; the exit status once the process has ended."""
        assert self._process, "the server does not run"
        self._process.terminate()
        return self._ended()

    def stop(self) -> None:
        """End the process in peace, so that it can write down its coverage, or by force."""
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
            assert self._process.stdout
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
        """Start the process again; one that still runs is killed before."""
        self.kill()
        self.start()

    def wait_for_line(self, part: str) -> None:
        """Return when a process of this server has written a line that holds this."""
        with self._more:
            if not self._more.wait_for(lambda: part in self.log(), START_SECONDS):
                raise TimeoutError(f"There is no line with {part!r}:\n{self.log()}")

    def log(self) -> str:
        """All that the processes of this server have written."""
        return "".join(self._lines)

    def session_cookie(self, username: str, **fields: Any) -> str:
        """The `sessionid` of a person who is signed in; who does not exist yet is made, with `fields`."""

        def sign_in() -> str:
            user, _ = User.objects.get_or_create(username=username, defaults=fields)
            client = Client()
            client.force_login(user)
            return client.cookies[settings.SESSION_COOKIE_NAME].value

        return self.database.run(sign_in)


def forget_everybody() -> None:
    """Delete all people, with whatever is still being written for them, and all counts of attempts."""
    with transaction.atomic():
        # Locked in the order in which servers lock them, lest each waits for the other.
        list(Reply.objects.select_for_update().order_by("pk").values_list("pk"))
        User.objects.all().delete()
    cache.clear()


class Servers:
    """Starts servers and, at the end, stops those that still run."""

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
        """Start a server, on a database of its own or beside another on the same one."""
        server = Server(database or self._databases.make(), {"CHAT_LEASE_SECONDS": LEASE_SECONDS, **environment})
        self._running.callback(server.stop)
        server.start()
        return server


class SharedServers:
    """Gives the tests of a module one server for each environment, as if it were new for each test."""

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
