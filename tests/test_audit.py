"""The audit record: what it holds, that it only grows, and that whatever is done to it is found, on both databases."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from pytest_django import Settings

from chat.audit import append, record
from chat.audit.recording import DETAIL_CHARS, new
from chat.models import AuditHead, AuditRecord, Conversation, User

Action = AuditRecord.Action


def past_the_triggers() -> None:
    """Let this transaction do what the database refuses, as somebody who administers it could."""
    if connection.vendor == "postgresql":
        run("ALTER TABLE chat_auditrecord DISABLE TRIGGER USER")
    else:
        for name in ("updated", "deleted", "replaced"):
            run(f"DROP TRIGGER chat_auditrecord_{name}")


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def chain(alice: User) -> None:
    """Six records and nothing before them, in a transaction that may tamper with them."""
    past_the_triggers()
    AuditRecord.objects.all().delete()
    AuditHead.objects.update(number=0, mac="")
    for _ in range(6):
        record(Action.SIGNED_IN, owner=alice)


def verify(*options: str) -> str:
    out = StringIO()
    call_command("verify_audit", *options, stdout=out, stderr=out)
    return out.getvalue()


def problems(*options: str) -> list[str]:
    """What the command says is wrong; it must fail."""
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("verify_audit", *options, stdout=out, stderr=out)
    assert error.value.returncode == 1
    return [line for line in out.getvalue().splitlines() if not line.startswith("Key ")]


def row(number: int) -> Any:
    return AuditRecord.objects.filter(pk=number)


def renumber(first: int, by: int) -> None:
    """Give all records from this one on other numbers."""
    numbers = AuditRecord.objects.filter(pk__gte=first).order_by("pk" if by < 0 else "-pk").values_list("pk", flat=True)
    for number in list(numbers):
        row(number).update(number=F("number") + by)
    AuditHead.objects.update(number=F("number") + by)


# What is recorded


def test_a_record_names_people_and_outlives_their_accounts(alice: User, sam: User) -> None:
    conversation = Conversation.objects.create(owner=alice, title="Secret", model="demo")
    pks = str(alice.pk), conversation.pk
    record(Action.READ, conversation=conversation, detail="page 1")
    alice.delete()
    read = AuditRecord.objects.get(conversation=pks[1])
    assert (read.owner_id, read.owner_name, read.conversation, read.detail) == (pks[0], "alice", pks[1], "page 1")
    assert AuditRecord.objects.order_by("pk").last().action == Action.DELETED  # type: ignore[union-attr]


def test_a_long_detail_is_cut(db: None) -> None:
    assert len(new(Action.SEARCHED, detail="x" * 10_000).detail) == DETAIL_CHARS


def test_a_reading_is_committed_before_the_text_is_sent(alice: User) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        record(Action.READ, owner=alice)


def test_a_change_that_is_rolled_back_is_not_recorded(alice: User) -> None:
    before = AuditHead.objects.get().number
    alice.is_staff = True
    with transaction.atomic():
        alice.save()
        assert AuditHead.objects.get().number == before + 1
        transaction.set_rollback(True)
    assert AuditHead.objects.get().number == before


@pytest.mark.django_db(transaction=True)
def test_many_writers_make_one_chain(alice: User) -> None:
    before = AuditHead.objects.get().number

    def write(_: int) -> None:
        try:
            record(Action.LISTED, owner=alice)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(20)))
    records = list(AuditRecord.objects.filter(pk__gt=before).order_by("pk"))
    assert [entry.number for entry in records] == list(range(before + 1, before + 21))
    assert [entry.before for entry in records[1:]] == [entry.mac for entry in records[:-1]]


# It only grows


@pytest.mark.parametrize(
    "change",
    [
        lambda: AuditRecord.objects.update(owner_name="mallory"),
        lambda: AuditRecord.objects.all().delete(),
        lambda: run("DELETE FROM chat_auditrecord"),
        lambda: run("UPDATE chat_auditrecord SET number = number + 1000000"),
        pytest.param(
            lambda: run("TRUNCATE chat_auditrecord"),
            marks=pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no TRUNCATE"),
        ),
        pytest.param(
            lambda: run("INSERT OR REPLACE INTO chat_auditrecord SELECT * FROM chat_auditrecord"),
            marks=pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has no REPLACE"),
        ),
    ],
    ids=["update", "delete", "delete all", "renumber", "truncate", "replace"],
)
def test_the_database_refuses_changes(alice: User, change: Callable[[], object]) -> None:
    with pytest.raises(DatabaseError, match="only grows"), transaction.atomic():
        change()
    assert AuditRecord.objects.filter(owner_name="alice").exists()


# What is done to it is found


def test_an_untouched_chain_is_right(chain: None) -> None:
    assert "6 audit records are as they were written." in verify()


@pytest.mark.parametrize("field", [field.name for field in AuditRecord._meta.fields if field.name != "number"])
def test_a_change_of_any_field_is_found(chain: None, field: str) -> None:
    values: dict[str, Any] = {"time": datetime(2026, 3, 1, tzinfo=UTC), "conversation": UUID(int=0)}
    row(3).update(**{field: values.get(field, "other")})
    expected = "written with the key other, which is not among the settings" if field == "key" else "changed after"
    assert f"Record 3 was {expected}" in problems()[0]


def test_a_removed_record_is_found(chain: None) -> None:
    row(3).delete()
    assert problems() == ["Record 3 was removed."]


def test_a_removed_record_is_found_though_others_take_its_number(chain: None) -> None:
    row(3).delete()
    renumber(4, by=-1)
    assert problems() == ["Records 3 to 5 were moved here from number 4."]


def test_a_removed_beginning_is_found(chain: None) -> None:
    AuditRecord.objects.filter(pk__lte=2).delete()
    assert problems() == ["Records 1 to 2 were removed."]


@pytest.mark.parametrize("mac", ["", "0" * 64])
def test_an_inserted_record_is_found(chain: None, mac: str) -> None:
    forged = AuditRecord.objects.get(pk=3)
    renumber(4, by=1)
    forged.number, forged.before, forged.mac = 4, forged.mac, mac or forged.mac
    forged.owner_name = "mallory"
    AuditRecord.objects.bulk_create([forged])
    inserted, moved = problems()
    assert inserted == "Record 4 was inserted by somebody without the key."
    assert moved == "Records 5 to 7 were moved here from number 4."


def test_a_record_inserted_at_the_end_is_found(chain: None) -> None:
    AuditRecord.objects.bulk_create([AuditRecord(number=7, action="read", key=AuditRecord.objects.get(pk=6).key)])
    assert problems() == [
        "Record 7 was inserted by somebody without the key.",
        "The end of the chain, record 7, is not what the database has noted as its end.",
    ]


def test_reordered_records_are_found(chain: None) -> None:
    for old, other in [(3, -3), (4, 3), (-3, 4)]:
        row(old).update(number=other)
    assert problems() == ["Record 3 was moved here from number 4.", "Record 4 was moved here from number 3."]


def test_a_record_of_another_chain_is_found(chain: None, alice: User) -> None:
    """As after a backup was restored: two records have had the number 6, both with the right key."""
    AuditRecord.objects.filter(pk=6).delete()
    AuditHead.objects.update(number=5, mac="0" * 64)
    record(Action.SIGNED_OUT, owner=alice)
    assert problems() == ["Record 6 was written after another record than the one before."]


def test_a_cut_end_is_found_by_a_checkpoint(chain: None, tmp_path: Path) -> None:
    kept = str(tmp_path / "checkpoints")
    verify("--checkpoint", kept)
    assert "as they were written" in verify("--against", kept)
    AuditRecord.objects.filter(pk__gte=5).delete()
    assert problems() == ["Records 5 to 6 were removed."]
    AuditHead.objects.update(number=4, mac=AuditRecord.objects.get(pk=4).mac)
    assert "4 audit records are as they were written" in verify()
    assert problems("--against", kept) == ["Records 5 to 6 were removed."]
    for _ in range(3):
        record(Action.SIGNED_IN)
    assert problems("--against", kept) == ["Record 6 was another one when the checkpoint was made."]


def test_a_missing_end_is_found(chain: None) -> None:
    AuditHead.objects.all().delete()
    assert problems() == ["The end of the chain, record 6, is not what the database has noted as its end."]


# Checkpoints


def test_a_checkpoint_is_one_line_on_standard_output(chain: None) -> None:
    out, err = StringIO(), StringIO()
    call_command("verify_audit", "--checkpoint", stdout=out, stderr=err)
    assert json.loads(out.getvalue())["number"] == 6
    assert "6 audit records" in err.getvalue()


@pytest.mark.parametrize("change", [{"number": 5}, {"signature": "0" * 64}, {"key": "other"}, {"more": 1}])
def test_a_changed_checkpoint_is_refused(chain: None, tmp_path: Path, change: dict[str, Any]) -> None:
    kept = tmp_path / "checkpoints"
    verify("--checkpoint", str(kept))
    kept.write_text(json.dumps(json.loads(kept.read_text()) | change))
    with pytest.raises(CommandError, match="checkpoint"):
        verify("--against", str(kept))


def test_a_missing_file_of_checkpoints_is_named(chain: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        verify("--against", str(tmp_path / "none"))


def test_no_checkpoint_is_made_of_a_broken_chain(chain: None, tmp_path: Path) -> None:
    row(3).delete()
    problems("--checkpoint", str(tmp_path / "checkpoints"))
    assert not (tmp_path / "checkpoints").exists()


# Keys


@pytest.fixture
def rotated(chain: None, settings: Settings, alice: User) -> None:
    """Three more records with a key of their own, and three with the one after that."""
    for keys in ([("first", "k" * 32)], [("second", "l" * 32), ("first", "k" * 32)]):
        settings.AUDIT_KEYS = keys
        append(*(new(Action.SIGNED_IN, owner=alice) for _ in range(3)))


def test_keys_are_rotated(rotated: None) -> None:
    told = verify()
    assert "Key first: from record 7 to record 9" in told
    assert "Key second: from record 10 to record 12" in told


def test_a_key_that_is_gone_is_named(rotated: None, settings: Settings) -> None:
    settings.AUDIT_KEYS = settings.AUDIT_KEYS[:1]
    assert problems() == ["Records 7 to 9 were written with the key first, which is not among the settings."]


def test_records_outlive_a_change_of_the_secret_key(chain: None, settings: Settings) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 8
    record(Action.SIGNED_IN)
    assert "7 audit records are as they were written" in verify()
    settings.SECRET_KEY_FALLBACKS = []
    assert "Records 1 to 6 were written with the key" in problems()[0]
