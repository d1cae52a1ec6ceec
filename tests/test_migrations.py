"""Migrations of a release stay as they are: databases that have run them do not run them again."""

from hashlib import sha256

import pytest
from django.conf import settings

# Those of 0.2.0. A release adds its own here.
RELEASED = {
    "0001_initial": "fde39c8212a3f1baf15b92643b0f1e28fc19cded29f7b3704d93eaa95fdf330c",
    "0002_cache": "c08dd0f21008424d51c1eb4ae0f8d78aa165d7bc8fa4bfc11b0c150d81d10ea4",
}


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_migration_is_as_it_was(name: str) -> None:
    file = settings.BASE_DIR / "chat" / "migrations" / f"{name}.py"
    assert sha256(file.read_bytes()).hexdigest() == RELEASED[name], "Put the change into a new migration."
