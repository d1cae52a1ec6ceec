"""Rubrics as text, marks by them, and how far reviewers agree."""

import pytest

from chat import rubric
from chat.rubric import Criterion, RubricError

RUBRIC = """
Correct: yes, partly , no
Tone: 1-5
  Comment: text
"""


def test_a_rubric_has_choices_numbers_and_texts() -> None:
    assert rubric.parse(RUBRIC) == [
        Criterion("Correct", choices=("yes", "partly", "no")),
        Criterion("Tone", least=1, most=5),
        Criterion("Comment"),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [("", 0), ("Tone", 1), ("A: x, y\nTone: 5-1", 2), (": x, y", 1), ("A: x", 1), ("A: x, y\nA: text", 0)],
)
def test_a_bad_line_is_named(text: str, line: int) -> None:
    with pytest.raises(RubricError) as refusal:
        rubric.parse(text)
    assert refusal.value.line == line


@pytest.mark.parametrize(
    ("marks", "names"),
    [
        ({"Correct": "no", "Tone": "5", "Comment": "Salt"}, []),
        ({"Correct": "no", "Tone": "1"}, []),
        ({"Correct": "No", "Tone": "6", "Comment": "x" * 2001}, ["Correct", "Tone", "Comment"]),
        ({"Correct": "", "Tone": "١"}, ["Correct", "Tone"]),
    ],
)
def test_marks_are_by_the_rubric(marks: dict[str, str], names: list[str]) -> None:
    assert rubric.wrong(rubric.parse(RUBRIC), marks) == names


def test_agreement_is_counted_by_pairs() -> None:
    found = rubric.agreement([["yes", "yes"], ["yes", "no"], ["no"]])
    assert found
    assert (found.pairs, found.share) == (2, 0.5)
    # Of four marks three are yes: chance gives 10 of 16.
    assert found.kappa == pytest.approx((0.5 - 10 / 16) / (1 - 10 / 16))


def test_fleiss_own_example() -> None:
    """Fleiss 1971, as Wikipedia has it: 14 raters, 10 subjects, 5 categories."""
    table = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    found = rubric.agreement([[str(kind) for kind, count in enumerate(row) for _ in range(count)] for row in table])
    assert found
    assert found.kappa == pytest.approx(0.210, abs=0.001)


def test_a_criterion_is_named_by_what_it_asks() -> None:
    keys = [criterion.key for criterion in rubric.parse(RUBRIC)]
    assert len(set(keys)) == 3
    assert rubric.parse("Tone: 1-5")[0].key == keys[1]
    changed = rubric.parse("Tone: 1-6\nTaste: 1-5\nCorrect: no, yes")
    assert not {criterion.key for criterion in changed} & set(keys)


def test_numbers_are_apart() -> None:
    found = rubric.distance([[1, 3, 3], [5, 5], [2], []])
    assert found
    # Of four pairs two are equal, and two are 2 apart.
    assert (found.share, found.mean) == (0.5, 1)
    assert rubric.distance([[1], []]) is None


def test_without_two_marks_there_is_no_agreement() -> None:
    assert rubric.agreement([["yes"], []]) is None
    found = rubric.agreement([["yes", "yes"]])
    assert found
    assert (found.share, found.kappa) == (1, None)
