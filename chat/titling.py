"""Gives conversations titles: asks a model after the first complete answer, and stores what it says."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import F

from chat import sentences
from chat.catalog import Catalog, Model
from chat.completions import CompletionError, Parameters
from chat.database import in_thread
from chat.events import Delta, Error, Finished
from chat.jobs import JobFailed
from chat.models import Conversation, LedgerEntry, Message, Reply, Searchable, User
from chat.titles import READ_CHARS, prompt, title_in

# Seconds for the whole request.
MOST_SECONDS = 30.0
# Enough for some thinking before the title; others stop by themselves after a few.
PARAMETERS = Parameters(max_tokens=500)


class Titling:
    """Asks for titles: `model` is the name of the one to ask, the one that answered if it is empty."""

    def __init__(self, catalog: Catalog, model: str) -> None:
        self._catalog = catalog
        self._model = model

    async def make(self, conversation: str) -> Callable[[], None]:
        """Ask for a title; returns what stores it unless a person has given one meanwhile. Raises JobFailed."""
        answer = await _first_answer(UUID(conversation))
        if answer is None:
            return lambda: None
        person = answer.conversation.owner
        name = self._model or self._catalog.choose(person, answer.reply.model).name
        entry = await _enter(person, answer, name)
        text, usage = await _ask(self._catalog.get(name), _messages(answer))
        await _count(entry, usage)
        return partial(store, answer.conversation, title_in(text))


def _messages(answer: Message) -> list[dict[str, str]]:
    question = answer.parent.text if answer.parent else ""
    return [{"role": str(Message.Role.USER), "content": prompt(question, answer.text)}]


async def _ask(model: Model, messages: list[dict[str, str]]) -> tuple[str, dict[str, Any] | None]:
    """The answer, without its thinking, and the counts of tokens; raises JobFailed."""
    text, usage = "", None
    try:
        async with asyncio.timeout(MOST_SECONDS), aclosing(model.stream(messages, PARAMETERS)) as stream:
            async for events in stream:
                for event in events:
                    if isinstance(event, Delta) and len(text) < READ_CHARS:
                        text += event.text
                    elif isinstance(event, Finished):
                        usage = event.usage
    except CompletionError as error:
        raise JobFailed(sentences.for_staff(Error(error.code, error.params))) from error
    except TimeoutError:
        raise JobFailed(f"no title within {MOST_SECONDS:.0f} seconds") from None
    return text, usage


@in_thread
def _first_answer(conversation: UUID) -> Message | None:
    """The first complete answer with its question; None if there is none, or if it needs no title by now."""
    answers = Message.objects.filter(
        conversation__in=Conversation.objects.without_title().filter(pk=conversation),
        reply__status=Reply.Status.COMPLETE,
    ).exclude(text="")
    return answers.select_related("conversation__owner", "parent", "reply").order_by("created").first()


@in_thread
def _enter(person: User, answer: Message, model: str) -> LedgerEntry:
    purpose = LedgerEntry.Purpose.TITLE
    return LedgerEntry.objects.create(person=person, reply_id=answer.pk, model=model, purpose=purpose)


@in_thread
def _count(entry: LedgerEntry, usage: dict[str, Any] | None) -> None:
    LedgerEntry.objects.filter(pk=entry.pk).update(**LedgerEntry.tokens(usage))


def store(conversation: Conversation, title: str) -> None:
    """Give the title to the conversation, or keep its first words if there is none, unless it has another by now."""
    # First, as a question locks its person first too.
    User.change_list(conversation.owner_id)
    untitled = Conversation.objects.without_title().filter(pk=conversation.pk)
    fields = {"title": title} if title else {}
    changed = untitled.update(titled_by=Conversation.TitledBy.MODEL, version=F("version") + 1, **fields)
    if changed and title:
        conversation.title = title
        Searchable.objects.put([Searchable.of_title(conversation)])
