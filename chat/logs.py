"""Two forms of log lines, for people and for machines. Neither shows the message of an exception.

Such a message may contain what people wrote, a key or an address. Its type and its stack are enough to find a fault.
"""

import json
import logging
import traceback
from datetime import UTC, datetime
from types import TracebackType

# What callers pass as `extra`.
IDS = ("reply", "conversation", "server", "user", "by", "address")


class LineFormatter(logging.Formatter):
    """For people: one line per record, then the stack of its exception, if any."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        record.message = _message(record)
        return super().formatMessage(record)

    def formatException(  # noqa: N802
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return _stack(ei[1]) if ei[1] else ""


class JSONFormatter(logging.Formatter):
    """For machines: one JSON object per record."""

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
    # asyncio's further lines show the representations of tasks, and with them the messages of exceptions.
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _stack(error: BaseException) -> str:
    """Where the exception comes from, after the stacks of those that caused it."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{_stack(cause)}\n" if cause else ""
    return f"{before}{''.join(traceback.format_tb(error.__traceback__))}{_name(error)}"
