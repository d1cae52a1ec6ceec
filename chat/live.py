"""The state of a reply right now: from its log while it is being written, from its row afterwards."""

import logging
from collections.abc import Iterable
from uuid import UUID

from chat.events import End, Error, Snapshot
from chat.models import Message, Reply
from chat.replylog import CursorLost, LogUnreachable, ReplyLog

logger = logging.getLogger(__name__)

DELETED = End(Reply.Status.INTERRUPTED, error=Error("deleted"))


async def current_state(log: ReplyLog, reply_id: UUID) -> tuple[Snapshot | None, End | None]:
    """All of a reply so far, and its end if it has ended; no snapshot of a reply that is deleted.

    Raises LogUnreachable when the state cannot be known now.
    """
    replies = Reply.objects.select_related("message").filter(pk=reply_id)
    reply = await replies.afirst()
    if reply and reply.is_running:
        try:
            snapshot = await log.snapshot(reply_id)
        except CursorLost:
            # It ended since its row was read.
            reply = await replies.afirst()
        else:
            if reply.started and not snapshot.seq:
                # The log was lost, and the process that writes the reply is about to notice.
                raise LogUnreachable
            return snapshot, None
    if reply is None:
        return None, DELETED
    if reply.is_running:
        # It is being resumed, and its log is about to restart.
        raise LogUnreachable
    end = End(reply.status, reply.finish_reason, reply.usage, reply.error)
    return Snapshot(reply.message.text, reply.reasoning, reply.last_seq), end


async def read_live(log: ReplyLog, messages: Iterable[Message]) -> None:
    """Fill in the text so far of the messages whose replies are being written."""
    for message in messages:
        if message.role == Message.Role.ASSISTANT and message.reply.is_running:
            await _read(log, message)


async def _read(log: ReplyLog, message: Message) -> None:
    try:
        snapshot, end = await current_state(log, message.pk)
    except LogUnreachable:
        # The page follows the reply from its beginning as soon as the log answers again.
        if not message.text:  # One that is resumed has its text.
            logger.warning("Reply %s is shown without its text so far: its log does not answer", message.pk)
        return
    if end:
        # It ended since the message was read.
        await message.arefresh_from_db()
        message.reply = await Reply.objects.aget(pk=message.pk)
    elif snapshot and snapshot.seq:
        # Otherwise it is being resumed: the message has its text, and the log nothing yet.
        message.text, message.reply.reasoning, message.reply.last_seq = snapshot.text, snapshot.reasoning, snapshot.seq
