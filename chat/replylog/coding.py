"""How an event is stored, whatever the store is: as its kind and its data, two texts."""

import json
from dataclasses import asdict

from chat.events import Delta, End, Entry, Error, Reasoning

_PIECES: dict[str, type[Delta] | type[Reasoning]] = {"delta": Delta, "reasoning": Reasoning}
_KINDS: dict[type, str] = {Delta: "delta", Reasoning: "reasoning"}


def encode(event: Delta | Reasoning | End) -> tuple[str, str]:
    """The kind and the data of an event: the text of a piece, the JSON of an end."""
    if isinstance(event, End):
        return "end", json.dumps(asdict(event))
    return _KINDS[type(event)], event.text


def decode(seq: int, kind: str, data: str) -> Entry:
    if kind == "end":
        fields = json.loads(data)
        error = Error(**fields.pop("error")) if fields["error"] else fields.pop("error")
        return seq, End(**fields, error=error)
    return seq, _PIECES[kind](data)
