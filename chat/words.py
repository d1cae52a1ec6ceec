"""Texts as the words by which they are found: without accents and case, Chinese and Japanese as pairs of characters."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from unicodedata import category, normalize

# What is written without spaces: ideographs, kana and their marks.
PAIRED = "々-〇〡-〩〱-〵ぁ-ゖ\u3099\u309aゝ-ゟァ-ヺー-ヿㇰ-ㇿ㐀-䶿一-鿿\uf900-\ufaffｦ-ﾟ\U00020000-\U0003ffff"
# They belong to the letter before them, though Python does not count them as part of a word.
MARKS = "".join(mark for mark in map(chr, range(0x300, 0x3041)) if category(mark).startswith("M"))
RUN = re.compile(rf"(?P<paired>[{PAIRED}]+)|[^\W_{PAIRED}]+(?:[{MARKS}]+[^\W_{PAIRED}]*)*")
ACCENTS = re.compile("[\u0300-\u036f]")
ASCII = re.compile("[a-z0-9]+")

# A longer word is cut, in texts and in searches alike.
LONGEST_WORD = 64
# What follows in the words of a text is not searched. PostgreSQL takes a million bytes.
MOST_CHARS = 250_000


class Word(NamedTuple):
    """A word, and the place in the text of what it was made from."""

    word: str
    start: int
    end: int


def split(text: str) -> Iterator[Word]:
    """The words of a text in order.

    A run of Chinese or Japanese gives its overlapping pairs and its last character, so that each character begins a
    word: 東京都 is 東京, 京都 and 都.
    """
    for run in RUN.finditer(text):
        folded, (start, end) = _fold(run[0]), run.span()
        if folded.isascii():
            yield Word(folded[:LONGEST_WORD], start, end)
            continue
        # Folding can make several words of one character.
        for part in RUN.finditer(folded):
            if part["paired"] is None:
                yield Word(part[0][:LONGEST_WORD], start, end)
                continue
            for place in range(*part.span()):
                pair = folded[place : min(place + 2, part.end())]
                exact = len(folded) == end - start
                yield Word(pair, start + place, start + place + len(pair)) if exact else Word(pair, start, end)


def indexed(text: str) -> str:
    """The words of a text as they are stored, with a space between."""
    if text.isascii():
        # The same, five times as fast.
        words = " ".join([word[:LONGEST_WORD] for word in ASCII.findall(text.lower())])
    else:
        words = " ".join([word for word, _, _ in split(text)])
    return words if len(words) <= MOST_CHARS else words[:MOST_CHARS].rpartition(" ")[0]


def wanted(text: str) -> tuple[str, ...]:
    """The words that stand one after another in each text that contains this one.

    The last character of a run is none of them, unless it is alone: the run may continue there.
    """
    words = tuple(word for word, _, _ in split(text))
    if len(words) > 1 and is_character(words[-1]) and len(words[-2]) == 2 and words[-2].endswith(words[-1]):
        return words[:-1]
    return words


def is_character(word: str) -> bool:
    """Whether it is one character of a run, and therefore the beginning of a pair."""
    return len(word) == 1 and is_paired(word)


def is_paired(word: str) -> bool:
    run = RUN.match(word)
    return run is not None and run["paired"] is not None


def _fold(run: str) -> str:
    if run.isascii():
        return run.lower()
    return normalize("NFC", ACCENTS.sub("", normalize("NFKD", run)).casefold())
