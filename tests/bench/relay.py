"""Measures what a delta costs, beside two other relays, and writes the table into docs/performance.md.

    python -m tests.bench.relay           # five rounds over all stores, about twelve minutes
    python -m tests.bench.relay --quick   # fails when SQLite is 15 % dearer than tests/bench/kept.json says
    python -m tests.bench.relay --frames  # what longer and shorter frames cost, on SQLite, about seven minutes

Only ratios within a run say something: the endpoint, the relay and the readers share the machine.
"""

import argparse
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

# Before Django reads its settings: nobody's own reach a server.
import tests.environment  # noqa: F401
from tests.bench.readers import Load, Relay, Taken
from tests.postgresql import postgresql
from tests.programs import free_port
from tests.redis import RedisServer

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "performance.md"
KEPT = Path(__file__).with_name("kept.json")
RELAYS = Path(__file__).with_name("relays")
# How much dearer than what is kept a quick run may be.
MARGIN = 1.15
SMALL = Load(streams=5, deltas=20, gap=0.01, ramp=0.1)
QUICK = Load(deltas=200)
FRAMES_MS = (10, 25, 50, 75, 100)
HEAD = "| | CPU of a delta | to naive | to stored | p50 | p99 | first delta | memory |"

SESSION = """
from django.conf import settings
from django.test import Client
from chat.models import User
client = Client()
client.force_login(User.objects.create_user("bench"))
print(client.cookies[settings.SESSION_COOKIE_NAME].value)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--frames", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="keep the ratio of a quick run for later ones")
    options = parser.parse_args()
    with endpoint() as url:
        if options.quick:
            sys.exit(quick(url, keep=options.keep))
        if options.frames:
            curve: dict[str, Start] = {f"a frame of {frame} ms": partial(parley, frame_ms=frame) for frame in FRAMES_MS}
            name, taken = "frames", rounds(url, {"naive": naive, **curve}, options.rounds, Load())
        else:
            name, taken = "make bench", rounds(url, {**PLAIN, **PARLEYS}, options.rounds, Load())
    table = "\n".join(rows(taken))
    DOCUMENT.write_text(place(name).sub(lambda _: f"\n{table}\n\n", DOCUMENT.read_text()))
    print(table)  # noqa: T201


def place(name: str) -> re.Pattern[str]:
    """Where the table of this name is in the document."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end of bench -->)", re.DOTALL)


def quick(url: str, *, keep: bool) -> str | None:
    """Why the run fails, or None."""
    taken = rounds(url, {"naive": naive, "SQLite": PARLEYS["Parley, SQLite"]}, 2, QUICK)
    ratio = ratios(taken["SQLite"], taken["naive"])
    if keep:
        KEPT.write_text(json.dumps({"SQLite to naive": round(ratio, 3)}) + "\n")
    kept = json.loads(KEPT.read_text())["SQLite to naive"]
    print(f"A delta costs {ratio:.2f} times what it costs the naive relay; {kept:.2f} is kept.")  # noqa: T201
    return None if ratio <= kept * MARGIN else f"That is more than {MARGIN - 1:.0%} dearer."


# Starts a relay in front of the endpoint with this address, for the time of a block.
type Start = Callable[[str], AbstractContextManager[Relay]]


def rounds(url: str, relays: Mapping[str, Start], count: int, load: Load) -> dict[str, list[Taken]]:
    """What each relay took, in rounds in which they take turns."""
    taken: dict[str, list[Taken]] = defaultdict(list)
    for number in range(count):
        for name, start in relays.items():
            with start(url) as relay:
                # What is slow only once.
                relay.measure(SMALL)
                taken[name].append(relay.measure(load))
            print(f"round {number + 1}: {name} {taken[name][-1].cpu_us:.1f} µs", file=sys.stderr)  # noqa: T201
    return taken


def ratios(one: list[Taken], other: list[Taken]) -> float:
    """The median of the ratios of each round."""
    return median(mine.cpu_us / theirs.cpu_us for mine, theirs in zip(one, other, strict=True))


