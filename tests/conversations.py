"""Conversations, stored at once."""

import itertools

from chat.models import Conversation, Message, Reply, User, title_of


def conversation_of(person: User, texts: list[str]) -> Conversation:
    """Questions and answers in turn, each after the one before; the last one is on screen."""
    conversation = Conversation.objects.create(owner=person, title=title_of(texts[0]), model="demo")
    messages: list[Message] = []
    for text, role in zip(texts, itertools.cycle(Message.Role.values), strict=False):
        parent = messages[-1] if messages else None
        messages.append(Message(conversation=conversation, parent=parent, role=role, text=text))
    Message.objects.bulk_create(messages)
    answers = [message for message in messages if message.role == Message.Role.ASSISTANT]
    Reply.objects.bulk_create(Reply(message=answer, model="demo", status="complete") for answer in answers)
    conversation.leaf = messages[-1]
    conversation.add_up()
    conversation.save()
    return conversation
