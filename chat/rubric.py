"""What reviewers of a queue say about each conversation: a line of text for each criterion, and the marks by it.

Correct: yes, partly, no
Tone: 1-5
Comment: text
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations

# How many criteria a rubric has at most, and how many choices a criterion.
MOST_CRITERIA = 20
MOST_CHOICES = 20
TEXT_CHARS = 2000
_RANGE = re.compile(r"(-?\d{1,6})\s*(?:-|–|to)\s*(-?\d{1,6})")


@dataclass(frozen=True, slots=True)
class Criterion:
    """By its name: a choice of `choices`, a number from `least` to `most`, or without either a text."""

    name: str
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None

    @property
    def key(self) -> str:
        """Names the criterion in forms: another name or other values have another key, another place has the same."""
        return blake2b(repr(self).encode(), digest_size=8).hexdigest()

    @property
    def is_text(self) -> bool:
        return not self.choices and self.least is None

    def reads(self, value: str) -> bool:
        """Whether this is one of its marks. A text may be empty."""
        if self.choices:
            return value in self.choices
        if self.least is None or self.most is None:
            return len(value) <= TEXT_CHARS
        return bool(re.fullmatch(r"-?\d{1,6}", value, re.ASCII)) and self.least <= int(value) <= self.most


class RubricError(Exception):
    """A line is no criterion, or there are too many, or none: then `line` is 0."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def parse(text: str) -> list[Criterion]:
    """The criteria of a rubric. Raises RubricError."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    criteria = [_criterion(number, line) for number, line in lines]
    if not 0 < len({criterion.name for criterion in criteria}) == len(criteria) <= MOST_CRITERIA:
        raise RubricError(0)
    return criteria


def _criterion(number: int, line: str) -> Criterion:
    name, _, values = (part.strip() for part in line.partition(":"))
    choices = tuple(dict.fromkeys(value.strip() for value in values.split(",") if value.strip()))
    if not name or not choices or len(choices) > MOST_CHOICES:
        raise RubricError(number)
    if choices == ("text",):
        return Criterion(name)
    if numbers := _RANGE.fullmatch(values):
        least, most = int(numbers[1]), int(numbers[2])
        if least >= most:
            raise RubricError(number)
        return Criterion(name, least=least, most=most)
    if len(choices) == 1:
        raise RubricError(number)
    return Criterion(name, choices=choices)


def wrong(criteria: Iterable[Criterion], marks: Mapping[str, str]) -> list[str]:
    """The names of the criteria by which these marks are none."""
    return [criterion.name for criterion in criteria if not criterion.reads(marks.get(criterion.name, ""))]


@dataclass(frozen=True, slots=True)
class Agreement:
    """By one criterion: the share of pairs of marks of the same conversation that are equal, and Fleiss' kappa.

    Kappa is None where chance alone explains everything, as when all marks are the same.
    """

    pairs: int
    share: float
    kappa: float | None


def agreement(marked: Iterable[Sequence[str]]) -> Agreement | None:
    """Between the marks of each conversation; None if none has two."""
    counts = [Counter(marks) for marks in marked if len(marks) > 1]
    if not counts:
        return None
    equal = [_pairs(count.values()) / _pairs([count.total()]) for count in counts]
    pairs = sum(_pairs([count.total()]) for count in counts)
    share = sum(_pairs(count.values()) for count in counts) / pairs
    total = sum(counts, Counter[str]())
    by_chance = sum((number / total.total()) ** 2 for number in total.values())
    mean = sum(equal) / len(equal)
    kappa = None if by_chance == 1 else (mean - by_chance) / (1 - by_chance)
    return Agreement(pairs, share, kappa)


@dataclass(frozen=True, slots=True)
class Distance:
    """By one criterion: the share of pairs of the same conversation that are equal, and their mean distance."""

    share: float
    mean: float


def distance(marked: Iterable[Sequence[int]]) -> Distance | None:
    """Between the numbers of each conversation; None if none has two."""
    apart = [abs(one - other) for numbers in marked for one, other in combinations(numbers, 2)]
    return Distance(apart.count(0) / len(apart), sum(apart) / len(apart)) if apart else None


def _pairs(numbers: Iterable[int]) -> int:
    return sum(number * (number - 1) // 2 for number in numbers)
