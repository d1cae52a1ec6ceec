"""Links in Markdown: bare addresses, and where a link leads. `static/js/links.js` has the same rules.

A bare address starts with http:// or https:// and has letters of Western scripts only, because others often follow it
without a space. It ends before what closes the sentence or the bracket around it.
"""

import re

from markdown_it.rules_inline import StateInline

SCHEME = re.compile(r"(?<![0-9A-Za-z])https?\Z", re.IGNORECASE | re.ASCII)
REST = re.compile(r"[^\x00- \"<>\[\\\]^`{|}\x7f-\xbf\u0530-\U0010ffff]+")
AFTER_IT = {*"?!.,:;*_~'"}
START = re.compile(r"(?:https?://|mailto:)([^/?#]*)", re.IGNORECASE | re.ASCII)


def bare(state: StateInline, silent: bool) -> bool:
    """Make a link of an address, from its colon on. One that no browser opens stays as it was typed."""
    if state.linkLevel or not state.src.startswith("://", state.pos):
        return False
    scheme = SCHEME.search(state.src[max(0, state.pos - 6) : state.pos])
    if not scheme:
        # First, so that no text is scanned again and again.
        return False
    rest = REST.match(state.src, state.pos + 3, state.posMax)
    text = _without_end(rest[0]) if rest else ""
    if not text:
        return False
    typed = f"{scheme[0]}://{text}"
    href = state.md.normalizeLink(typed)
    if not silent:
        if state.md.validateLink(href):
            state.pending = state.pending[: -len(scheme[0])]
            state.push("link_open", "a", 1).attrs = {"href": href}
            state.push("text", "", 0).content = typed
            state.push("link_close", "a", -1)
        else:
            state.pending += f"://{text}"
    state.pos += 3 + len(text)
    return True


def _without_end(text: str) -> str:
    open_brackets = text.count(")") - text.count("(")
    end = len(text)
    while end and (text[end - 1] in AFTER_IT or (text[end - 1] == ")" and open_brackets > 0)):
        open_brackets -= text[end - 1] == ")"
        end -= 1
    return text[:end]


def other_place(href: str, text: str) -> str:
    """Return the host or the mailbox that `href` leads to, unless `text` starts with it."""
    place = START.match(href)
    if not place:
        return ""
    trimmed = text.strip(" \n")
    shown = START.match(trimmed) or START.match(f"https://{trimmed}")
    return "" if shown and shown[1].lower() == place[1].lower() else place[1]
