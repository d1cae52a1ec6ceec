"""The live log of replies: where a piece is stored before anyone sees it, and where every reader follows it."""

from chat.replylog.base import NOTHING, PlaceLost, ReplyLog, Writer
from chat.replylog.commit import Fenced, NotStored
from chat.replylog.database import DatabaseLog

__all__ = ["NOTHING", "Fenced", "NotStored", "PlaceLost", "ReplyLog", "Writer", "log"]

# One a process: its writer serves all the process's replies, its readers all the process's streams.
log: ReplyLog = DatabaseLog()
