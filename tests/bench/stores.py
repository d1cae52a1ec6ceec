"""The two databases that are measured, in a folder that outlives the run."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgresql import postgresql

# PostgreSQL's own user has to reach it.
FOLDER = Path(os.environ.get("BENCH_FOLDER") or Path(tempfile.gettempdir(), "parley-bench"))
STORES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@contextmanager
def store(name: str) -> Iterator[dict[str, str]]:
    """The environment of a process that uses this database."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    FOLDER.mkdir(exist_ok=True)
    if name == "sqlite":
        yield {**environment, "DATABASE_URL": f"sqlite:///{FOLDER}/bench.sqlite3"}
        return
    kept = FOLDER / "postgresql"
    kept.mkdir(exist_ok=True)
    with postgresql(kept) as url:
        yield {**environment, "DATABASE_URL": url}


def names() -> list[str]:
    """Those that the command line names, or both."""
    return [name for name in sys.argv[1:] if name in STORES] or list(STORES)
