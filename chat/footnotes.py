"""Footnotes in Markdown: `[^1]` in the text, and `[^1]: the note` where it is. `static/js/footnotes.js` has the same
rules.

A number refers to a note even if there is none, because notes are often written last; a word only to a note that there
is.
"""

import re

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

REFERENCE = re.compile(r"\[\^(\d{1,3}|[A-Za-z][\w-]{0,29})\](?!\()", re.ASCII)
NOTE = re.compile(r"\[\^(\d{1,3}|[A-Za-z][\w-]{0,29})\]:", re.ASCII)


def reference(state: StateInline, silent: bool) -> bool:
    found = REFERENCE.match(state.src, state.pos, state.posMax)
    if not found or state.linkLevel or not (found[1].isdigit() or found[1] in state.env.get("notes", ())):
        return False
    if not silent:
        state.push("footnote_reference", "sup", 0).content = found[1]
    state.pos = found.end()
    return True


def note(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A block like an item of a list: what follows belongs to it if it is indented by four spaces."""
    at = state.bMarks[start] + state.tShift[start]
    found = NOTE.match(state.src, at, state.eMarks[start])
    if not found or state.sCount[start] - state.blkIndent >= 4:
        return False
    if silent:
        return True
    state.env.setdefault("notes", set()).add(found[1])
    opening = state.push("footnote_open", "div", 1)
    opening.content = found[1]
    before = state.bMarks[start], state.tShift[start], state.sCount[start], state.parentType
    text = state.src[found.end() : state.eMarks[start]]
    spaces = len(text) - len(text.lstrip(" \t"))
    state.bMarks[start] = found.end()
    state.tShift[start] = spaces
    state.blkIndent += 4
    state.sCount[start] = state.blkIndent
    state.parentType = "footnote"
    state.md.block.tokenize(state, start, end)
    state.blkIndent -= 4
    state.bMarks[start], state.tShift[start], state.sCount[start], state.parentType = before
    opening.map = [start, state.line]
    state.push("footnote_close", "div", -1)
    return True
