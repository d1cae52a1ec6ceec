"""Rows, who may see them (`for_user`), and how they change."""

from chat.models.conversations import (
    LEASE,
    Conversation,
    Message,
    OverLimit,
    Reply,
    ReplyEvent,
    ReplyQuerySet,
    ReplyRunning,
    Siblings,
    title_of,
)
from chat.models.users import User

__all__ = [
    "LEASE",
    "Conversation",
    "Message",
    "OverLimit",
    "Reply",
    "ReplyEvent",
    "ReplyQuerySet",
    "ReplyRunning",
    "Siblings",
    "User",
    "title_of",
]