def rows(taken: Mapping[str, list[Taken]]) -> Iterator[str]:
    yield HEAD
    yield "| --- " * HEAD.count(" |") + "|"
    for name, runs in taken.items():
        compared = [
            "" if name in PLAIN or other not in taken else f"{ratios(runs, taken[other]):.2f}" for other in PLAIN
        ]
        cost, memory = median(run.cpu_us for run in runs), median(run.memory_mb for run in runs)
        times = [median(run.median_ms for run in runs), median(run.p99_ms for run in runs)]
        waits = [f"{time:.0f} ms" for time in (*times, median(run.first_ms for run in runs))]
        yield f"| {' | '.join([name, f'{cost:.1f} µs', *compared, *waits, f'{memory:.0f} MB'])} |"


@contextmanager
def endpoint() -> Iterator[str]:
    with listening([sys.executable, "-m", "tests.bench.paced"], {}) as (port, _):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def naive(url: str) -> Iterator[Relay]:
    """What a tutorial of Django would write."""
    daphne = [sys.executable, "-m", "daphne", "tests.bench.relays.naive:application", "-b", "127.0.0.1", "-p"]
    with listening(daphne, {"ENDPOINT": url}) as (port, pid):
        yield Relay(port, [pid])


@contextmanager
def stored(url: str) -> Iterator[Relay]:
    """Node, with each delta in Redis before it is shown."""
    with RedisServer() as redis:
        environment = {"ENDPOINT": url, "REDIS": str(redis.port)}
        with listening(["node", str(RELAYS / "stored.mjs")], environment) as (port, pid):
            yield Relay(port, [pid])


@contextmanager
def parley(
    url: str, *, on_postgresql: bool = False, on_redis: bool = False, frame_ms: int | None = None
) -> Iterator[Relay]:
    """Parley as in production, on an empty store, for a person who has no rights."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {
            "DEBUG": "0",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "ALLOWED_HOSTS": "localhost",
            "SECURE_COOKIES": "0",
            "SECURE_SSL_REDIRECT": "0",
            "DATABASE_URL": stack.enter_context(postgresql()) if on_postgresql else f"sqlite:///{folder}/bench.sqlite3",
            "REDIS_URL": stack.enter_context(RedisServer()).url if on_redis else "",
            "OPENAI_BASE_URL": url,
            "OPENAI_MODEL": "bench",
            **dict.fromkeys(("CHAT_PERSON_RUNNING", "CHAT_PERSON_STREAMS", "CHAT_PERSON_QUESTIONS"), "2000"),
            "CHAT_PROCESS_RUNNING": "2000",
        }
        _manage(environment, "migrate", "-v0")
        session = _manage(environment, "shell", "-v0", "-c", SESSION).split()[-1]
        module = "config.asgi"
        if frame_ms:
            module, environment["FRAME"] = "tests.bench.relays.framed", str(frame_ms / 1000)
        daphne = [sys.executable, "-m", "daphne", f"{module}:application", "-b", "127.0.0.1", "-p"]
        port, pid = stack.enter_context(listening(daphne, environment))
        yield Relay(port, [pid], f"sessionid={session}")


def _manage(environment: dict[str, str], *command: str) -> str:
    """What it prints."""
    env = {**os.environ, **environment}
    arguments = [sys.executable, "manage.py", *command]
    return subprocess.run(arguments, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


PLAIN: dict[str, Start] = {"naive": naive, "stored": stored}
PARLEYS: dict[str, Start] = {
    "Parley, SQLite": parley,
    "Parley, PostgreSQL": lambda url: parley(url, on_postgresql=True),
    "Parley, PostgreSQL and Redis": lambda url: parley(url, on_postgresql=True, on_redis=True),
}


@contextmanager
def listening(command: list[str], environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """A process that is given its port last: the port, as soon as it listens there, and its id."""
    port = free_port()
    process = subprocess.Popen(
        [*command, str(port)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while not answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command} does not listen")
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
