"""Brings the search index up to date, and makes it again if it is lost or damaged."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from chat.search.filling import is_whole, rebuild, reindex

# Seconds between two lines about the progress.
PAUSE = 2.0


class Command(BaseCommand):
    """Make or renew the search index for all texts. People can work meanwhile, and it can be stopped and run again."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--rebuild",
            action="store_true",
            help="make the index of words again first, even if nothing seems to be wrong with it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rebuild"] or not is_whole():
            meanwhile = " Nobody can write meanwhile." if connection.vendor == "sqlite" else ""
            self.stdout.write(f"The index of words is made again.{meanwhile}")
            self.stdout.flush()
            rebuild()
        told = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= PAUSE:
                told = time.monotonic()
                self.stdout.write(f"{done:,} of {total:,} texts")
                self.stdout.flush()

        written = reindex(tell)
        self.stdout.write(f"All texts can be found. {written:,} were new or had changed.")
