"""The text/event-stream format, written and read as the HTML standard defines it.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from codecs import BOM_UTF8
from dataclasses import dataclass

# Far above any event that an endpoint sends, yet a hundred hostile streams at once fit into memory.
LIMIT = 4 * 1024 * 1024


def encode(event: str, data: str, id: int | None = None) -> bytes:
    """One event. `event` is a single line; each line end in `data` reaches the reader as LF."""
    id_line = "" if id is None else f"id: {id}\n"
    return _utf8(f"{id_line}event: {event}\n{_fields('data', data)}\n")


def comment(text: str = "") -> bytes:
    """Lines that a reader ignores; they keep a quiet connection open."""
    return _utf8(f"{_fields('', text)}\n")


def retry(milliseconds: int) -> bytes:
    """How long a reader waits before it reconnects."""
    return _utf8(f"retry: {milliseconds}\n\n")


def _fields(name: str, text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"{name}: {lines.replace('\n', f'\n{name}: ')}\n"


def _utf8(text: str) -> bytes:
    # Half a surrogate pair, which a model can write, must not end the stream with an exception.
    return text.encode(errors="replace")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event as it came; `id` is the last one the stream has named, or empty."""

    event: str
    data: str
    id: str


class Decoder:
    """Turns the bytes of one stream, in chunks of any size, into its events.

    An event whose lines, comments aside, have more than `limit` bytes together is skipped whole, and counted in
    `dropped` as soon as it is known to be too large. No bytes raise, and what is kept between two calls is never more
    than one event within the limit and the last id.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.dropped = 0
        self._start: bytes | None = b""  # Fewer bytes than a byte order mark has.
        self._after_cr = False
        self._line = bytearray()
        self._size = 0
        self._skipping = False
        self._event = b""
        self._data = bytearray()
        self._id = self._last_id = b""

    @property
    def between_events(self) -> bool:
        """Whether the next byte begins an event."""
        return not (self._start is not None or self._after_cr or self._line or self._size or self._skipping)

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the stream and return the events that they complete."""
        *lines, rest = self._normalize(chunk).split(b"\n")
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        events = []
        for line in lines:
            if line:
                self._take(line)
            elif event := self._dispatch():
                events.append(event)
        if rest:
            self._hold(rest)
        return events

    def _normalize(self, chunk: bytes) -> bytes:
        """The chunk without a byte order mark and with LF as its only line end."""
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(BOM_UTF8):
                self._start = chunk
                return b""
            self._start = None
            chunk = chunk.removeprefix(BOM_UTF8)
        if self._after_cr and chunk:
            # The CR has ended its line already, so that its event did not wait for this chunk.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if self._skipping or not name:
            return
        self._size += len(line)
        if self._size > self.limit:
            self._skip()
            return
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value
            self._data += b"\n"
        elif name == b"event":
            self._event = value
        elif name == b"id" and b"\0" not in value:
            self._id = value

    def _hold(self, rest: bytes) -> None:
        """Keep the start of a line; of a comment or a skipped line, just enough to tell it from an empty one."""
        self._line += rest
        comment = self._line.startswith(b":")
        if not comment and not self._skipping and self._size + len(self._line) > self.limit:
            self._skip()
        if comment or self._skipping:
            del self._line[1:]

    def _skip(self) -> None:
        self.dropped += 1
        self._skipping = True
        self._id = self._last_id
        self._data.clear()

    def _dispatch(self) -> ServerSentEvent | None:
        event = None
        self._last_id = self._id
        if self._data:
            event = ServerSentEvent(
                event=self._event.decode(errors="replace") or "message",
                data=self._data[:-1].decode(errors="replace"),
                id=self._id.decode(errors="replace"),
            )
            self._data.clear()
        self._event = b""
        self._size = 0
        self._skipping = False
        return event
