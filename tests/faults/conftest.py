"""What the fault tests share: their mark, a person at the module's server, and the proxy before its store."""

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
    items.sort(key=turn)


def turn(item: pytest.Item) -> int:
    """When a test begins: others are to fill the time in which it waits.

    The first worker has those that take long first, and leaves what follows them to others. The tests of faults, which
    wait too, come with the last worker's share: at the beginning of the first one's, they would be what is left at the end.
    """
    if item.get_closest_marker("waits"):
        return 0
    return 2 if item.get_closest_marker("faults") else 1


@pytest.fixture
async def alice(server: Server) -> AsyncIterator[Visitor]:
    async with Visitor(server, "alice") as alice:
        yield alice


@pytest.fixture
def proxy(between: Proxy) -> Iterator[Proxy]:
    """The proxy between the module's server and its store, which passes everything on again after the test."""
    yield between
    between.mend()
