"""What some tests need besides Python: where it is, and how to get it."""

import os
import shutil
from pathlib import Path

# Debian keeps the programs of PostgreSQL and of administrators off the path of people.
PATH = os.pathsep.join(
    [os.environ["PATH"], *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), "/usr/sbin"]
)

# By the mark of the tests that need them.
PROGRAMS = {
    "chromium": ["chromium"],
    "postgresql": ["initdb", "postgres"],
    "redis": ["redis-server"],
    "nginx": ["nginx", "openssl", "curl"],
}
PACKAGES = {
    "chromium": "chromium",
    "postgresql": "postgresql",
    "redis": "redis-server",
    "nginx": "nginx openssl curl",
}


def program(name: str) -> str:
    """The whole path of a program; raises FileNotFoundError where it is not installed."""
    if path := shutil.which(name, path=PATH):
        return path
    raise FileNotFoundError(f"{name} is not installed")


def missing(mark: str) -> list[str]:
    """The programs that tests with this mark need and that are not installed."""
    return [name for name in PROGRAMS[mark] if not shutil.which(name, path=PATH)]
