"""What the fault tests share."""

from pathlib import Path

import pytest

from tests.upstream import Upstream

FOLDER = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker("faults")


@pytest.fixture
def upstream(endpoint: Upstream) -> Upstream:
    """The module's endpoint, as if it were new."""
    endpoint.forget()
    return endpoint
