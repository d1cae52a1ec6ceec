"""Search over conversations: one function, whatever finds them."""

import re

from django.db.models import Exists, OuterRef, Q, QuerySet

from chat.models import Conversation, Message

# Every word reads every text that is left, so there cannot be any number of them.
SEARCHED_CHARS = 200


def search(conversations: QuerySet[Conversation], words: str) -> QuerySet[Conversation]:
    """Those of the conversations in which every word stands somewhere: in the title, the owner's name or address, or
    the text of a message.

    Parts of words count, and upper and lower case are the same. A reply is found once it has ended.
    """
    for word in words[:SEARCHED_CHARS].split():
        conversations = conversations.filter(
            _contains("title", word)
            | _contains("owner__username", word)
            | _contains("owner__email", word)
            | Exists(Message.objects.filter(_contains("text", word), conversation=OuterRef("pk")))
        )
    return conversations


def _contains(field: str, word: str) -> Q:
    if word.isascii():
        return Q((f"{field}__icontains", word))
    # SQLite's LIKE knows upper and lower case of ASCII letters only.
    return Q((f"{field}__iregex", re.escape(word)))
