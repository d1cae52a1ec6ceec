"""Rows of CSV for spreadsheets, in which nothing that people wrote becomes a formula."""

import csv
import re
from collections.abc import Iterable
from io import StringIO

# How a cell begins that a spreadsheet could take for a formula. Some skip control characters and know wide signs.
FORMULA = re.compile(r"[=+\-@\x00-\x1f\x7f-\x9f＝＋－＠]")


def row(values: Iterable[object]) -> str:
    """A line of a file; an apostrophe before what could be a formula makes it a text."""
    out = StringIO()
    csv.writer(out).writerow(f"'{value}" if FORMULA.match(str(value)) else value for value in values)
    return out.getvalue()
