"""Questions that are asked when the reply before them is complete.

Whatever changes them locks their person first, as asking does. So each is asked once, with its last words.
"""

from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from chat import asking
from chat.limits import OverLimit, check_person
from chat.models import Conversation, Draft, Message, QueuedQuestion, Reply, Searchable, User, tree
from chat.models.queued import QueuedQuestionQuerySet

# At most this many are queued after one reply.
MOST = 10
# At most this many questions of one person are queued.
MOST_OF_PERSON = 100
# Seconds after which to try again, as nobody knows when a running reply ends.
RETRY = 10


@transaction.atomic
def add(
    conversation: Conversation, text: str, model: str, parent: UUID | None = None, seen: UUID | None = None
) -> QueuedQuestion:
    """Queue a question at the end of the branch through the answer `parent`, by default of the one on screen.

    Raises Message.DoesNotExist for a parent that is no answer of this conversation, ConversationChanged if the branch
    of which a person has `seen` this message last is no longer on screen, AnswerNotChosen, and OverLimit.
    """
    person = User.lock(conversation.owner_id)
    leaf = Conversation.objects.kept().values_list("leaf", flat=True).get(pk=conversation.pk)
    # What was queued earlier may have been asked since.
    if seen and tree.newest_leaf(seen) != leaf:
        raise asking.ConversationChanged
    asking.check_chosen(conversation, leaf)
    answers = conversation.messages.filter(role=Message.Role.ASSISTANT)
    newest = tree.newest_leaf(answers.get(pk=parent or leaf).pk)
    asking.check_chosen(conversation, newest)
    end = answers.get(pk=newest)
    if end.queued.count() >= MOST:
        raise OverLimit("too_many_queued", RETRY, most=MOST)
    if QueuedQuestion.objects.filter(after__conversation__owner=conversation.owner_id).count() >= MOST_OF_PERSON:
        raise OverLimit("too_many_queued_in_all", RETRY, most=MOST_OF_PERSON)
    queued = end.queued.create(text=text, model=model)
    person.remember_model(model)
    Draft.objects.sent(conversation.owner_id, conversation.pk, text)
    conversation.change()
    Searchable.objects.put([Searchable.of_queued(queued)])
    return queued


@transaction.atomic
def edit(conversation: Conversation, pk: UUID, text: str) -> bool:
    """Whether the question was still queued, and has this text now."""
    User.lock(conversation.owner_id)
    edited = _of(conversation).filter(pk=pk).update(text=text)
    if edited:
        conversation.change()
        Searchable.objects.put([Searchable.of_queued(_of(conversation).get(pk=pk))])
    return bool(edited)


@transaction.atomic
def withdraw(conversation: Conversation, pk: UUID) -> bool:
    """Whether the question was still queued, and will not be asked."""
    User.lock(conversation.owner_id)
    withdrawn, _ = _of(conversation).filter(pk=pk).delete()
    if withdrawn:
        conversation.change()
    return bool(withdrawn)


@transaction.atomic
def ask(questions: QueuedQuestionQuerySet, model_for: Callable[[User, str], str]) -> Reply | None:
    """The queued reply to the first of these questions, or None if they are gone; raises as `asking.ask`.

    `model_for` is given a person and the model that they chose. Those that are queued after the same reply follow the
    new one from now on.
    """
    first = questions.select_related("after__conversation").order_by("pk")
    seen = first.first()
    if seen is None:
        return None
    person = check_person(seen.after.conversation.owner_id)
    queued = first.first()
    if queued is None:
        return None
    conversation = Conversation.objects.kept().select_for_update().get(pk=queued.after.conversation_id)
    leaf = conversation.leaf_id
    queued.delete()
    reply = asking.follow_up(conversation, queued.text, model_for(person, queued.model), queued.after_id)
    if leaf != queued.after_id:
        # The branch on screen is another one, and stays there.
        conversation.leaf_id = leaf
        conversation.change("leaf")
    return reply


def _of(conversation: Conversation) -> QueuedQuestionQuerySet:
    return QueuedQuestion.objects.filter(after__conversation=conversation)
