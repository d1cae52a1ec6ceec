"""Parley on PostgreSQL: whatever stores or finds something passes the same tests there."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection

from tests.postgresql import postgresql

SUITES = [
    "tests/test_generation.py",
    "tests/test_models.py",
    "tests/test_nginx.py",
    "tests/test_replylog.py",
    "tests/test_search.py",
]


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor == "postgresql", reason="all tests run on PostgreSQL already")
def test_all_that_is_stored_passes_its_tests_on_postgresql() -> None:
    with postgresql() as url:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITES],
            cwd=settings.BASE_DIR,
            env={**os.environ, "DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stdout
