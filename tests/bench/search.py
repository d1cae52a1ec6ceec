"""Measures searches in the databases of tests.bench.data, and writes the table into docs/performance.md.

    python -m tests.bench.search sqlite postgresql

Each figure is the time from what a person wrote to 20 texts with their snippets, in milliseconds.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from urllib.parse import quote

from tests.bench import comparison, data

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
        "three beginnings of four letters": some(
            lambda number: " ".join(f"{word[:4]}*" for word in words[number * 100 : number * 100 + 3])
        ),
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


if __name__ == "__main__":
    comparison.main("search", __doc__, measure)
