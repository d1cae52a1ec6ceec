"""What is there, at this moment, of a reply that is still being written."""

import logging
from collections.abc import Iterable

from chat.models import Message
from chat.replylog import PlaceLost, Unreachable, log

logger = logging.getLogger(__name__)


async def read_live(messages: Iterable[Message]) -> None:
    """Show in messages whose replies are still being written what is stored of them now."""
    for message in messages:
        if message.role == Message.Role.ASSISTANT and message.reply.is_running:
            await _read(message)


async def _read(message: Message) -> None:
    try:
        so_far = await log.snapshot(message.pk)
    except PlaceLost:
        # It ended, and its log is gone, since the message was read.
        await message.arefresh_from_db()
        return
    except Unreachable:
        # A page of the chat follows the reply from its beginning, as soon as the log answers again.
        logger.warning("Reply %s is shown without what is written of it: its log does not answer", message.pk)
        return
    # The log may be empty where the message is not: the reply is about to go on behind its end.
    if so_far.seq:
        message.text, message.reply.reasoning, message.reply.last_seq = so_far.text, so_far.reasoning, so_far.seq
