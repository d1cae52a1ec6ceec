"""The marks that tests get from their fixtures, and the check that no test starts more than its marks name."""

from collections.abc import Set

# Each test gets the marks of the fixtures that it uses, directly or through other fixtures.
OF_FIXTURES = {
    "databases": "process",
    "image": "process",
    "started": "process",
    "playwright": "chromium",
    "redis": "redis",
    "redis_server": "redis",
    "nginx": "nginx",
}
# The programs that tests with a mark need.
PROGRAMS = {
    "chromium": ["chromium"],
    "postgresql": ["initdb", "postgres"],
    "redis": ["redis-server"],
    "nginx": ["nginx", "curl"],
}
# Tests that use one of these store something.
STORING = {"db", "transactional_db", "databases"}
# Tests with one of these marks store something too, but they are not about the store, or bring their own.
NOT_ABOUT_STORES = {"any_store", "chromium", "nginx", "postgresql", "wire", "faults"}

# The marks of the running test; None outside of tests.
running: Set[str] | None = None


def brought(own: Set[str], fixtures: Set[str]) -> set[str]:
    """The marks that a test gets besides its own."""
    marks = {OF_FIXTURES[fixture] for fixture in fixtures & OF_FIXTURES.keys()}
    if (own | marks) & PROGRAMS.keys():
        marks.add("process")
    if ("django_db" in own or fixtures & STORING) and not (own | marks) & NOT_ABOUT_STORES:
        marks.add("stores")
    return marks


def needs(mark: str) -> None:
    """Raise RuntimeError if the running test is about to start something that its marks do not name."""
    if running is not None and mark not in running:
        raise RuntimeError(f"This test needs the mark {mark!r}, or a fixture that tests/marks.py lists for it.")
