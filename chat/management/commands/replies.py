"""What runs where, and since when, for operators; without any text of replies."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from chat.models import Reply, ServerProcess

HEADINGS = ("REPLY", "STATUS", "MODEL", "PROCESS", "ATTEMPT", "ASKED", "FIRST DELTA", "LEASE LEFT", "ENDED")
# How many ended replies --all adds.
ENDED = 20


class Command(BaseCommand):
    """List the running replies: where, since when, and when the leases of their processes expire."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help=f"list the last {ENDED} that have ended, too")

    def handle(self, *args: Any, all: bool, **options: Any) -> None:
        now = timezone.now()
        running = list(Reply.objects.running().defer("reasoning").order_by("asked"))
        ended = Reply.objects.filter(ended__isnull=False).defer("reasoning").order_by("-ended")[: ENDED if all else 0]
        if not running:
            self.stdout.write("No reply is running.")
        leases = dict(ServerProcess.objects.values_list("name", "lease"))
        if replies := [*running, *ended]:
            self.stdout.write(table([HEADINGS, *(row(reply, leases, now) for reply in replies)]))


def row(reply: Reply, leases: dict[str, datetime], now: datetime) -> tuple[str, ...]:
    lease = leases.get(reply.process) if reply.is_running else None
    return (
        str(reply.pk),
        reply.status,
        reply.model,
        reply.process or "-",
        str(reply.attempt),
        ago(reply.asked, now),
        ago(reply.started, now),
        seconds(lease - now if lease else None),
        ago(reply.ended, now),
    )


def ago(moment: datetime | None, now: datetime) -> str:
    return f"{seconds(now - moment)} ago" if moment else "-"


def seconds(duration: timedelta | None) -> str:
    return "-" if duration is None else f"{duration.total_seconds():.0f} s"


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """The rows in aligned columns."""
    columns = [[*column] for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*padded, strict=True))
