"""What people write, as safe HTML: as it was typed, but for code and addresses. A long question is folded."""

from django.utils.html import format_html
from django.utils.safestring import SafeString
from markdown_it.rules_block import StateBlock, fence

from chat import utf16
from chat.markdown import parser, render

# A question of more lines is folded to twelve; that hides enough to be worth a press. A line holds some characters.
FOLDED_LINES = 16
LINE_CHARS = 80


def render_question(text: str) -> SafeString:
    html = render(text, QUESTION)
    if _lines(text) <= FOLDED_LINES:
        return html
    return format_html(
        '<div class="folded">{}</div>'
        '<details class="fold"><summary><span>Show all</span><span>Show less</span></summary></details>',
        html,
    )


def _lines(text: str) -> int:
    """About how many lines it takes on screen."""
    return sum(1 + utf16.length(line) // LINE_CHARS for line in text.splitlines())


def _fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    # The library takes any indent where there is no indented code.
    return state.sCount[start] < 4 and fence(state, start, end, silent)


def _typed(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Make a paragraph of all lines up to the next fence, empty ones too."""
    line = start + 1
    while line < end and not _fence(state, line, end, True):
        line += 1
    state.push("paragraph_open", "p", 1).map = [start, line]
    inline = state.push("inline", "", 0)
    inline.content = state.getLines(start, line, 0, False).strip("\n")
    inline.map = [start, line]
    inline.children = []
    state.push("paragraph_close", "p", -1)
    state.line = line
    return True


QUESTION = parser("zero")
QUESTION.enable(["fence", "backticks"])
QUESTION.block.ruler.at("fence", _fence)
QUESTION.block.ruler.at("paragraph", _typed)
