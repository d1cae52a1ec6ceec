"""Where the hits of a search are in a text, found in Python: the same for both databases."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

from chat import words
from chat.search.query import Query, Term

# A snippet has about this many characters, of which up to so many come before the first hit.
SNIPPET_CHARS = 220
BEFORE_CHARS = 60
# What comes after so many words is not looked at. Then a snippet shows the beginning.
LOOKED_AT = 20_000

SPACE = re.compile(r"\s+")
# The signs of Markdown, which a page does not show either. What is in code stays as it is.
SIGNS = re.compile(
    r"""
    ^[ \t]*+(?P<fence>`{3,}+|~{3,}+)(?P<block>.*?)(?:^[ \t]*+(?P=fence)|\Z)
    | (?<!`)(?P<ticks>`++)(?P<code>[^\n]{1,200}?)(?<!`)(?P=ticks)(?!`)
    | (?<=\S)\*{2,3} | \*{2,3}(?=\S)
    | (?<![\w*])\*(?=[^\s*])(?P<slanted>[^*\n]{1,200})(?<!\s)\*(?![\w*])
    | (?<=\S)~~ | ~~(?=\S)
    | \[(?=[^][\n]{1,200}\]\([^()\s]{1,500}\)) | (?P<link>\]\()(?=[^()\s]{1,500}\))
    | ^[ \t]*+\#{1,6}[ \t]
    | ^(?:[ \t]*+>)+
    | ^[ \t]*+\|[-|: \t]{2,500}$
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
# Signs that only begin in a snippet are known by what follows in so many characters.
AFTER_CHARS = 500
# Takes the place of a sign, so that what follows stays where it is. No text has it.
NOTHING = "\0"

type Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text, which is a hit or not."""

    text: str
    is_hit: bool = False


def snippet(text: str, query: Query) -> list[Piece]:
    """The text around the first hit, on one line, without the signs of Markdown, and with the hits in it."""
    hits = places(text, query)
    first = next(hits, (0, 0))
    start, end = _around(text, *first)
    inside = [first, *takewhile(lambda hit: hit[1] <= end, hits)]
    before = [Piece("…")] if start else []
    after = [Piece("…")] if end < len(text) else []
    return [*before, *_pieces(SIGNS.sub(_without_signs, text[: end + AFTER_CHARS]), inside, start, end), *after]


def places(text: str, query: Query) -> Iterator[Place]:
    """The start and the end of each hit, by their ends; they may overlap."""
    recent: deque[words.Word] = deque(maxlen=max(len(term.words) for term in query.wanted))
    for word in islice(words.split(text), LOOKED_AT):
        recent.append(word)
        for term in query.wanted:
            if _ends(term, word.word) and (place := _place(term, list(recent)[-len(term.words) :])):
                yield place


def _ends(term: Term, word: str) -> bool:
    return word.startswith(term.words[-1]) if term.is_prefix else word == term.words[-1]


def _place(term: Term, run: list[words.Word]) -> Place | None:
    """Where the term is, if these words are its words; the last one is."""
    if tuple(word.word for word in run[:-1]) != term.words[:-1]:
        return None
    last = run[-1]
    # A pair that a single character has found.
    end = last.start + 1 if words.is_character(term.words[-1]) else last.end
    return run[0].start, end


def _around(text: str, start: int, end: int) -> Place:
    """The part of the text to show, from one space to another."""
    begin = max(start - BEFORE_CHARS, 0)
    if begin and (space := text.find(" ", begin, start)) >= 0:
        begin = space + 1
    stop = max(begin + SNIPPET_CHARS, end)
    if stop < len(text) and (space := text.rfind(" ", end, stop)) >= 0:
        stop = space
    return begin, min(stop, len(text))


def _without_signs(match: re.Match[str]) -> str:
    """The same number of characters, with what is between the signs."""
    if match["link"]:
        return " ("
    kept = next((name for name in ("block", "code", "slanted") if match[name]), None)
    start, end = match.span(kept) if kept else (match.end(), match.end())
    return NOTHING * (start - match.start()) + match.string[start:end] + NOTHING * (match.end() - end)


def _pieces(text: str, hits: Iterable[Place], start: int, end: int) -> Iterator[Piece]:
    for hit_start, hit_end in hits:
        # Of two that overlap, the second begins where the first ends.
        if max(hit_start, start) < hit_end:
            yield Piece(_on_one_line(text[start : max(hit_start, start)]))
            yield Piece(_on_one_line(text[max(hit_start, start) : hit_end]), is_hit=True)
            start = hit_end
    yield Piece(_on_one_line(text[start:end]))


def _on_one_line(text: str) -> str:
    return SPACE.sub(" ", text.replace(NOTHING, ""))
