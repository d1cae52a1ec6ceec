"""Measures searches in the databases of tests.bench.data, and writes the table into docs/performance.md.

    python -m tests.bench.search sqlite postgresql

Each figure is the time from what a person wrote to 20 texts with their snippets, in milliseconds.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import quote

import django
from django.conf import settings

# Before Django reads its settings: nobody's own reach it.
import tests.environment  # noqa: F401
from tests.bench import data, stores

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
TABLE = re.compile(r"(?<=<!-- make bench-search -->\n).*?(?=<!-- end -->)", re.DOTALL)
# How many searches of each kind.
ROUNDS = 5
ALL = "all of these"


def kinds() -> dict[str, list[str]]:
    """Searches of each kind."""
    words = data.vocabulary()

    def some(make: Callable[[int], str]) -> list[str]:
        return [make(number) for number in range(ROUNDS)]

    return {
        "a word in half of all texts": some(lambda number: f'"{words[5 + number % 10]}"'),
        "one in a hundredth": some(lambda number: f'"{words[1000 + number]}"'),
        "one in a ten-thousandth": some(lambda number: f'"{words[50_000 + number]}"'),
        "one that no text has": some(lambda number: f"xqz{number}"),
        "two frequent words": some(lambda number: f'"{words[number]}" "{words[number + 1]}"'),
        "a frequent and a rare word": some(lambda number: f'"{words[number]}" "{words[50_000 + number]}"'),
        "four words, the last a beginning": some(lambda number: " ".join(words[number * 9 : number * 9 + 4])[:-1]),
        "a beginning of two letters": some(lambda number: data.SYLLABLES[number * 3]),
        "a beginning of four letters": some(lambda number: words[number * 100][:4]),
        "a phrase of frequent words": some(lambda number: f'"{words[number]} {words[number + 3]}"'),
        "a phrase that no text has": some(lambda number: f'"{words[number]} {words[40_000 + number]}"'),
        "without a frequent word": some(lambda number: f'"{words[200 + number]}" -{words[number]}'),
        "two ideographs": some(lambda number: data.IDEOGRAPHS[number * 7] + data.IDEOGRAPHS[number * 7 + 1]),
    }


def measure() -> dict[str, list[float]]:
    """Milliseconds of each search in the database of the settings, by kind."""
    from chat.models import Conversation, Searchable, User
    from chat.search import NotSearchable, for_staff, newest, parse, snippet
    from chat.views.search import LOOKED_THROUGH, OFFERED, RESULTS
    from tests.client import Client

    person = User.objects.get(username="heavy")
    client = Client()
    client.force_login(person)
    rows = Searchable.objects.for_user(person).select_related("conversation", "message", "queued").defer("words")

    def results(search: str) -> None:
        query = parse(search)
        for row in newest(rows, query, person.pk, RESULTS).rows:
            snippet(row.text, query)

    def offers(search: str) -> None:
        query = parse(search)
        for kind, titles in ((rows, True), (rows.texts(), False)):
            for row in newest(kind, query, person.pk, OFFERED, most=LOOKED_THROUGH, titles=titles).rows:
                snippet(row.text, query)

    def staff(search: str) -> None:
        # PostgreSQL gives up after two seconds.
        with suppress(NotSearchable):
            for_staff(Conversation.objects.all(), search)

    def page(search: str) -> None:
        assert client.get(f"/search/?q={quote(search)}").status_code == 200

    found = kinds()
    every = list(chain(*found.values()))
    for work in (results, offers, staff, page):
        work(every[0])
    return {
        **{kind: timed(results, searches) for kind, searches in found.items()},
        ALL: timed(results, every),
        "the same, as the palette offers it": timed(offers, every),
        "the same, for staff": timed(staff, every),
        "the whole page of one in five, with the sidebar": timed(page, every[::5]),
    }


def timed(work: Callable[[str], None], searches: Iterable[str]) -> list[float]:
    figures = []
    for search in searches:
        began = time.perf_counter()
        work(search)
        figures.append((time.perf_counter() - began) * 1000)
    return figures


def table(figures: dict[str, dict[str, list[float]]], messages: int) -> Iterator[str]:
    yield f"{messages:,} messages, {datetime.now(UTC):%Y-%m-%d}; median and 95th percentile in milliseconds:"
    yield ""
    yield f"| search | {' | '.join(stores.STORES[name] for name in figures)} |"
    yield f"| --- |{' --- |' * len(figures)}"
    for kind in next(iter(figures.values())):
        yield f"| {kind} | {' | '.join(spread(of[kind]) for of in figures.values())} |"


def spread(values: list[float]) -> str:
    return f"{median(values):.0f}, {quantiles(values, n=20)[-1]:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--here", action="store_true", help="measure the database of DATABASE_URL")
    parser.add_argument("stores", nargs="*")
    options = parser.parse_args()
    if options.here:
        django.setup()
        settings.ALLOWED_HOSTS = ["testserver"]
        # Without `collectstatic`.
        settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
        from chat.models import Message

        print(json.dumps({"figures": measure(), "messages": Message.objects.count()}))  # noqa: T201
        return
    results: dict[str, Any] = {}
    for name in stores.names():
        with stores.store(name) as environment:
            command = [sys.executable, "-m", "tests.bench.search", "--here"]
            results[name] = json.loads(
                subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
            )
    figures = {name: result["figures"] for name, result in results.items()}
    text = "\n".join(table(figures, max(result["messages"] for result in results.values())))
    print(text)  # noqa: T201
    if len(figures) == len(stores.STORES):
        DOCUMENT.write_text(TABLE.sub(lambda _: f"\n{text}\n\n", DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
