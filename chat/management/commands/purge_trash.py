"""Empties the trash of what has been in it for longer than CHAT_TRASH_DAYS; processes do the same by themselves."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from chat import trash


class Command(BaseCommand):
    """Delete for good the conversations that have been in the trash for longer than CHAT_TRASH_DAYS."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, *args: Any, dry_run: bool, verbosity: int, **options: Any) -> None:
        expired = trash.expired()
        total, erased = expired.count(), 0
        if dry_run:
            self.stdout.write(f"{total} conversations would be deleted for good.")
            return
        while some := trash.erase_some(expired):
            erased += some
            if verbosity > 1:
                self.stdout.write(f"{erased} of {total} conversations")
                self.stdout.flush()
        self.stdout.write(f"{erased} conversations are deleted for good.")
