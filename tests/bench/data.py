"""Fills two databases for measurements: a million messages, 100,000 of them of one person.

    python -m tests.bench.data --messages 1000000 sqlite postgresql

Both get the same texts. Their words are spread as in languages: the fifteen most frequent ones are in half of all texts
or more, and most are in less than one of a thousand. What there was in the databases is deleted, but the audit record.
tests.bench.reviews adds what people and reviewers have made of some conversations.
"""

import argparse
import random
import subprocess
import sys
import time
from bisect import bisect
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import accumulate, batched, product
from typing import TYPE_CHECKING

import django

# Before Django reads its settings: nobody's own reach it.
import tests.environment  # noqa: F401
from tests.bench import stores

if TYPE_CHECKING:
    from chat.models import Conversation, Message

SEED = 1
VOCABULARY = 60_000
# Messages of a conversation, and of all messages, one of so many is the person's whose searches are measured.
LENGTH = 10
SHARE = 10
PEOPLE = 500
# Characters of an ideographic text that one of so many messages has.
IDEOGRAPHS = [chr(0x4E00 + number) for number in range(2000)]
ONE_IDEOGRAPHIC = 50
# One of so many conversations is with another model. Of a hundred replies, so many fail, and one is judged.
ONE_RARE = 1000
FAILED = 3
JUDGED = 50
YEARS = timedelta(days=730)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
AT_ONCE = 1000

SYLLABLES = [consonant + vowel for consonant, vowel in product("bdfgklmnprstvz", "aeiou")]


def vocabulary() -> list[str]:
    """Words of two to four syllables, the most frequent first."""
    dice = random.Random(SEED)  # noqa: S311 (no secret)
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        words["".join(dice.choices(SYLLABLES, k=dice.randint(2, 4)))] = None
    return list(words)


class Texts:
    """The same texts for each database."""

    def __init__(self) -> None:
        self._dice = random.Random(SEED)  # noqa: S311
        self._words = vocabulary()
        # The second most frequent word is half as frequent as the first, the third a third.
        self._weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))

    def title(self) -> str:
        return self._some(self._dice.randint(3, 8)).capitalize()

    def question(self) -> str:
        return f"{self._some(self._length(20))}?".capitalize()

    def answer(self) -> str:
        if not self._dice.randrange(ONE_IDEOGRAPHIC):
            return "".join(self._dice.choices(IDEOGRAPHS, k=200)) + "。"
        return f"{self._some(self._length(150))}.".capitalize()

    def _length(self, mean: int) -> int:
        return max(3, int(self._dice.lognormvariate(0, 0.7) * mean))

    def _some(self, count: int) -> str:
        words, weights, total, dice = self._words, self._weights, self._weights[-1], self._dice.random
        return " ".join([words[bisect(weights, dice() * total)] for _ in range(count)])


def fill(messages: int) -> None:
    """Fill the database of the settings."""
    from django.contrib.auth.models import Group
    from django.core.management import call_command
    from django.db import connection

    from chat.models import Conversation, LedgerEntry, ReviewLabel, User
    from tests.bench.reviews import Desk

    began = time.monotonic()
    call_command("migrate", verbosity=0)
    for rows in (Conversation, User, LedgerEntry, Group, ReviewLabel):
        rows.objects.all().delete()
    heavy = User.objects.create_user("heavy", email="heavy@example.org")
    people = User.objects.bulk_create(User(username=f"person-{number}") for number in range(PEOPLE))
    User.objects.create_superuser("staff")
    desk = Desk(people, NOW)
    texts, dice, done = Texts(), random.Random(SEED), 0  # noqa: S311
    for numbers in batched(range(messages // LENGTH), AT_ONCE // LENGTH):
        conversations = []
        for number in numbers:
            owner = heavy if number % SHARE == 0 else dice.choice(people)
            created = NOW - YEARS * (1 - number * LENGTH / messages)
            model = "rare" if number % ONE_RARE == 0 else "demo"
            conversations.append(
                Conversation(
                    owner=owner,
                    title=texts.title(),
                    model=model,
                    created=created,
                    updated=created,
                    trashed=desk.trashed(number, created),
                )
            )
        store(conversations, texts)
        desk.store(zip(numbers, conversations, strict=True))
        done += len(numbers) * LENGTH
        if done % 20_000 == 0:
            seconds = time.monotonic() - began
            print(f"{connection.vendor}: {done:,} of {messages:,} messages, {seconds:.0f} s", flush=True)  # noqa: T201
    if connection.vendor == "postgresql":
        # As it does by itself after a while.
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def store(conversations: "list[Conversation]", texts: Texts) -> None:
    from django.db import transaction

    from chat.models import Conversation, LedgerEntry, Message, Reply, Searchable

    messages = [message for conversation in conversations for message in talk(conversation, texts)]
    leaves = {message.conversation_id: message for message in messages}
    for conversation in conversations:
        conversation.leaf = leaves[conversation.pk]
    replies = [
        Reply(
            message=message,
            status="failed" if message.pk.int % 100 < FAILED else "complete",
            error_code="busy" if message.pk.int % 100 < FAILED else "",
            feedback="bad" if message.pk.int % 100 == JUDGED else "",
            model=message.conversation.model,
            usage={"prompt_tokens": 100, "completion_tokens": len(message.text) // 4},
            asked=message.created,
            started=message.created,
            answered=message.created,
            ended=message.created,
        )
        for message in messages
        if message.role == Message.Role.ASSISTANT
    ]
    entries = [
        LedgerEntry(
            person_id=reply.message.conversation.owner_id,
            reply_id=reply.pk,
            model=reply.model,
            asked=reply.asked,
            **LedgerEntry.tokens(reply.usage),
        )
        for reply in replies
    ]
    by_conversation = {conversation.pk: conversation for conversation in conversations}
    for message in messages:
        by_conversation[message.conversation_id].message_count += 1
    for reply in replies:
        conversation = by_conversation[reply.message.conversation_id]
        conversation.add(reply.status, reply.model, reply.error_code, reply.feedback, reply.usage)
    searchable = [*map(Searchable.of_title, conversations), *map(Searchable.of_message, messages)]
    with transaction.atomic():
        # Both databases look at the end of the transaction whether the leaves are there.
        Conversation.objects.bulk_create(conversations)
        Message.objects.bulk_create(messages)
        Reply.objects.bulk_create(replies)
        LedgerEntry.objects.bulk_create(entries)
        Searchable.objects.put(searchable)


def talk(conversation: "Conversation", texts: Texts) -> "Iterator[Message]":
    """Questions and answers, a minute apart."""
    from chat.models import Message

    parent = None
    for index in range(LENGTH):
        is_question = index % 2 == 0
        parent = Message(
            conversation=conversation,
            parent=parent,
            role=Message.Role.USER if is_question else Message.Role.ASSISTANT,
            text=texts.question() if is_question else texts.answer(),
            created=conversation.created + timedelta(minutes=index, microseconds=7),
        )
        yield parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--here", action="store_true", help="fill the database of DATABASE_URL")
    parser.add_argument("stores", nargs="*")
    options = parser.parse_args()
    if options.here:
        django.setup()
        fill(options.messages)
        return
    command = [sys.executable, "-m", "tests.bench.data", "--here", "--messages", str(options.messages)]
    with ExitStack() as stack:
        environments = [stack.enter_context(stores.store(name)) for name in stores.names()]
        filling = [subprocess.Popen(command, env=environment) for environment in environments]
        sys.exit(max(process.wait() for process in filling))


if __name__ == "__main__":
    main()
