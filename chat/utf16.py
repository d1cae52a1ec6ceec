"""Text as JavaScript counts it: in code units of UTF-16."""


def length(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2


def start(text: str, units: int) -> str:
    """Return at most the first `units` of `text`, without half a character at the end."""
    return text.encode("utf-16-le", "replace")[: 2 * units].decode("utf-16-le", "ignore")
