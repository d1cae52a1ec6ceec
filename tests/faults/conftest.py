"""What the fault tests share: their mark, a person at the module's server, and the proxy before its store."""

import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy
from tests.server import Server
from tests.visitor import Visitor

FOLDER = Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker("faults")
    yield
    items[:] = in_turn(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def in_turn(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests so that others fill the time in which some wait.

    Those that take long begin the first worker's share, and the other faults the second one's. What is left at the end,
    and taken by whoever has nothing to do, does not wait.
    """
    waits, briefs = parted(items, "waits")
    faults, others = parted(briefs, "faults")
    rest = max(0, len(items) // workers - len(waits))
    return [*waits, *others[:rest], *faults, *others[rest:]]


def parted(items: list[pytest.Item], mark: str) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Those that have the mark, and those that do not."""
    having = [item for item in items if item.get_closest_marker(mark)]
    return having, [item for item in items if not item.get_closest_marker(mark)]


@pytest.fixture
async def alice(server: Server) -> AsyncIterator[Visitor]:
    async with Visitor(server, "alice") as alice:
        yield alice


@pytest.fixture
def proxy(between: Proxy) -> Iterator[Proxy]:
    """The proxy between the module's server and its store, which passes everything on again after the test."""
    yield between
    between.mend()
