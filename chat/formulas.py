r"""Formulas in Markdown: TeX in \( \), \[ \], $$ $$ or, within a line, $ $. `static/js/formulas.js` has the same rules.

A formula ends at the first mark that fits. With its marks, which it keeps, it has at most five thousand characters.

`$5 and $10` are prices. So a single dollar opens a formula only before a character that is no space, and not after a
letter or a digit; it closes one only after a character that is no space, and not before a digit.

A formula on lines of its own may hold what would otherwise start a block, but no empty line. Until it is closed, it is
a paragraph of plain text, if it reaches to the end of the whole text.
"""

import re

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from chat import utf16

FORMULA_CHARS = 5_000

CLOSING = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}
INLINE_OPENING = re.compile(r"\\[(\[]|(?<!\$)\$\$(?!\$)|(?<![$0-9A-Za-z])\$(?![$ \t\n])")
BLOCK_OPENING = re.compile(r"\\\[|\$\$(?!\$)")
DOLLAR = re.compile(r"(?<!\\)\$")
NOT_AFTER_DOLLAR = {*"0123456789$"}
# In quotes, empty lines have marks.
EMPTY_LINE = re.compile(r"\n[ \t>]*\n")


def inline(state: StateInline, silent: bool) -> bool:
    opening = INLINE_OPENING.match(state.src, state.pos)
    if not opening:
        return False
    closing = CLOSING[opening[0]]
    find = _dollar if closing == "$" else str.find
    at = find(state.src, closing, opening.end(), min(state.posMax, state.pos + FORMULA_CHARS))
    source = state.src[state.pos : at + len(closing)]
    if at < 0 or not _is_formula(source, closing):
        return False
    if not silent:
        state.push("formula_inline", "span", 0).content = source
    state.pos += len(source)
    return True


def _dollar(text: str, _mark: str, start: int, end: int) -> int:
    """Where a single dollar closes the formula, or -1."""
    found = DOLLAR.search(text, start, end)
    if not found:
        return -1
    at = found.start()
    inside = text[start:at]
    if inside.endswith((" ", "\t")) or "\n" in inside or text[at + 1 : at + 2] in NOT_AFTER_DOLLAR:
        return -1
    return at


def _is_formula(source: str, closing: str) -> bool:
    tex = source[len(closing) : -len(closing)]
    return bool(tex.strip(" \t\n")) and utf16.length(source) <= FORMULA_CHARS


def block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    at = state.bMarks[start] + state.tShift[start]
    opening = BLOCK_OPENING.match(state.src, at)
    if not opening or state.sCount[start] - state.blkIndent >= 4:
        return False
    closing = CLOSING[opening[0]]
    closed = state.src.find(closing, opening.end(), at + FORMULA_CHARS)
    if closed < 0:
        return _open(state, start, end, silent)
    last = start + state.src.count("\n", at, closed)
    if last >= end or state.src[closed + len(closing) : state.eMarks[last]].strip(" \t"):
        return False
    source = _source(state, start, last, closed)
    if not _is_formula(source, closing):
        return False
    if not silent:
        _push(state, "formula_block", "div", source, [start, last + 1])
    return True


def _open(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    at, last = state.bMarks[start] + state.tShift[start], end - 1
    is_long = utf16.length(state.src[at : at + FORMULA_CHARS + 1]) > FORMULA_CHARS
    # A line end may follow the last line.
    if is_long or len(state.src) - state.eMarks[last] > 1:
        return False
    source = _source(state, start, last, len(state.src))
    if not source:
        return False
    if not silent:
        _push(state, "formula_open", "p", source, [start, end])
    return True


def _source(state: StateBlock, start: int, last: int, end: int) -> str:
    """Return the text of these lines, or nothing if one leaves the container or is empty before `end`."""
    is_whole = min(state.sCount[start : last + 1]) >= state.blkIndent
    is_dense = not EMPTY_LINE.search(state.src, state.bMarks[start], end)
    return state.getLines(start, last + 1, state.blkIndent, False).strip(" \t\n") if is_whole and is_dense else ""


def _push(state: StateBlock, kind: str, tag: str, source: str, lines: list[int]) -> None:
    token = state.push(kind, tag, 0)
    token.content = source
    token.map = lines
    state.line = lines[1]
