"""The comparison of relays, on which `make bench` and `make bench-quick` rest."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import relay
from tests.bench.readers import Load, Taken

FEW = Load(streams=3, deltas=5, gap=0.01, ramp=0.1)


def taken(cpu: float) -> Taken:
    return Taken([0.01] * 10, [0.02], cpu, 100)


@pytest.mark.process
def test_a_relay_is_measured_over_real_connections() -> None:
    with relay.endpoint() as url:
        (naive,) = relay.rounds(url, {"naive": relay.naive}, 1, FEW)["naive"]
    assert len(naive.deltas) == 15
    assert len(naive.first) == 3
    assert min(naive.cpu_us, naive.median_ms, naive.memory_mb) > 0


@pytest.mark.parametrize(("cpu", "fails"), [(1.1, False), (1.2, True)])
def test_a_quick_run_fails_when_a_delta_has_become_dearer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: float, fails: bool
) -> None:
    monkeypatch.setattr(relay, "KEPT", tmp_path / "kept.json")
    relay.KEPT.write_text(json.dumps({"SQLite to naive": 0.5}))

    def rounds(*_: Any) -> dict[str, list[Taken]]:
        return {"naive": [taken(2), taken(2)], "SQLite": [taken(cpu), taken(cpu)]}

    monkeypatch.setattr(relay, "rounds", rounds)
    assert bool(relay.quick("", keep=False)) is fails
    assert relay.quick("", keep=True) is None
    assert relay.quick("", keep=False) is None


def test_the_table_compares_within_a_round() -> None:
    runs = {"naive": [taken(2), taken(4)], "stored": [taken(1), taken(2)], "Parley, SQLite": [taken(1), taken(2)]}
    *_, row = relay.rows(runs)
    assert row == "| Parley, SQLite | 150000.0 µs | 0.50 | 1.00 | 10 ms | 10 ms | 20 ms | 100 MB |"


@pytest.mark.parametrize("name", ["make bench", "frames"])
def test_the_table_has_a_place(name: str) -> None:
    assert relay.place(name).search(relay.DOCUMENT.read_text())


def test_a_frame_has_the_wanted_length() -> None:
    # In a process of its own: it changes the frame of all that runs there.
    show = (
        "import tests.bench.relays.framed; from chat.replylog import commit; print(commit.FRAME, commit.LONGEST_FRAME)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "FRAME": "0.5"}
    printed = subprocess.run([sys.executable, "-c", show], env=environment, check=True, stdout=subprocess.PIPE).stdout
    assert printed.split() == [b"0.5", b"0.5"]
