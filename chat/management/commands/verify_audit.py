"""Checks that nobody has changed, removed, inserted or reordered a record of who did what."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Max
from django.utils import timezone

from chat.audit.chain import Checkpoint, Verifier
from chat.audit.keys import keys, newest_key
from chat.models import AuditHead, AuditRecord

# Records that are in memory at the same time.
BATCH = 1000


class Command(BaseCommand):
    """Walk along the whole audit record, name each problem, and exit with 1 if there is one.

    People can work meanwhile: records that come after the start are left for the next time.
    """

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--checkpoint",
            metavar="FILE",
            nargs="?",
            const="-",
            help="if all is well, write a signed line that says where the record ends now, or add it to FILE; keep it "
            "on another machine",
        )
        parser.add_argument(
            "--against", metavar="FILE", help="also compare with the checkpoints in FILE, which reveals a cut end"
        )

    def handle(self, *args: Any, checkpoint: str | None, against: str | None, **options: Any) -> None:
        # Whoever keeps the checkpoint gets nothing else on standard output.
        told = self.stderr if checkpoint == "-" else self.stdout
        # In this order: a record that is added in between is before the end.
        newest = AuditRecord.objects.aggregate(newest=Max("number"))["newest"] or 0
        head = AuditHead.objects.first()
        verifier = Verifier(keys(), _checkpoints(against) if against else ())
        count = 0
        for problem in verifier.problems(_records(max(newest, head.number if head else 0)), head):
            count += 1
            told.write(str(problem), self.style.ERROR)
        for key, (first, last) in verifier.used.items():
            told.write(f"Key {key}: from record {first} to record {last}")
        if count:
            raise CommandError(f"{verifier.count:,} audit records have {count:,} problems.")
        told.write(f"{verifier.count:,} audit records are as they were written.")
        if checkpoint and head:
            self._save(Checkpoint.of(head, timezone.now(), newest_key()).dump(), checkpoint)

    def _save(self, line: str, place: str) -> None:
        if place == "-":
            self.stdout.write(line)
            return
        with Path(place).open("a") as file:
            file.write(f"{line}\n")


def _records(last: int) -> Iterator[AuditRecord]:
    """Those up to this number, in order."""
    number = -sys.maxsize
    while some := AuditRecord.objects.filter(number__gt=number, number__lte=last).order_by("number")[:BATCH]:
        yield from some
        number = some[len(some) - 1].number


def _checkpoints(path: str) -> list[Checkpoint]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.") from None
    try:
        return [Checkpoint.load(line, keys()) for line in lines if line.strip()]
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None
