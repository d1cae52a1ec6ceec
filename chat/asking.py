"""Ask a model for a reply. Each function stores all that belongs to the reply, or nothing.

Each raises OverLimit when a person asks for too much, ReplyRunning while the previous reply is being written, and
Conversation.DoesNotExist when the conversation has been deleted.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from chat.compiled import Update, compiled, compiled_update, insert
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
    person = check_person(owner.pk)
    person.remember_model(model)
    # Browsers remember titles of pages.
    title = gettext("Temporary chat") if temporary else title_of(text)
    conversation = Conversation(owner=person, title=title, model=model, temporary=temporary, **sent_along)
    question, answer = _messages(conversation, text, None)
    conversation.leaf, conversation.message_count = answer, 2
    insert([conversation])
    insert([question, answer])
    Searchable.objects.put([Searchable.of_title(conversation), *map(Searchable.of_message, (question, answer))])
    if not temporary:
        Draft.objects.sent(person.pk, None, text)
    reply = _reply(answer, model, conversation.sent_along())
    User.change_list(person.pk)
    return reply


@transaction.atomic
def ask(
    conversation: Conversation, text: str, model: str, parent: UUID | None = None, seen: UUID | None = None
) -> Reply:
    """The queued reply to a question after the answer `parent`, by default the leaf.

    Raises Message.DoesNotExist for a parent that is no answer of this conversation, and ConversationChanged if a person
    has `seen` another leaf.
    """
    person = check_person(conversation.owner_id)
    reply = follow_up(conversation, text, model, parent, seen)
    Draft.objects.sent(person.pk, conversation.pk, text)
    person.remember_model(model)
    return reply


def follow_up(
    conversation: Conversation, text: str, model: str, parent: UUID | None = None, seen: UUID | None = None
) -> Reply:
    """Like `ask`, of a question for which a person has chosen the model earlier; after `check_person`."""
    # With the lock, the later of two questions asked at the same moment sees the earlier one.
    leaf = _lock_leaf(conversation.pk)
    if seen and seen != leaf:
        raise ConversationChanged
    if parent:
        answer = conversation.messages.get(pk=parent, role=Message.Role.ASSISTANT)
        Comparison.objects.of(answer).delete()
        leaf = answer.pk
    check_chosen(conversation, leaf)
    if leaf and Reply.objects.status_of(leaf) in Reply.RUNNING:
        raise ReplyRunning
    reply = _ask(conversation, text, model, leaf)
    QueuedQuestion.objects.move(leaf, reply.message)
    return reply


def check_chosen(conversation: Conversation, leaf: UUID | None) -> None:
    """Raise AnswerNotChosen when the leaf is a question, whose two answers a person has still to choose from."""
    if leaf and _questions(conversation.pk, leaf):
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
    second = _again(question, model)
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
    person = check_person(conversation.owner_id)
    leaf = Conversation.objects.kept().select_for_update().get(pk=conversation.pk).leaf_id
    person.remember_model(model)
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
    again = _again(question, model)
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
    question, answer = _messages(conversation, text, parent)
    return _queue(conversation, model, question, answer)


def _again(question: Message, model: str) -> Reply:
    """The queued reply to a question that has another one."""
    conversation = question.conversation
    answer = Message(conversation=conversation, parent=question, role=Message.Role.ASSISTANT)
    return _queue(conversation, model, answer)


def _messages(conversation: Conversation, text: str, parent: UUID | None) -> tuple[Message, Message]:
    question = Message(conversation=conversation, parent_id=parent, role=Message.Role.USER, text=text)
    return question, Message(conversation=conversation, parent=question, role=Message.Role.ASSISTANT)


def _queue(conversation: Conversation, model: str, *new: Message) -> Reply:
    """Store these messages, the last of which is the answer, and put that on screen."""
    insert(new)
    # The answer is without words yet. To store those at its end takes no lock on the conversation, for which a commit
    # would wait.
    Searchable.objects.put(map(Searchable.of_message, new))
    answer = new[-1]
    reply = _reply(answer, model, Conversation.objects.sent_along(conversation.pk))
    conversation.leaf, conversation.model, conversation.updated = answer, model, timezone.now()
    conversation.archived = False
    _put_on_screen(conversation.pk, answer.pk, model, conversation.updated, len(new))
    User.change_list(conversation.owner_id)
    return reply


def _reply(answer: Message, model: str, sent_along: dict[str, Any]) -> Reply:
    """The queued reply."""
    entry = _entry(answer.conversation, answer.pk, model)
    reply = Reply(message=answer, model=model, ledger_entry=entry, **sent_along)
    insert([reply])
    # By this process's clock: to read the database's takes another query.
    reply.queued = reply.asked
    return reply


def _entry(conversation: Conversation, reply_id: UUID, model: str) -> LedgerEntry:
    entry = LedgerEntry(
        person_id=conversation.owner_id, reply_id=reply_id, model=model, temporary=conversation.temporary
    )
    insert([entry])
    return entry


def _lock_leaf(conversation: UUID) -> UUID | None:
    """The leaf of a conversation that is not in the trash, locked; None if it has no messages."""
    for (leaf,) in _leaf(conversation):
        return leaf
    raise Conversation.DoesNotExist


@compiled
def _leaf(conversation: UUID) -> QuerySet[Conversation, tuple[UUID | None]]:
    return Conversation.objects.kept().select_for_update().filter(pk=conversation).values_list("leaf")


@compiled
def _questions(conversation: UUID, pk: UUID) -> QuerySet[Message, tuple[UUID]]:
    return Message.objects.filter(conversation=conversation, pk=pk, role=Message.Role.USER).values_list("pk")


@compiled_update
def _put_on_screen(conversation: UUID, leaf: UUID, model: str, updated: datetime, more: int) -> Update:
    return Conversation.objects.filter(pk=conversation), {
        "leaf": leaf,
        "model": model,
        "updated": updated,
        # What people ask in is back in their list.
        "archived": False,
        "message_count": F("message_count") + more,
        "version": F("version") + 1,
    }
