"""Search in conversations: one function, which an index can replace later."""

import re

from django.db.models import Exists, OuterRef, Q, QuerySet

from chat.models import Conversation, Message, QueuedQuestion

# Each word scans all remaining texts, so their number needs a limit.
SEARCHED_CHARS = 200


def search(conversations: QuerySet[Conversation], words: str) -> QuerySet[Conversation]:
    """The conversations that contain every word: in the title, the owner's name or address, or a message.

    Queued questions are searched too. Parts of words match, whatever their case. A reply is found once it has ended.
    """
    for word in words[:SEARCHED_CHARS].split():
        queued = QueuedQuestion.objects.filter(_contains("text", word))
        conversations = conversations.filter(
            _contains("title", word)
            | _contains("owner__username", word)
            | _contains("owner__email", word)
            | Exists(Message.objects.filter(_contains("text", word), conversation=OuterRef("pk")))
            | Q(pk__in=queued.values("after__conversation"))
        )
    return conversations


def _contains(field: str, word: str) -> Q:
    if word.isascii():
        return Q((f"{field}__icontains", word))
    # SQLite's LIKE knows upper and lower case of ASCII letters only.
    return Q((f"{field}__iregex", re.escape(word)))
