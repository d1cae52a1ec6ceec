"""Ask a model for a reply. Each function stores all that belongs to the reply, or nothing.

Each raises OverLimit when a person asks for too much, ReplyRunning while the previous reply is being written, and
Conversation.DoesNotExist when the conversation has been deleted.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext

from chat.limits import OverLimit, check_person
from chat.models import (
    Comparison,
    Conversation,
    Draft,
    LedgerEntry,
    Message,
    QueuedQuestion,
    Reply,
    Searchable,
    User,
    title_of,
)


class ReplyRunning(Exception):
    """The previous reply is still being written."""


class AnswerNotChosen(Exception):
    """The last question has two answers, of which a person has to choose one before they can ask the next."""


class QuestionsQueued(Exception):
    """Other questions would follow one that has two answers, before a person has chosen one."""


class ConversationChanged(Exception):
    """Another message is on screen last than the one that a person has seen."""


@transaction.atomic
def begin(owner: User, text: str, model: str, *, temporary: bool = False, **sent_along: Any) -> Reply:
    """The queued reply to the first question of a new conversation; `sent_along` are fields of that."""
    check_person(owner.pk)
    User.remember_model(owner.pk, model)
    # Browsers remember titles of pages.
    title = gettext("Temporary chat") if temporary else title_of(text)
    conversation = Conversation.objects.create(owner=owner, title=title, model=model, temporary=temporary, **sent_along)
    Searchable.objects.put([Searchable.of_title(conversation)])
    if not temporary:
        Draft.objects.sent(owner.pk, None, text)
    return _ask(conversation, text, model, None)


@transaction.atomic
def ask(
    conversation: Conversation, text: str, model: str, parent: UUID | None = None, seen: UUID | None = None
) -> Reply:
    """The queued reply to a question after the answer `parent`, by default the leaf.

    Raises Message.DoesNotExist for a parent that is no answer of this conversation, and ConversationChanged if a person
    has `seen` another leaf.
    """
    reply = follow_up(conversation, text, model, parent, seen)
    Draft.objects.sent(conversation.owner_id, conversation.pk, text)
    User.remember_model(conversation.owner_id, model)
    return reply


def follow_up(
    conversation: Conversation, text: str, model: str, parent: UUID | None = None, seen: UUID | None = None
) -> Reply:
    """Like `ask`, of a question for which a person has chosen the model earlier; in a transaction."""
    check_person(conversation.owner_id)
    # With the lock, the later of two questions asked at the same moment sees the earlier one.
    leaf = Conversation.objects.kept().select_for_update().values_list("leaf", flat=True).get(pk=conversation.pk)
    if seen and seen != leaf:
        raise ConversationChanged
    if parent:
        answer = conversation.messages.get(pk=parent, role=Message.Role.ASSISTANT)
        Comparison.objects.of(answer).delete()
        leaf = answer.pk
    check_chosen(conversation, leaf)
    if Reply.objects.running().filter(pk=leaf).exists():
        raise ReplyRunning
    reply = _ask(conversation, text, model, leaf)
    QueuedQuestion.objects.move(leaf, reply.message)
    return reply


def check_chosen(conversation: Conversation, leaf: UUID) -> None:
    """Raise AnswerNotChosen when the leaf is a question, whose two answers a person has still to choose from."""
    if conversation.messages.filter(pk=leaf, role=Message.Role.USER).exists():
        raise AnswerNotChosen


@transaction.atomic
def compare(ask: Callable[[], Reply], model: str) -> list[Reply]:
    """The queued reply that `ask` stores, and another one to the same question, by `model`.

    The question is the leaf until a person chooses one of the answers, by showing its branch. Raises QuestionsQueued
    where questions are queued, as none of the answers is yet the one that they follow.
    """
    first = ask()
    if first.message.queued.exists():
        raise QuestionsQueued
    conversation = first.message.conversation
    try:
        check_person(conversation.owner_id)
    except OverLimit as limit:
        # The first reply, which counts here, will not be written either.
        raise OverLimit("no_room_to_compare", limit.retry_after, most=2) from None
    question = conversation.messages.get(children=first.message)
    second = _queue(question, model)
    Comparison.objects.create(question=question, first=first.message, second=second.message)
    conversation.leaf, conversation.model = question, first.model
    conversation.change("leaf", "model")
    return [first, second]


@transaction.atomic
def edit(question: Message, text: str, model: str) -> Reply:
    """The queued reply to another wording of a question, next to the first.

    Its branch is on screen from now on, and so is what was queued at the end of the one before, however far below.
    """
    conversation = question.conversation
    check_person(conversation.owner_id)
    leaf = Conversation.objects.kept().select_for_update().get(pk=conversation.pk).leaf_id
    User.remember_model(conversation.owner_id, model)
    reply = _ask(conversation, text, model, question.parent_id)
    QueuedQuestion.objects.move(leaf, reply.message)
    return reply


@transaction.atomic
def retry(reply: Reply, model: str) -> Reply:
    """A queued second reply to the same question, next to the first; or in its place, if it is one of two to choose.

    What was queued at the end of the branch on screen follows it, as with `edit`.
    """
    conversation = reply.message.conversation
    check_person(conversation.owner_id)
    leaf = Conversation.objects.kept().select_for_update().get(pk=conversation.pk).leaf_id
    question = conversation.messages.get(children=reply.message)
    comparison = Comparison.objects.of(reply.message).first()
    rivals = {"pk": reply.pk} if comparison else {"message__parent": question}
    if Reply.objects.running().filter(**rivals).exists():
        raise ReplyRunning
    again = _queue(question, model)
    QueuedQuestion.objects.move(leaf, again.message)
    if comparison:
        comparison.replace(reply.message, again.message)
        conversation.leaf = question
        conversation.change("leaf")
    return again


@transaction.atomic
def resume(reply: Reply, model: str) -> Reply | None:
    """The same reply, queued to be continued; None if it runs, is complete, or is not the end of its branch."""
    check_person(reply.message.conversation.owner_id)
    conversation = Conversation.objects.kept().select_for_update().get(messages=reply.pk)
    now = Reply.objects.select_related("message__conversation").get(pk=reply.pk)
    is_last = conversation.leaf_id in (now.pk, now.message.parent_id)
    if now.is_running or not now.can_resume or not is_last:
        return None
    now.queue_again(model, _entry(conversation, now.pk, model))
    conversation.updated = timezone.now()
    conversation.add_up()
    conversation.change("updated", *Conversation.SUMMED)
    User.change_list(conversation.owner_id)
    return now


def _ask(conversation: Conversation, text: str, model: str, parent: UUID | None) -> Reply:
    question = conversation.messages.create(parent_id=parent, role=Message.Role.USER, text=text)
    Searchable.objects.put([Searchable.of_message(question)])
    return _queue(question, model, added=2)


def _queue(question: Message, model: str, added: int = 1) -> Reply:
    """`added` is the number of messages that are new, the answer among them."""
    conversation = question.conversation
    answer = Message.objects.create(conversation=conversation, parent=question, role=Message.Role.ASSISTANT)
    # Without words yet. To store those at its end takes no lock on the conversation, for which a commit would wait.
    Searchable.objects.put([Searchable.of_message(answer)])
    entry = _entry(conversation, answer.pk, model)
    reply = Reply.objects.create(message=answer, model=model, ledger_entry=entry, **conversation.sent_along())
    conversation.leaf, conversation.model, conversation.updated = answer, model, timezone.now()
    # What people ask in is back in their list.
    conversation.archived = False
    conversation.message_count = F("message_count") + added
    conversation.change("leaf", "model", "updated", "archived", "message_count")
    User.change_list(conversation.owner_id)
    return reply


def _entry(conversation: Conversation, reply_id: UUID, model: str) -> LedgerEntry:
    return LedgerEntry.objects.create(
        person_id=conversation.owner_id, reply_id=reply_id, model=model, temporary=conversation.temporary
    )
