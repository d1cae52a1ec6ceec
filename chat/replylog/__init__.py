"""The live log of replies: where a piece is stored before anyone sees it, and where every reader follows it."""

from django.conf import settings

from chat.replylog.base import NOTHING, PlaceLost, ReplyLog, Unreachable, Writer
from chat.replylog.commit import Fenced, NotStored

__all__ = ["NOTHING", "Fenced", "NotStored", "PlaceLost", "ReplyLog", "Unreachable", "Writer", "log"]


def _choose() -> ReplyLog:
    # Imported only where it is used: what one log needs may be missing where the other one serves.
    if settings.REDIS_URL:
        from chat.replylog.redis import RedisLog

        return RedisLog(settings.REDIS_URL)
    from chat.replylog.database import DatabaseLog

    return DatabaseLog()


# One a process: its writer serves all the process's replies, its readers all the process's streams.
log = _choose()
