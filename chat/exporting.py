"""Makes files of conversations in the background: part by part, each of which is stored when it is made."""

import logging
from collections.abc import Callable
from contextlib import suppress
from itertools import batched
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models.functions import Now

from chat import exports
from chat.database import in_thread
from chat.exports import FORMATS, admit, pieces, read_messages
from chat.models import Conversation, Export, Message
from chat.models.exports import Superseded

logger = logging.getLogger(__name__)

# Bytes after which a part ends with its conversation, and after which it ends in the middle of one.
PART_BYTES = 1_000_000
MOST_BYTES = 4 * PART_BYTES


async def make(subject: str) -> Callable[[], None]:
    """Make what there is not yet of an export; returns what stores the last part of it."""
    export = await in_thread(_begin)(UUID(subject))
    if export is None:
        return _nothing
    making = _Making(export)
    try:
        await making.run()
    except Superseded:
        return _nothing
    except PermissionDenied:
        logger.warning("The %s ends, as its person may no longer read conversations", export)
        return _nothing
    return making.finish


def _nothing() -> None:
    pass


def _begin(pk: UUID) -> Export | None:
    export = Export(pk=pk)
    return export if export.begin() else None


class _Making:
    """One run of an export, with the part that is not stored yet."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._number = export.parts
        self._part = bytearray()
        self._size = export.size
        self._done = export.done
        if not export.parts:
            self._write(FORMATS[export.suffix].header)

    async def run(self) -> None:
        export, position = self._export, self._export.whole
        for ids in batched(export.ids(position), exports.CONVERSATIONS):
            admitted = await in_thread(admit)(export, list(ids))
            rows = {conversation.pk: conversation for conversation in admitted}
            for pk in ids:
                position += 1
                if pk in rows:
                    await self._add(rows.pop(pk), position)

    async def _add(self, conversation: Conversation, position: int) -> None:
        async for text, messages in pieces(self._export.suffix, conversation, _read):
            self._write(text)
            self._done += messages
            if len(self._part) >= MOST_BYTES:
                await self._store()
        if len(self._part) >= PART_BYTES or self._number > self._export.parts:
            await self._store(**self._whole(position))

    def _write(self, text: str) -> None:
        content = text.encode()
        self._part += content
        self._size += len(content)

    async def _store(self, **fields: object) -> None:
        await in_thread(self._put)(**fields)

    def _put(self, **fields: object) -> None:
        self._export.store(self._number, bytes(self._part), **fields)
        self._number += 1
        self._part.clear()
        if "parts" in fields:
            self._export.parts = self._number

    def _whole(self, position: int) -> dict[str, int]:
        """What is stored of the file with a part that ends with a conversation."""
        return {"parts": self._number + 1, "whole": position, "done": self._done, "size": self._size}

    def finish(self) -> None:
        """Store the last part. It may be called again, as only the answer of the database may have got lost."""
        fields = {"finished": Now(), **self._whole(self._export.count)}
        with suppress(Superseded):
            self._export.store(self._number, bytes(self._part), **fields)


async def _read(conversation: Conversation, after: Message | None) -> list[Message]:
    return await in_thread(read_messages)(conversation, after)
