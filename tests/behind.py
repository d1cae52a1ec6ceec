"""How much later a delta reaches a reader in another process than one in the process that writes it.

    python -m tests.behind --deltas 100

Each delta is timed as it arrives at both readers; the table has the differences, in milliseconds, for each store.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from statistics import median, quantiles
from typing import Any

import django

# Before Django reads its settings: nobody's own reach the servers.
import tests.environment  # noqa: F401
from tests.faults.kill_loop import ROOT
from tests.stores import BACKENDS, stores

GAP = 0.37  # Seconds between two deltas, which the pace of looking does not divide.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deltas", type=int, default=100)
    parser.add_argument("--here", metavar="NAME", help="the stores are those of the environment")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
    django.setup()
    if options.here:
        asyncio.run(measure(options.here, options.deltas))
        return
    print("| | deltas | median | 95th percentile | longest |\n| --- | --- | --- | --- | --- |", flush=True)  # noqa: T201
    for backend in BACKENDS:
        command = [sys.executable, "-m", "tests.behind", f"--here={backend}", f"--deltas={options.deltas}"]
        with stores(backend) as environment:
            subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True)


async def measure(name: str, deltas: int) -> None:
    # They need Django's setup.
    from django.core.management import call_command
    from django.db import connection
    from pytest_django import DjangoDbBlocker

    from tests.server import Database, Server
    from tests.upstream import Upstream, finish, sleep, text
    from tests.visitor import Visitor

    await asyncio.to_thread(call_command, "migrate", verbosity=0)
    place = str(connection.settings_dict["NAME"])
    database = Database(place, os.environ["DATABASE_URL"], DjangoDbBlocker(_ispytest=True))
    with Upstream() as upstream:
        upstream.default = [step for number in range(deltas) for step in (text(f"{number}."), sleep(GAP))] + [finish()]
        servers = [Server(database, {"OPENAI_BASE_URL": upstream.url, "OPENAI_MODEL": "small"}) for _ in range(2)]
        for server in servers:
            server.start()
        try:
            async with Visitor(servers[0], "alice") as here, Visitor(servers[1], "alice") as there:
                reply = await here.ask("Count.")
                near, far = await asyncio.gather(arrivals(here, reply), arrivals(there, reply))
        finally:
            for server in servers:
                await asyncio.to_thread(server.kill)
    # The first delta may have been there before the readers.
    behind = [(far[number] - near[number]) * 1000 for number in range(1, deltas)]
    slow = quantiles(behind, n=20)[-1]
    print(f"| {name} | {len(behind)} | {median(behind):.0f} | {slow:.0f} | {max(behind):.0f} |", flush=True)  # noqa: T201


async def arrivals(visitor: Any, reply: dict[str, Any]) -> dict[int, float]:
    """When each delta was there."""
    arrived: dict[int, float] = {}
    async for event in visitor.follow(reply):
        for number in event.data.get("text", "").split(".")[:-1]:
            arrived[int(number)] = time.perf_counter()
    return arrived


if __name__ == "__main__":
    main()
