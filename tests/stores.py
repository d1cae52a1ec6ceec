"""Runs pytest on PostgreSQL, or on PostgreSQL and Redis; both exist only for the run.

    python -m tests.stores postgresql -m stores
    DATABASE_POOL=0 python -m tests.stores redis -m stores

What follows the name goes to pytest.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.postgresql import postgresql
from tests.redis import RedisServer

BACKENDS = ["sqlite", "postgresql", "redis"]


@contextmanager
def stores(backend: str) -> Iterator[dict[str, str]]:
    """The environment of an empty database and, for "redis", of a Redis beside it."""
    match backend:
        case "sqlite":
            with tempfile.TemporaryDirectory() as folder:
                yield {"DATABASE_URL": f"sqlite:///{folder}/tests.sqlite3"}
        case "postgresql":
            with postgresql() as url:
                yield {"DATABASE_URL": url, "TESTS_POSTGRESQL": url}
        case "redis":
            with postgresql() as url, RedisServer() as redis:
                yield {"DATABASE_URL": url, "TESTS_POSTGRESQL": url, "TESTS_REDIS_URL": redis.url}
        case _:
            raise ValueError(f"The stores are {', '.join(BACKENDS)}, not {backend}.")


def main(backend: str, *arguments: str) -> int:
    with stores(backend) as environment:
        pytest = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(pytest, env={**os.environ, **environment}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
