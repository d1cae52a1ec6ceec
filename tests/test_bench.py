"""The comparison of relays, on which `make bench` and `make bench-quick` rest, and the data of `make bench-data`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chat.models import Conversation, User
from tests.bench import data, pages, relay, reviews
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


@pytest.fixture
def filled(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data with 500 conversations of one question and one answer."""
    monkeypatch.setattr(data, "LENGTH", 2)
    data.fill(1000)


def test_the_data_sums_up_its_conversations(filled: None) -> None:
    for conversation in Conversation.objects.all():
        stored = {field: getattr(conversation, field) for field in Conversation.SUMMED}
        conversation.add_up()
        assert {field: getattr(conversation, field) for field in Conversation.SUMMED} == stored


def test_the_data_has_something_for_each_page_of_reviewers(filled: None) -> None:
    newest = Conversation.objects.order_by("-updated")[0]
    client = pages.signed_in(User.objects.get(username="staff"))
    asked = pages.staffs(newest)
    for what in [
        *("of a group", "failed", "flagged or reported", "reported", "new to reviewers", "in review", "done"),
        *("of one reviewer", "of no reviewer", "in review, of one reviewer", "in the trash", "not in the trash"),
        *("with a label that half of the reviews have", "with a label that one in a hundred has"),
        "flagged or reported, not in the trash, new to reviewers",
    ]:
        assert client.get(asked[f"staff's list: {what}"]).context["cl"].result_count, what
    for what in ["at the first problem", "at a flag"]:
        response = client.get(asked[f"staff's transcript, {what}"], follow=True)
        assert response.context["stops"].position == 1, what
    for group in reviews.GROUPS:
        reviewer = pages.signed_in(User.objects.get(username=reviews.limited_to(group)))
        count = reviewer.get(pages.limited("they")["they: newest"]).context["cl"].result_count
        assert 0 < count < Conversation.objects.count() / 2, group
