"""The record of who read, deleted and changed what: append-only, and chained so that tampering shows."""

from chat.audit.recording import append, new, record

__all__ = ["append", "new", "record"]
