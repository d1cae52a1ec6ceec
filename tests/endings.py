"""Replies that end without a model."""

from typing import Any

from chat.events import End, Error, Outcome, Snapshot
from chat.models import Reply


def end(reply: Reply, text: str = "", status: str = "complete", *, attempt: int | None = None, **fields: Any) -> bool:
    """Store the end of a reply as its log would; `fields` are those of its row."""
    error = Error(fields["error_code"], fields.get("error_params", {})) if "error_code" in fields else None
    stored = End(status, fields.get("finish_reason", ""), fields.get("usage"), error)
    whole = Snapshot(text, fields.get("reasoning", ""), fields.get("last_seq", 0))
    outcome = Outcome(stored, whole, fields.get("upstream_id", ""))
    return Reply.objects.finish(reply.pk, reply.attempt if attempt is None else attempt, outcome)
