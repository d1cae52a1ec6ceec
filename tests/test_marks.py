"""Each test carries the marks of what it starts, and cannot start anything else."""

import pytest

from tests.marks import PROGRAMS, brought, needs
from tests.programs import program


@pytest.mark.parametrize(
    ("own", "fixtures", "marks"),
    [
        (set(), {"upstream", "tmp_path"}, set()),
        (set(), {"alice", "db"}, {"stores"}),
        ({"django_db"}, set(), {"stores"}),
        (set(), {"start_server", "databases"}, {"process", "stores"}),
        ({"faults"}, {"server", "databases"}, {"process"}),
        (set(), {"alice", "visit", "playwright", "databases"}, {"process", "chromium"}),
        ({"postgresql"}, set(), {"process"}),
        ({"django_db"}, {"redis"}, {"process", "redis", "stores"}),
    ],
)
def test_fixtures_bring_marks(own: set[str], fixtures: set[str], marks: set[str]) -> None:
    assert brought(own, fixtures) == marks


@pytest.mark.parametrize("mark", PROGRAMS)
def test_a_program_is_refused_without_its_mark(mark: str) -> None:
    with pytest.raises(RuntimeError, match=f"needs the mark '{mark}'"):
        program(PROGRAMS[mark][0])


def test_a_server_is_refused_without_its_mark() -> None:
    with pytest.raises(RuntimeError, match="needs the mark 'process'"):
        needs("process")


@pytest.mark.process
def test_a_mark_allows_what_it_names() -> None:
    needs("process")
