"""What load balancers and Prometheus ask."""

import asyncio
import sqlite3
import threading
import time
from contextlib import closing

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from pytest_django import Settings
from redis import Redis

from chat.process import Process
from config import __version__
from config.server.asgi import Receive, Scope, Send
from config.server.health import Health
from config.server.threads import THREADS, SharedThreads
from tests.redis import RedisServer
from tests.server import Server, Servers
from tests.visitor import PATIENCE


def living() -> Process:
    """One whose database has just taken a beat."""
    process = Process.from_settings()
    process.lease.renewed = time.monotonic()
    return process


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})


async def ask(health: Health, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(health), base_url="http://127.0.0.1") as client:
        return await client.get(path)


async def problem(process: Process) -> str:
    """The code of what is wrong with the process, "" if it is ready."""
    response = await ask(Health(not_found, process), "/readyz/")
    assert response.status_code == 503 or response.json() == {"status": "ok"}
    return str(response.json()["error"]["code"]) if response.status_code == 503 else ""


async def test_a_living_process_tells_its_version() -> None:
    response = await ask(Health(not_found, living()), "/healthz/")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "version": __version__})
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/healthz/", "/readyz/"])
async def test_health_is_answered_while_every_thread_is_busy(path: str) -> None:
    released, busy = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        busy.release()
        released.wait()

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await sync_to_async(work)()
        await not_found(scope, receive, send)

    health = Health(SharedThreads(page), living())
    pages = [asyncio.create_task(ask(health, "/")) for _ in range(2 * THREADS)]
    for _ in range(THREADS):
        await asyncio.to_thread(busy.acquire)
    assert (await ask(health, path)).status_code == 200
    assert not any(page.done() for page in pages)
    released.set()
    await asyncio.gather(*pages)


@pytest.mark.parametrize("on", [True, False])
async def test_figures_are_shown_where_the_setting_says_so(settings: Settings, on: bool) -> None:
    settings.CHAT_METRICS = on
    response = await ask(Health(not_found, living()), "/metrics/")
    assert (response.status_code == 200) == on
    assert ("parley_readers" in response.text) == on


async def test_a_process_is_ready() -> None:
    assert await problem(living()) == ""


async def test_a_draining_process_is_not_ready() -> None:
    process = living()
    process.draining = True
    assert await problem(process) == "draining"


@pytest.mark.parametrize("age", [None, settings.CHAT_LEASE_SECONDS + 1])
async def test_a_process_without_a_recent_beat_is_not_ready(age: float | None) -> None:
    process = living()
    process.lease.renewed = None if age is None else time.monotonic() - age
    assert await problem(process) == "database"


async def test_a_process_whose_commit_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    process = living()
    monkeypatch.setattr(process.log._commit, "_storing_since", time.monotonic() - settings.CHAT_LEASE_SECONDS - 1)
    assert await problem(process) == "log"


# Real servers


def get(server: Server, path: str) -> httpx.Response:
    return httpx.get(f"{server.url}{path}", trust_env=False, timeout=PATIENCE)


def becomes_ready(server: Server) -> bool:
    """The first beat follows the start at once."""
    while get(server, "/readyz/").status_code != 200:
        time.sleep(0.05)
    return True


@pytest.mark.any_store
def test_a_program_asks_by_address_and_everybody_else_by_name(start_server: Servers) -> None:
    production = {"DEBUG": "0", "ALLOWED_HOSTS": "chat.example.org", "SECURE_SSL_REDIRECT": "1", "CHAT_METRICS": "1"}
    server = start_server(None, **production)
    assert becomes_ready(server)
    for path in ("/healthz/", "/readyz/", "/metrics/"):
        response = get(server, path)
        assert response.status_code == 200
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert get(server, "/accounts/login/").status_code == 400


def test_a_process_without_a_database_is_alive_but_not_ready(start_server: Servers) -> None:
    lost = start_server(DATABASE_URL="sqlite:////no/such/folder/parley.sqlite3")
    assert get(lost, "/healthz/").status_code == 200
    answer = get(lost, "/readyz/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="another database is locked in another way")
def test_a_locked_database_makes_a_process_unready(start_server: Servers) -> None:
    server = start_server(None, CHAT_LEASE_SECONDS="1")
    assert becomes_ready(server)
    with closing(sqlite3.connect(server.database.name, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        while (answer := get(server, "/readyz/")).status_code == 200:
            time.sleep(0.05)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database")
        assert get(server, "/healthz/").status_code == 200
        other.execute("ROLLBACK")
    assert becomes_ready(server)


@pytest.mark.redis
def test_a_full_or_dead_redis_makes_a_process_unready(start_server: Servers) -> None:
    with RedisServer() as redis:
        server = start_server(REDIS_URL=redis.url)
        client = Redis.from_url(redis.url)
        assert becomes_ready(server)
        client.config_set("maxmemory", 1)
        answer = get(server, "/readyz/")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log")
        client.config_set("maxmemory", 0)
        assert becomes_ready(server)
        redis.kill()
        assert get(server, "/readyz/").status_code == 503
        redis.start()
        assert becomes_ready(server)
