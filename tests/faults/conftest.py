"""What the fault tests share."""

import pytest

from tests.upstream import Upstream


@pytest.fixture
def upstream(endpoint: Upstream) -> Upstream:
    """The module's endpoint, as if it were new."""
    endpoint.forget()
    return endpoint
