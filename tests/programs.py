"""The programs that some tests need besides Python: where they are, and how to install them."""

import os
import secrets
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from tests.marks import PROGRAMS, needs

# Debian keeps the programs of PostgreSQL and those for administrators off the usual path.
PATH = os.pathsep.join(
    [os.environ["PATH"], *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), "/usr/sbin"]
)

# Of servers. Clients get theirs from 32768 upwards on Linux, and browsers refuse some below these.
PORTS = range(20_000, 32_000)

# Serves instead where it is installed: Chromium without its own windows and pages takes a third of the CPU.
LIGHTER = {"chromium": "chromium-headless-shell"}

# By the mark of the tests that need them.
PACKAGES = {
    "chromium": "chromium-headless-shell",
    "postgresql": "postgresql",
    "redis": "redis-server",
    "nginx": "nginx curl",
}


def program(name: str) -> str:
    """The full path of a program; raises FileNotFoundError if it is not installed."""
    needs(next(mark for mark, names in PROGRAMS.items() if name in names))
    if path := _found(name):
        return path
    raise FileNotFoundError(f"{name} is not installed")


def missing(mark: str) -> list[str]:
    """The programs that tests with this mark need but that are not installed."""
    return [name for name in PROGRAMS[mark] if not _found(name)]


def _found(name: str) -> str | None:
    return shutil.which(LIGHTER.get(name, name), path=PATH) or shutil.which(name, path=PATH)


def free_port() -> int:
    """A port that nobody uses at the moment.

    Not one that the system gives to clients: one of those could have it before the server, or while it is restarted.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
