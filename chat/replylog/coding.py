"""How every store keeps an event: as two texts, its kind and its data."""

import json
from dataclasses import asdict

from chat.events import Delta, End, Entry, Error, Reasoning, Snapshot

_DELTAS: dict[str, type[Delta] | type[Reasoning]] = {"delta": Delta, "reasoning": Reasoning}
_KINDS: dict[type, str] = {Delta: "delta", Reasoning: "reasoning"}


def encode(event: Delta | Reasoning | Snapshot | End) -> tuple[str, str]:
    """The kind and the data of an event: text for a delta or reasoning, JSON for a snapshot or an end."""
    if isinstance(event, End):
        return "end", json.dumps(asdict(event))
    if isinstance(event, Snapshot):
        return "snapshot", json.dumps(asdict(event))
    return _KINDS[type(event)], event.text


def decode(seq: int, kind: str, data: str) -> Entry:
    if kind == "end":
        fields = json.loads(data)
        error = fields.pop("error")
        return seq, End(**fields, error=Error(error["code"], error.get("params", {})) if error else None)
    if kind == "snapshot":
        return seq, Snapshot(**json.loads(data))
    return seq, _DELTAS[kind](data)
