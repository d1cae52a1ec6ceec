"""Brings the search index up to date."""

import time
from typing import Any

from django.core.management.base import BaseCommand

from chat.search.filling import reindex

# Seconds between two lines about the progress.
PAUSE = 2.0


class Command(BaseCommand):
    """Make or renew the search index for all texts. People can work meanwhile, and it can be stopped and run again."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        told = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= PAUSE:
                told = time.monotonic()
                self.stdout.write(f"{done:,} of {total:,} texts")
                self.stdout.flush()

        written = reindex(tell)
        self.stdout.write(f"All texts can be found. {written:,} were new or had changed.")
