"""The live log of replies: where a delta is stored before anyone sees it, and where every reader follows it."""

from concurrent.futures import ThreadPoolExecutor

from chat.replylog.base import EMPTY, CursorLost, LogUnreachable, ReplyLog, Writer
from chat.replylog.commit import Fenced, NotStored, StoreAway

__all__ = [
    "EMPTY",
    "CursorLost",
    "Fenced",
    "LogUnreachable",
    "NotStored",
    "ReplyLog",
    "StoreAway",
    "Writer",
    "open_log",
]


def open_log(redis_url: str, threads: ThreadPoolExecutor) -> ReplyLog:
    """The log of one process: in Redis if there is an address, otherwise in the database."""
    # Imported only where it is used: what one log needs may be missing where the other one serves.
    if redis_url:
        from chat.replylog.redis import RedisLog

        return RedisLog(redis_url, threads)
    from chat.replylog.database import DatabaseLog

    return DatabaseLog(threads)
