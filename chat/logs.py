"""Logs for machines: one JSON object a line."""

import json
import logging
import traceback
from datetime import UTC, datetime

# What the calls of loggers may add by `extra`.
IDS = ("reply", "conversation", "worker")


class JSONFormatter(logging.Formatter):
    """Leaves out the messages of exceptions, which may hold text of people, keys and addresses."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **{name: str(getattr(record, name)) for name in IDS if hasattr(record, name)},
        }
        if record.exc_info and (error := record.exc_info[1]):
            line |= {"exception": _name(error), "stack": _stack(error)}
        return json.dumps(line, ensure_ascii=False)


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    # Its further lines show the representations of tasks, and with them the messages of exceptions.
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _stack(error: BaseException) -> str:
    """Where the exception comes from, and before it those that it was raised from."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{_stack(cause)}\n" if cause else ""
    return f"{before}{''.join(traceback.format_tb(error.__traceback__))}{_name(error)}"
