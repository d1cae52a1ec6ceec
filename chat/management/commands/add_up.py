"""Puts right what lists know of the messages of conversations."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand
from django.db import transaction

from chat.models import Conversation


class Command(BaseCommand):
    """Add up the messages of all conversations again: a process of version 0.2 adds none up.

    People can work meanwhile, and it can be stopped and run again.
    """

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        total = changed = 0
        for conversation in Conversation.objects.order_by("pk").only(*Conversation.SUMMED).iterator():
            total += 1
            # Most are right, which needs no lock to see.
            changed += not _is_right(conversation) and _put_right(conversation.pk)
        self.stdout.write(f"{changed:,} of {total:,} conversations had other sums than their messages.")


def _is_right(conversation: Conversation) -> bool:
    before = _sums(conversation)
    conversation.add_up()
    return before == _sums(conversation)


@transaction.atomic
def _put_right(pk: UUID) -> bool:
    conversation = Conversation.objects.select_for_update(no_key=True).filter(pk=pk).first()
    if conversation is None or _is_right(conversation):
        return False
    Conversation.objects.filter(pk=pk).update(**_sums(conversation))
    return True


def _sums(conversation: Conversation) -> dict[str, Any]:
    return {name: getattr(conversation, name) for name in Conversation.SUMMED}
