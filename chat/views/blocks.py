"""The events of a reply as blocks of an event stream."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from itertools import groupby
from typing import Any
from uuid import UUID

from chat import sentences, sse
from chat.database import AWAY, in_thread, retry_while_away
from chat.events import Delta, Entry, Reasoning, Snapshot
from chat.live import current_state
from chat.models import Reply
from chat.process import Process
from chat.replylog import CursorLost, LogUnreachable

# Seconds between two checks of a queued reply.
QUEUE_LOOK = 2.0


class ReplyBlocks:
    """The events of one reply, encoded; `extra` is added to the data of each."""

    def __init__(self, process: Process, reply: Reply, extra: Mapping[str, str] | None = None) -> None:
        self._process = process
        self._reply = reply
        self._extra = extra or {}

    async def after(self, seq: int) -> AsyncGenerator[bytes]:
        """Those after a seq, up to and including the End."""
        if self._reply.status == Reply.Status.QUEUED:
            async for block in self._queue():
                yield block
        async for block in self._events(seq):
            yield block

    async def _queue(self) -> AsyncIterator[bytes]:
        """Say that the reply is queued until it is claimed; nothing if that happens at once."""
        told = False
        reply, process = self._reply, self._process
        while not await process.claims(reply.pk, QUEUE_LOOK if told or not reply.is_shown_as_queued else 0):
            # Another process may have claimed it, which only the row tells.
            if not process.has(reply.pk) and await self._status() != Reply.Status.QUEUED:
                break
            yield self._encode("status", {"status": "queued"})
            told = True
        if told:
            yield self._encode("status", {"status": "streaming"})

    async def _events(self, after: int) -> AsyncIterator[bytes]:
        log, reply_id = self._process.log, self._reply.pk
        while True:
            try:
                async with aclosing(log.follow(reply_id, after)) as news:
                    async for entries in news:
                        if entries:
                            after = entries[-1][0]
                            yield self._encode_all(entries)
                        elif await self._status() in Reply.RUNNING or await log.read(reply_id, after):
                            # It still runs, or its End has come since.
                            yield sse.comment()
                        else:
                            # The reply ended, but its log was lost before the End was written.
                            raise CursorLost
                return
            except (CursorLost, LogUnreachable):
                snapshot, end = await retry_while_away(current_state)(log, reply_id)
            if snapshot:
                after = snapshot.seq
                yield self._encode_one(after, snapshot)
            if end:
                yield self._encode_one(after, end)
                return

    async def _status(self) -> str | None:
        """The reply's status, None if it is deleted. While the database is away, it is what it was."""
        try:
            return await _stored_status(self._reply.pk)
        except AWAY:
            return self._reply.status

    def _encode_all(self, entries: Iterable[Entry]) -> bytes:
        """Encode entries; neighbouring deltas, and neighbouring reasoning, become one under the last seq."""
        blocks: list[bytes] = []
        for kind, group in groupby(entries, key=lambda entry: type(entry[1])):
            run = list(group)
            if kind in (Delta, Reasoning):
                text = "".join(event.text for _, event in run if isinstance(event, Delta | Reasoning))
                blocks.append(self._encode("delta" if kind is Delta else "reasoning", {"text": text}, run[-1][0]))
            else:
                blocks += [self._encode_one(seq, event) for seq, event in run]
        return b"".join(blocks)

    def _encode_one(self, seq: int, event: Any) -> bytes:
        if isinstance(event, Snapshot):
            return self._encode("snapshot", asdict(event))
        error = {"code": event.error.code, "message": sentences.of(event.error)} if event.error else None
        return self._encode("end", {**asdict(event), "error": error}, seq)

    def _encode(self, name: str, data: Mapping[str, Any], seq: int | None = None) -> bytes:
        return encode_event(name, {**data, **self._extra}, seq)


def encode_event(name: str, data: Mapping[str, Any], seq: int | None = None) -> bytes:
    """One event, with its data as JSON."""
    return sse.encode(name, _json(data), seq)


# `json.dumps` would make an encoder for each event.
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@in_thread
def _stored_status(reply_id: UUID) -> str | None:
    return Reply.objects.status_of(reply_id)
