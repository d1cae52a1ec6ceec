"""What people write to search: words, "exact phrases", -what is not wanted, begin* for what begins like this.

The last word may be unfinished.
"""

import re
from dataclasses import dataclass

from chat import words

MOST_CHARS = 200
MOST_TERMS = 12
# So many texts have a word that begins with one certain letter that nobody can mean them all.
SHORTEST_PREFIX = 2

TERM = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)(?P<closed>"?)|(?P<word>[^\s"]+))')
QUOTES = str.maketrans("“”„«»＂", '""""""')


class NotSearchable(Exception):
    """There is nothing to look for, or too much; `code` is for `sentences.search`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand one after another. The last of them may go on if this is a prefix.

    `source` is what a person wrote, without a star. Whatever belongs to one of the `owners` matches too.
    """

    words: tuple[str, ...]
    is_prefix: bool
    source: str
    owners: tuple[int, ...] = ()

    @property
    def is_phrase(self) -> bool:
        return len(self.words) > 1


@dataclass(frozen=True, slots=True)
class Query:
    """A text is found if it has all wanted terms, at least one, and no unwanted one."""

    wanted: tuple[Term, ...]
    unwanted: tuple[Term, ...]


# What only titles are, in the language of both databases.
IS_TITLE = "message_id IS NULL AND queued_id IS NULL AND note_id IS NULL"


@dataclass(frozen=True, slots=True)
class Span:
    """Where to look: texts of one owner, or of all, with keys from `since` and below `before`; or titles alone."""

    owner: int | None
    before: int
    since: int
    titles: bool


def parse(text: str) -> Query:
    """Raises NotSearchable."""
    if len(text) > MOST_CHARS:
        raise NotSearchable("too_long")
    wanted: list[Term] = []
    unwanted: list[Term] = []
    matches = [match for match in TERM.finditer(text.translate(QUOTES)) if _source(match)]
    for match in matches:
        is_open = match is matches[-1] and not match["closed"] and not match["minus"]
        if term := _term(_source(match), is_open):
            (unwanted if match["minus"] else wanted).append(term)
    if not wanted:
        raise NotSearchable("only_unwanted" if unwanted else "no_words")
    if len(wanted) + len(unwanted) > MOST_TERMS:
        raise NotSearchable("too_many_words")
    return Query(tuple(wanted), tuple(unwanted))


def _source(match: re.Match[str]) -> str:
    return match["phrase"] or match["word"] or ""


def _term(source: str, is_open: bool) -> Term | None:
    """`is_open` says that the last word may be incomplete."""
    found = words.wanted(source)
    if not found:
        return None
    last = found[-1]
    # Each beginning takes a database the time of a frequent word, so MOST_TERMS is limit enough.
    may_go_on = is_open or source.endswith("*")
    goes_on = may_go_on and len(last) >= SHORTEST_PREFIX and not words.is_paired(last)
    return Term(found, goes_on or words.is_character(last), source.rstrip("*"))
