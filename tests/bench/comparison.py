"""Measures the databases of tests.bench.data in turn, and writes a table of both into docs/performance.md."""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

# Before Django reads its settings: nobody's own reach it.
import tests.environment  # noqa: F401
from tests.bench import stores

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"


def place(name: str) -> re.Pattern[str]:
    """Where the table of `make bench-name` is in the document."""
    return re.compile(rf"(?<=<!-- make bench-{name} -->\n).*?(?=<!-- end -->)", re.DOTALL)


def main(name: str, doc: str | None, measure: Callable[[], dict[str, list[float]]]) -> None:
    """Run the module tests.bench.`name`, whose `measure` returns milliseconds of each kind of request."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--here", action="store_true", help="measure the database of DATABASE_URL")
    parser.add_argument("stores", nargs="*")
    options = parser.parse_args()
    if options.here:
        django.setup()
        settings.ALLOWED_HOSTS = ["testserver"]
        # Without `collectstatic`.
        settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
        # The database may have been made before there was an index.
        call_command("migrate", verbosity=0)
        from chat.models import Message

        print(json.dumps({"figures": measure(), "messages": Message.objects.count()}))  # noqa: T201
        return
    results: dict[str, Any] = {}
    for store in stores.names():
        with stores.store(store) as environment:
            command = [sys.executable, "-m", f"tests.bench.{name}", "--here"]
            printed = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
            results[store] = json.loads(printed)
    figures = {store: result["figures"] for store, result in results.items()}
    text = "\n".join(table(name, figures, max(result["messages"] for result in results.values())))
    print(text)  # noqa: T201
    if len(figures) == len(stores.STORES):
        DOCUMENT.write_text(place(name).sub(lambda _: f"\n{text}\n\n", DOCUMENT.read_text()))


def table(name: str, figures: dict[str, dict[str, list[float]]], messages: int) -> Iterator[str]:
    yield f"{messages:,} messages, {datetime.now(UTC):%Y-%m-%d}; median and 95th percentile in milliseconds:"
    yield ""
    yield f"| {name} | {' | '.join(stores.STORES[store] for store in figures)} |"
    yield f"| --- |{' --- |' * len(figures)}"
    for kind in next(iter(figures.values())):
        yield f"| {kind} | {' | '.join(spread(of[kind]) for of in figures.values())} |"


def spread(values: list[float]) -> str:
    return f"{median(values):.0f}, {quantiles(values, n=20)[-1]:.0f}"
