"""How quickly requests are answered while many streams are open, from one process on an empty database of SQLite.

    python -m tests.streams --streams 1000 --seconds 30

Each stream brings two words a second. The table tells, for each kind of request, how long it took, in milliseconds.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections import defaultdict
from statistics import median, quantiles
from typing import Any

import django

# Before Django reads its settings: nobody's own reach the server.
import tests.environment  # noqa: F401

RAMP = 30.0  # Seconds in which all streams are opened.
PAUSE = 0.1  # Seconds between two requests.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"sqlite:///{folder}/streams.sqlite3",
        }
        django.setup()
        asyncio.run(measure(options.streams, options.seconds))


async def measure(streams: int, seconds: int) -> None:
    # They need Django's setup.
    from django.core.management import call_command
    from pytest_django import DjangoDbBlocker

    from tests.server import Database, Server
    from tests.upstream import Upstream, sleep, text
    from tests.visitor import Visitor

    await asyncio.to_thread(call_command, "migrate", verbosity=0)
    url = os.environ["DATABASE_URL"]
    database = Database(url.removeprefix("sqlite:///"), url, DjangoDbBlocker(_ispytest=True))
    with Upstream() as upstream:
        upstream.default = [step for _ in range(1000) for step in (text("word "), sleep(0.5))]
        server = Server(
            database,
            {
                "OPENAI_BASE_URL": upstream.url,
                "OPENAI_MODEL": "small",
                "CHAT_PROCESS_RUNNING": f"{streams + 100}",
                "CHAT_PERSON_RUNNING": f"{streams + 100}",
                "CHAT_PERSON_STREAMS": f"{streams + 100}",
            },
        )
        server.start()
        try:
            async with Visitor(server, "alice") as alice:
                readers = [asyncio.create_task(read(server, await opened(alice, streams))) for _ in range(streams)]
                taken = await requests(alice, seconds)
                for reader in readers:
                    assert not reader.done(), "a stream has ended"
                    reader.cancel()
        finally:
            await asyncio.to_thread(server.kill)
    show(streams, taken)


async def opened(alice: Any, streams: int) -> tuple[str, str]:
    """The address of a new reply's events and the cookies to read them."""
    reply = await alice.ask("Count.")
    await asyncio.sleep(RAMP / streams)
    return reply["events_url"], "; ".join(f"{name}={value}" for name, value in alice.client.cookies.items())


async def read(server: Any, opened: tuple[str, str]) -> None:
    """Read a stream and forget it: a client that looked at it would measure itself."""
    url, cookies = opened
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {url} HTTP/1.0\r\nhost: localhost\r\ncookie: {cookies}\r\naccept: */*\r\n\r\n".encode())
    try:
        while await reader.read(65_536):
            pass
    finally:
        writer.close()


async def requests(alice: Any, seconds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = defaultdict(list)

    async def timed(kind: str, method: str, path: str, **fields: Any) -> Any:
        began = time.perf_counter()
        response = await alice.client.request(method, path, **fields)
        taken[kind].append((time.perf_counter() - began) * 1000)
        assert response.status_code < 400, response.text
        return response

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        asked = await timed("ask", "POST", "/c/", data={"text": "And?"}, headers={"accept": "application/json"})
        reply, conversation = asked.json()["reply"], asked.json()["conversation"]
        for kind, path in (("first page", "/"), ("conversation", conversation["url"]), ("reply", reply["url"])):
            await asyncio.sleep(PAUSE)
            await timed(kind, "GET", path)
        await asyncio.sleep(PAUSE)
        await timed("stop", "POST", reply["stop_url"], headers={"accept": "application/json"})
    return taken


def show(streams: int, taken: dict[str, list[float]]) -> None:
    everything = {**taken, "all": [one for kind in taken.values() for one in kind]}
    print(f"| {streams} streams | requests | median | 95th percentile | longest |\n| --- | --- | --- | --- | --- |")  # noqa: T201
    for kind, times in everything.items():
        print(f"| {kind} | {len(times)} | {median(times):.0f} | {quantiles(times, n=20)[-1]:.0f} | {max(times):.0f} |")  # noqa: T201


if __name__ == "__main__":
    main()
