"""Rounds of the kill loop: people ask, read and stop through two processes, and in each round something happens."""

import asyncio
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, count, cycle, pairwise
from random import Random
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models import Min, QuerySet
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from chat import sse
from chat.database import DatabaseThreads, in_thread
from chat.events import Entry, Snapshot
from chat.models import Conversation, Job, LedgerEntry, Message, QueuedQuestion, Reply, ServerProcess
from chat.replylog import CursorLost, open_log
from tests.faults.author import Author
from tests.faults.evidence import (
    BEGINS_ANEW,
    GOES_ON,
    ComparisonEvidence,
    Connection,
    DeletedEvidence,
    EditEvidence,
    Evidence,
    Past,
    Question,
    Queued,
    QueueEvidence,
    StoredQuestion,
    TitleEvidence,
)
from tests.faults.proxy import Proxy
from tests.server import Database, Server
from tests.upstream import Upstream
from tests.visitor import Event, Visitor

# Enough that nobody reaches what one person may ask in a minute.
PEOPLE = 16
REPLIES = 5
# How many more readers each of them gets in a rush.
RUSH = 20
# The questions of a round come within this time, and so does its fate, in seconds.
ASKED_WITHIN = 1.5
STRUCK_WITHIN = 2.5
# Others are asked while both processes are restarted, in seconds.
RESTARTED_WITHIN = 8.0
# Longer than a process waits for Redis, in seconds; for PostgreSQL it waits longer than its lease.
SILENT = 3.0
# The share of replies that are stopped, and the seconds within which they are.
STOPPED = 0.25
STOPPED_WITHIN = 3.0
# The shares of replies after which questions are queued, whose question is edited, and others; and the seconds within
# which that happens.
SHARES = 0.25, 0.1, 0.65
FOLLOWED_WITHIN = 2.0
# The share of questions that are asked of both models.
COMPARED = 0.15
# How many questions are queued at most.
QUEUED_MOST = 2
# The shares of queued questions that are edited and withdrawn.
EDITED = 0.3
WITHDRAWN = 0.2
# The share of continued ones among the replies that can be.
CONTINUED = 0.7
# People who are refused or cut off come back after a time between these, in seconds.
BACK_OFF = 0.05, 0.3
# Another process claims what a dead one has left within this time of the lease's end; the slack is for a slow machine,
# and for SQLite: a process that falls asleep in a transaction keeps all others from writing. In seconds.
LEASE = timedelta(seconds=6)
CLAIMED_WITHIN = 2.0
SLACK = 20.0
# What does not happen within this time counts as not happening, in seconds.
PATIENCE = 90
LOOK = 0.2


class Fate(StrEnum):
    """What happens in a round, to a process or through people: a method, and a place in the deck."""

    KILLED = "SIGKILL"
    FROZEN = "SIGSTOP"
    RESTARTED = "rolling restart"
    SWALLOWED = "silent store"
    DELETED = "deletion"
    RUSHED = "rush of readers"


DECK = [Fate.KILLED, Fate.KILLED, *Fate]


# How long after the moment that its row names a reply has ended in its log, too, if its process lives.
STORING = timedelta(seconds=1)


@dataclass
class Death:
    """A fate that a process has met, with the replies it had in its hands."""

    began: datetime
    replies: set[UUID] = field(default_factory=set)
    ended: datetime | None = None

    def befell(self, reply: Reply) -> bool:
        """Whether it can be what interrupted the reply."""
        assert reply.ended
        return self.began <= reply.ended + STORING and (self.ended is None or reply.asked <= self.ended + LEASE)


@dataclass(frozen=True)
class Asked:
    """A question that was accepted: the person who asked it, through each process, and the addresses they got."""

    question: Question
    person: list[Visitor]
    conversation: dict[str, Any]
    message: dict[str, Any]
    reply: dict[str, Any]

    @property
    def pk(self) -> UUID:
        return UUID(self.reply["id"])


@dataclass
class Seen:
    """What people have seen of a reply."""

    readers: list[list[Connection]] = field(default_factory=list)
    stop_asked: bool = False
    stopped_at: tuple[str, str] | None = None
    # Those that came in a rush.
    rush: list[asyncio.Task[None]] = field(default_factory=list)
    # Whether it is about to be continued. What was seen before is checked first, so nobody else may come.
    is_closed: bool = False
    # What it had before it was continued.
    past: Past | None = None
    # What they have queued after it.
    queued: list[Queued] = field(default_factory=list)

    def is_last(self, event: Event) -> bool:
        """Whether nothing follows the event; a reply that is continued has had an earlier end."""
        return event.name == "end" and (self.past is None or event.seq > self.past.kept.seq)


class KillLoop:
    """Two processes on one database, their endpoint, and people who use both."""

    def __init__(
        self, proxies: dict[Server, list[Proxy]], upstream: Upstream, seed: int, say: Callable[[str], None]
    ) -> None:
        """`proxies` has the servers, and those through which each one reaches its stores."""
        self._proxies = proxies
        self._servers = servers = list(proxies)
        self._author = upstream.default = Author()
        self._seed = seed
        self._say = say
        self._people = [[Visitor(server, f"person-{number}") for server in servers] for number in range(PEOPLE)]
        self._turns = cycle(self._people)
        servers[0].session_cookie("sam", is_staff=True, is_superuser=True)
        self._staff = [Visitor(server, "sam") for server in servers]
        # By the names of their questions.
        self._asked: dict[str, Asked] = {}
        self._seen: defaultdict[UUID, Seen] = defaultdict(Seen)
        self._deaths: list[Death] = []
        # The conversations that somebody has set out to delete.
        self._deleted: set[str] = set()
        # Replies, each with the time of its end, which comes twice if it is continued.
        self._checked: set[tuple[UUID, datetime]] = set()
        self._counts: Counter[str] = Counter()
        self._checks: list[asyncio.Task[None]] = []
        # Whether the processes are being restarted one after the other.
        self._restarting = False
        # Whether a fate is under way: a process that starts takes its time from the others.
        self._striking = False
        # Whether a process sleeps or waits for a silent store, and with it the locks that it holds.
        self._asleep = False
        # The longest times, in seconds.
        self._overdue = self._overdue_asleep = self._death_to_end = 0.0
        # The seconds from a stop to its answer, while nothing else happened and while a fate was under way.
        self._stops: list[float] = []
        self._stops_struck: list[float] = []
        self.faults: list[str] = []

    async def run(self, rounds: int) -> None:
        self._log = open_log(settings.REDIS_URL, DatabaseThreads(2))
        await self._run(rounds)
        await self._log.close()

    async def _run(self, rounds: int) -> None:
        """The next round begins when the process is there again; the replies of the last one may still run then."""
        watching = asyncio.create_task(self._watch())
        fates = self._fates()
        for number in range(1, rounds + 1):
            chance = seeded(self._seed, number)
            struck = asyncio.Event()
            self._checks.append(asyncio.create_task(self._ask_and_check(f"{number}", ASKED_WITHIN, struck)))
            await asyncio.sleep(chance.uniform(0, STRUCK_WITHIN))
            fate, server = next(fates), chance.choice(self._servers)
            self._striking = True
            await self._strike(fate, number, server, chance)
            self._striking = False
            struck.set()
            self._say(f"round {number}: {fate}")
            if self.faults:
                break
        await asyncio.gather(*self._checks)
        # Some questions were stored although their answer was lost.
        await self._check("")
        await self._check_titles()
        watching.cancel()
        self._check_times()
        for visitor in chain.from_iterable([*self._people, self._staff]):
            await visitor.client.aclose()

    def _fates(self) -> Iterator[Fate]:
        """Each of them again and again, in an order that the seed decides."""
        for block in count():
            for fate in seeded(self._seed, "fates", block).sample(DECK, len(DECK)):
                # SQLite is not across a network.
                if fate is not Fate.SWALLOWED or any(self._proxies.values()):
                    yield fate

    # What people do

    async def _ask_and_check(self, name: str, seconds: float, struck: asyncio.Event | None = None) -> None:
        """Ask within some seconds, follow and stop, and check the replies once the round's fate is over too."""
        names = names_of(name)
        await asyncio.gather(*(self._reply(one, seeded(self._seed, one), seconds, next(self._turns)) for one in names))
        if struck:
            await struck.wait()
        accepted = [self._asked[one] for one in names if one in self._asked]
        await asyncio.gather(*(reading for asked in accepted for reading in self._seen[asked.pk].rush))
        await self._check(f"{name}.")
        for asked in accepted:
            if self._is_deleted(asked):
                await self._check_deleted(asked)

    async def _reply(self, name: str, chance: Random, seconds: float, person: list[Visitor]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.sleep(chance.uniform(0, seconds))
                asked = self._asked[name] = await self._ask(name, chance, person)
                answers = [asked, *await self._other_answer(asked)]
                readers = [self._read(one, chance, people) for one in answers for people in (person, person[::-1])]
                stops = [self._stop(asked, chance)] if chance.random() < STOPPED else []
                follows = chance.choices([self._queue, self._edit, None], SHARES)[0]
                if asked.question.compared:
                    # Nothing follows before one of the answers is chosen.
                    follows = None
                followed = [follows(name, asked, chance)] if follows else []
                await asyncio.gather(*readers, *stops, *followed)
                # Readers that come after the end see the same.
                await self._read(asked, chance, person)
        except TimeoutError:
            self._complain(f"{name} was not asked, read to its end and stopped within {PATIENCE} seconds")
            return
        if follows != self._edit and chance.random() < CONTINUED:
            await self._continue(asked, chance, person)
        try:
            async with asyncio.timeout(PATIENCE):
                if follows == self._queue:
                    await self._see_asked(asked, chance)
                if asked.question.compared:
                    await self._choose(name, asked, chance)
        except TimeoutError:
            self._complain(f"what followed {name} was not asked or chosen within {PATIENCE} seconds")

    async def _ask(self, name: str, chance: Random, person: list[Visitor]) -> Asked:
        compared = chance.random() < COMPARED
        for attempt in count():
            question = replace(some_question(f"{name}.{attempt}", chance), compared=compared)
            restarting = self._restarting
            answer, trouble = await self._post(question, chance, person)
            if answer and answer.status_code == 201:
                accepted = answer.json()
                return Asked(question, person, accepted["conversation"], accepted["message"], accepted["reply"])
            if (answer and answer.status_code < 500) or (restarting and self._restarting):
                self._complain(f"{question.name} was refused: {f'{answer} {answer.text}' if answer else trouble}")
            await asyncio.sleep(chance.uniform(*BACK_OFF))
        raise AssertionError

    async def _post(
        self, question: Question, chance: Random, person: list[Visitor]
    ) -> tuple[httpx.Response | None, httpx.TransportError | None]:
        """The answer to the question, or why none came; as behind a proxy, another process is asked if one is deaf."""
        trouble = None
        fields = {"text": str(question), "model": question.model}
        if question.compared:
            fields["also"] = BEGINS_ANEW if question.model == GOES_ON else GOES_ON
        for visitor in chance.sample(person, 2):
            try:
                return await visitor.post("/c/", **fields), None
            except httpx.ConnectError as error:
                trouble = error
            except httpx.TransportError as error:
                return None, error
        return None, trouble

    async def _accepted(self, name: str) -> Asked:
        """The question of this name, as soon as it is accepted."""
        async with asyncio.timeout(PATIENCE):
            while name not in self._asked:  # noqa: ASYNC110 (it is asked in another task)
                await asyncio.sleep(LOOK)
        return self._asked[name]

    async def _read(self, asked: Asked, chance: Random, person: list[Visitor]) -> None:
        """Follow the reply to its end, over as many connections as it takes, each through the other process."""
        connections: list[Connection] = []
        self._seen[asked.pk].readers.append(connections)
        cursor = 0
        for visitor in cycle(person):
            connections.append(connection := Connection(cursor))
            with suppress(httpx.TransportError):
                await self._receive(asked, visitor, connection)
            for event in connection.events:
                if self._seen[asked.pk].is_last(event):
                    return
                if event.name == "end":
                    # It came too early to hear of the rest.
                    connection.events.remove(event)
                else:
                    cursor = event.seq
            if connection.gone:
                return
            await asyncio.sleep(chance.uniform(*BACK_OFF))

    async def _receive(self, asked: Asked, visitor: Visitor, connection: Connection) -> None:
        decoder = sse.Decoder()
        async with visitor.stream(asked.reply["events_url"], **{"last-event-id": str(connection.after)}) as response:
            connection.gone = response.status_code == 404 and self._is_deleted(asked)
            if response.status_code == 200:
                async for chunk in response.aiter_raw():
                    # A status is told, but not stored.
                    connection.events += [Event(event) for event in decoder.feed(chunk) if event.event != "status"]
            elif response.status_code < 500 and not connection.gone:
                self._complain(f"{asked.pk} could not be followed: {response.status_code}")

    async def _rush(self, number: int) -> None:
        """Let many readers come at once, to all replies of the round."""
        for asked in [await self._accepted(name) for name in names_of(f"{number}")]:
            if self._seen[asked.pk].is_closed:
                continue
            readers = [seeded(self._seed, asked.question.name, reader) for reader in range(RUSH)]
            rush = [self._read_within(asked, chance, chance.sample(asked.person, 2)) for chance in readers]
            self._seen[asked.pk].rush = [asyncio.create_task(reading) for reading in rush]

    async def _read_within(self, asked: Asked, chance: Random, person: list[Visitor]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._read(asked, chance, person)
        except TimeoutError:
            self._complain(f"{asked.question.name} was not read to its end within {PATIENCE} seconds")

    async def _stop(self, asked: Asked, chance: Random) -> None:
        await asyncio.sleep(chance.uniform(0, STOPPED_WITHIN))
        seen = self._seen[asked.pk]
        seen.stop_asked = True
        while not seen.stopped_at:
            with suppress(httpx.TransportError):
                began, struck = time.monotonic(), self._striking
                answer = await chance.choice(asked.person).post(asked.reply["stop_url"])
                if answer.status_code == 404 and self._is_deleted(asked):
                    return
                if answer.status_code == 200:
                    stops = self._stops_struck if struck or self._striking else self._stops
                    stops.append(time.monotonic() - began)
                    seen.stopped_at = answer.json()["status"], await text_of(asked.pk)
                    return
            await asyncio.sleep(chance.uniform(*BACK_OFF))

    def _is_deleted(self, asked: Asked) -> bool:
        return asked.conversation["id"] in self._deleted

    async def _insist(self, asked: Asked, chance: Random, url: str, **fields: str) -> httpx.Response | None:
        """The answer to a request, which is repeated until there is one; None if the conversation is deleted."""
        while True:
            with suppress(httpx.TransportError):
                answer = await chance.choice(asked.person).post(url, **fields)
                if answer.status_code == 404 and self._is_deleted(asked):
                    return None
                if answer.status_code < 500 and answer.status_code != 429:
                    return answer
            await asyncio.sleep(chance.uniform(*BACK_OFF))

    async def _queue(self, name: str, asked: Asked, chance: Random) -> None:
        """Queue questions after the reply, and edit and withdraw some."""
        await asyncio.sleep(chance.uniform(0, FOLLOWED_WITHIN))
        queued = self._seen[asked.pk].queued
        for number in range(chance.randint(1, QUEUED_MOST)):
            if pk := await self._queue_one(f"{name}+{number}", asked, chance, queued):
                await self._change_queued(queued[-1], pk, asked, chance)

    async def _see_asked(self, asked: Asked, chance: Random) -> None:
        """Wait for what is queued to be asked, and send what is held."""
        queued = self._seen[asked.pk].queued
        while (waiting := await still_queued(asked.pk)) and not self._is_deleted(asked):
            first, text, is_held = waiting[0]
            if is_held:
                for one in queued:
                    one.sent |= Question.read(text).name in one.names
                self._counts["held"] += 1
                await self._insist(asked, chance, f"{asked.conversation['url']}queue/{first}/send/")
            await asyncio.sleep(LOOK)
        if not self._is_deleted(asked):
            waiting_names = [Question.read(text).name for _, text, _ in waiting]
            evidence = QueueEvidence(queued, await asked_with(asked.pk), waiting_names)
            for contradiction in evidence.contradictions():
                self._complain(f"queued after {asked.question.name}: {contradiction}")

    async def _queue_one(self, name: str, asked: Asked, chance: Random, queued: list[Queued]) -> str | None:
        """Add what was queued for sure, and what may be; the id of the former, unless the conversation is deleted."""
        for attempt in count():
            queued.append(one := Queued(some_question(f"{name}.{attempt}", chance)))
            fields = {"text": str(one.question), "model": one.question.model}
            with suppress(httpx.TransportError):
                answer = await chance.choice(asked.person).post(f"{asked.conversation['url']}queue/", **fields)
                if answer.status_code == 404 and self._is_deleted(asked):
                    return None
                if answer.status_code == 201:
                    one.accepted = True
                    self._counts["queued"] += 1
                    return str(answer.json()["queued"]["id"])
                if answer.status_code < 500:
                    self._complain(f"{one.question.name} was not queued: {answer.status_code} {answer.text}")
            await asyncio.sleep(chance.uniform(*BACK_OFF))
        raise AssertionError

    async def _change_queued(self, queued: Queued, pk: str, asked: Asked, chance: Random) -> None:
        """Edit or withdraw it, or neither; a 409 means that it has been asked meanwhile, or is withdrawn already."""
        url = f"{asked.conversation['url']}queue/{pk}"
        share = chance.random()
        if share < EDITED:
            queued.edit = replace(queued.question, name=f"{queued.question.name}e", words=chance.randint(10, 80))
            answer = await self._insist(asked, chance, f"{url}/edit/", text=str(queued.edit))
            queued.edited = answer is not None and answer.status_code == 200
            self._counts["queued and edited"] += queued.edited
        elif share < EDITED + WITHDRAWN:
            queued.withdrawing = True
            answer = await self._insist(asked, chance, f"{url}/withdraw/")
            queued.withdrawn = answer is not None and answer.status_code == 200
            self._counts["queued and withdrawn"] += queued.withdrawn

    async def _edit(self, name: str, asked: Asked, chance: Random) -> None:
        """Edit the question while its reply is written or after that, and read the reply to the other wording."""
        await asyncio.sleep(chance.uniform(0, FOLLOWED_WITHIN))
        edits: list[Question] = []
        url = f"/questions/{asked.message['id']}/edit/"
        while not self._is_deleted(asked):
            edits.append(edit := some_question(f"{name}e.{len(edits)}", chance))
            with suppress(httpx.TransportError):
                answer = await chance.choice(asked.person).post(url, text=str(edit), model=edit.model)
                if answer.status_code == 201:
                    self._counts["edited"] += 1
                    await self._read(replace(asked, question=edit, reply=answer.json()["reply"]), chance, asked.person)
                    break
                if answer.status_code < 500 and not self._is_deleted(asked):
                    self._complain(f"{edit.name} was refused: {answer.status_code} {answer.text}")
            await asyncio.sleep(chance.uniform(*BACK_OFF))
        there = await asked_with(asked.pk)
        if not self._is_deleted(asked):
            for contradiction in EditEvidence(asked.question, edits, there).contradictions():
                self._complain(f"edited {asked.question.name}: {contradiction}")

    async def _other_answer(self, asked: Asked) -> list[Asked]:
        """That of the other model, if the question was asked of both."""
        answers = [pk for pk in await answers_beside(asked.pk) if pk != asked.pk]
        urls = [(pk, f"/replies/{pk}") for pk in answers]
        return [
            replace(asked, reply={"id": f"{pk}", "events_url": f"{url}/events/", "stop_url": f"{url}/stop/"})
            for pk, url in urls
        ]

    async def _choose(self, name: str, asked: Asked, chance: Random) -> None:
        """Choose one of two answers, which stays on screen."""
        if self._is_deleted(asked) or not (answers := await answers_beside(asked.pk)):
            return
        chosen = chance.choice(answers)
        await self._insist(asked, chance, f"{asked.conversation['url']}branch/", message=f"{chosen}")
        evidence = ComparisonEvidence(await models_of(f"{name}."), chosen, await leaf_of(asked.pk))
        if not self._is_deleted(asked):
            self._counts["compared"] += 1
            for contradiction in evidence.contradictions():
                self._complain(f"compared {asked.question.name}: {contradiction}")

    async def _continue(self, asked: Asked, chance: Random, person: list[Visitor]) -> None:
        """Continue a reply that broke off, and read the rest."""
        seen = self._seen[asked.pk]
        seen.is_closed = True
        await asyncio.gather(*seen.rush)
        if self._is_deleted(asked) or not (reply := await broken_off(asked.pk)):
            return
        await self._check_once(reply)
        log = await self._entries(reply)
        seen.past = Past(Snapshot(reply.message.text, reply.reasoning, reply.last_seq), log)
        seen.readers, seen.stopped_at = [], None
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._insist(asked, chance, f"/replies/{asked.pk}/continue/")
                if answer and answer.status_code == 201:
                    self._counts["held and continued"] += bool(await still_queued(asked.pk))
                # Refused is one whose first answer was lost.
                elif answer and answer.status_code != 409:
                    self._complain(f"{asked.question.name} was not continued: {answer.status_code} {answer.text}")
                await asyncio.gather(*(self._read(asked, chance, people) for people in (person, person[::-1])))
        except TimeoutError:
            self._complain(f"{asked.question.name} was not continued to its end within {PATIENCE} seconds")

    async def _delete(self, number: int, chance: Random) -> None:
        """Let a person or an administrator delete one of the round's conversations."""
        asked = await self._accepted(chance.choice(names_of(f"{number}")))
        conversation = asked.conversation
        self._deleted.add(conversation["id"])
        people, url, fields = chance.choice(
            [
                (asked.person, f"{conversation['url']}delete/", {}),
                (self._staff, f"/admin/chat/conversation/{conversation['id']}/delete/", {"post": "yes"}),
            ]
        )
        while True:
            with suppress(httpx.TransportError):
                answer = await chance.choice(people).post(url, **fields)
                # After an answer that was lost it is no longer there.
                if answer.status_code in (200, 302, 303, 404):
                    return
            await asyncio.sleep(chance.uniform(*BACK_OFF))

    # What happens in a round

    async def _strike(self, fate: Fate, number: int, server: Server, chance: Random) -> None:
        match fate:
            case Fate.KILLED:
                await self._kill(server)
            case Fate.FROZEN:
                await self._freeze(server, chance)
            case Fate.RESTARTED:
                await self._restart(number)
            case Fate.SWALLOWED:
                await self._swallow(server, chance)
            case Fate.DELETED:
                await self._delete(number, chance)
            case Fate.RUSHED:
                await self._rush(number)
        self._counts[fate] += 1

    @contextmanager
    def _death(self) -> Iterator[Death]:
        """What is interrupted from now until a lease after the block, may be so because of it."""
        self._deaths.append(death := Death(timezone.now()))
        yield death
        death.ended = timezone.now()

    async def _kill(self, server: Server) -> None:
        with self._death() as death:
            pid = server.pid
            await asyncio.to_thread(server.kill)
            death.replies = await held_by(pid)
            await asyncio.to_thread(server.start)

    async def _freeze(self, server: Server, chance: Random) -> None:
        """For longer than its lease."""
        with self._death() as death:
            self._asleep = True
            os.kill(server.pid, signal.SIGSTOP)
            try:
                death.replies = await held_by(server.pid)
                await asyncio.sleep(LEASE.total_seconds() + CLAIMED_WITHIN + chance.random())
            finally:
                os.kill(server.pid, signal.SIGCONT)
            # What it held up comes first.
            await asyncio.sleep(CLAIMED_WITHIN)
            self._asleep = False

    async def _restart(self, number: int) -> None:
        """One process after the other, while people ask: none of them may be refused."""
        self._restarting = True
        asking = asyncio.create_task(self._ask_and_check(f"{number}r", RESTARTED_WITHIN))
        for server in self._servers:
            await self._terminate(server)
        self._restarting = False
        self._checks.append(asking)

    async def _terminate(self, server: Server) -> None:
        with self._death() as death:
            death.replies = await held_by(server.pid)
            if status := await asyncio.to_thread(server.terminate):
                self._complain(f"after SIGTERM a process ended with {status}")
            await asyncio.to_thread(server.start)

    async def _swallow(self, server: Server, chance: Random) -> None:
        """The host of a store vanishes without a word, and another one answers at its address."""
        proxy = chance.choice(self._proxies[server])
        with self._death() as death:
            self._asleep = True
            death.replies = await held_by(server.pid)
            proxy.swallow()
            silent_since = timezone.now()
            await asyncio.sleep(SILENT)
            try:
                async with asyncio.timeout(PATIENCE):
                    while not await has_renewed_since(server.pid, silent_since):  # noqa: ASYNC110 (only the row tells)
                        await asyncio.sleep(LOOK)
            except TimeoutError:
                self._complain(f"a process did not renew its lease within {PATIENCE} seconds of a store's silence")
            # What was on its way arrives late.
            proxy.mend()
            self._asleep = False

    async def _watch(self) -> None:
        """Note how long replies run past their lease."""
        while True:
            seconds = await overdue()
            if self._asleep:
                self._overdue_asleep = max(self._overdue_asleep, seconds)
            else:
                self._overdue = max(self._overdue, seconds)
            await asyncio.sleep(LOOK)

    # Whether all of it agrees

    async def _check(self, name: str) -> None:
        """Check the replies to the questions whose name begins like this and that have not been checked yet."""
        try:
            async with asyncio.timeout(PATIENCE):
                while await runs(name):  # noqa: ASYNC110 (only the rows tell)
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            self._complain(f"replies to {name} still run after {PATIENCE} seconds")
        for reply in await ended(name):
            await self._check_once(reply)

    async def _check_once(self, reply: Reply) -> None:
        assert reply.ended
        if (reply.pk, reply.ended) not in self._checked:
            self._checked.add((reply.pk, reply.ended))
            await self._check_reply(reply)

    async def _entries(self, reply: Reply) -> list[Entry]:
        try:
            return await self._log.read(reply.pk, 0)
        except CursorLost:
            return []

    async def _check_reply(self, reply: Reply) -> None:
        assert reply.message.parent
        seen = self._seen[reply.pk]
        question = Question.read(reply.message.parent.text)
        evidence = Evidence(
            question,
            reply,
            await self._entries(reply),
            seen.past,
            died=any(death.befell(reply) for death in self._deaths),
            atomic=not settings.REDIS_URL,
            readers=seen.readers,
            stop_asked=seen.stop_asked,
            stopped_at=seen.stopped_at,
            left_open=await self._left_open(question),
        )
        for contradiction in evidence.contradictions():
            self._complain(f"reply {reply.pk} to {question.name}: {contradiction}")
        self._count(reply, seen)

    async def _check_deleted(self, asked: Asked) -> None:
        self._counts["deleted"] += 1
        left_open = await self._left_open(asked.question)
        evidence = DeletedEvidence(asked.question, await exists(asked.pk), self._seen[asked.pk].readers, left_open)
        for contradiction in evidence.contradictions():
            self._complain(f"deleted reply {asked.pk} to {asked.question.name}: {contradiction}")

    async def _check_titles(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while await titles_are_due():  # noqa: ASYNC110 (only the rows tell)
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            self._complain(f"titles are not made after {PATIENCE} seconds")
        for row in await titled():
            evidence = TitleEvidence(
                row.title,
                row.titled_by == Conversation.TitledBy.MODEL,
                {question.title for question in row.questions},
                asked=len(row.asked),
                asked_again=sum(not self._died_between(*times) for times in pairwise(row.asked)),
                requests=sum(self._author.titles[question.name] for question in row.questions),
                is_due_later=row.is_due_later,
            )
            self._counts["titles"] += evidence.by_model
            self._counts["titles asked for again"] += len(row.asked) > 1
            for contradiction in evidence.contradictions():
                self._complain(f"conversation {row.pk}: {contradiction}")

    def _died_between(self, first: datetime, second: datetime) -> bool:
        """Whether a death can be the reason to ask again."""
        return any(
            death.began <= second and (death.ended is None or first <= death.ended + LEASE) for death in self._deaths
        )

    async def _left_open(self, question: Question) -> int:
        """The connections on which the endpoint still writes; a process that sleeps closes its own when it wakes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._author.left_open(question):  # noqa: ASYNC110 (the endpoint has a thread of its own)
                    await asyncio.sleep(LOOK)
        return self._author.left_open(question)

    def _count(self, reply: Reply, seen: Seen) -> None:
        connections = list(chain.from_iterable(seen.readers))
        self._counts["continued" if seen.past else "replies"] += 1
        self._counts[reply.status] += 1
        self._counts["taken over"] += reply.attempt > 1 and not seen.stop_asked
        self._counts["readers"] += len(seen.readers)
        self._counts["events seen"] += sum(len(connection.events) for connection in connections)
        self._counts["reconnections"] += len(connections) - len(seen.readers)
        # Those before it was continued are over.
        struck = [death.began for death in self._deaths if reply.pk in death.replies and death.began > reply.queued]
        if struck and reply.status == Reply.Status.INTERRUPTED and reply.ended:
            self._death_to_end = max(self._death_to_end, (reply.ended - struck[-1]).total_seconds())

    def _check_times(self) -> None:
        if (longest := max(self._overdue, self._overdue_asleep)) > CLAIMED_WITHIN + SLACK:
            self._complain(f"a reply ran for {longest:.1f} s after its lease")
        if self._death_to_end > LEASE.total_seconds() + CLAIMED_WITHIN + SLACK:
            self._complain(f"an interrupted reply ended {self._death_to_end:.1f} s after the death of its process")

    def figures(self) -> dict[str, float]:
        return {
            "rounds": sum(self._counts[fate] for fate in Fate),
            **{fate: self._counts[fate] for fate in Fate},
            "replies": self._counts["replies"],
            **{
                name: self._counts[name]
                for name in ("continued", "compared", "edited", "queued", "queued and edited", "queued and withdrawn")
            },
            "held and sent": self._counts["held"],
            "held and continued": self._counts["held and continued"],
            **{name: self._counts[name] for name in ("titles", "titles asked for again")},
            "deleted": self._counts["deleted"],
            **{status: self._counts[status] for status in Reply.Status if status not in Reply.RUNNING},
            **{name: self._counts[name] for name in ("taken over", "readers", "events seen", "reconnections")},
            "seconds from a lease's end to its claim, at most": round(self._overdue, 1),
            "the same while a process slept": round(self._overdue_asleep, 1),
            "seconds from a stop to its answer, in the median": round(median(self._stops or [0.0]), 2),
            "at most": round(max(self._stops, default=0.0), 1),
            "the same while a fate was under way, in the median": round(median(self._stops_struck or [0.0]), 2),
            "while one was, at most": round(max(self._stops_struck, default=0.0), 1),
            "seconds from a death to the end it brought, at most": round(self._death_to_end, 1),
            "faults": len(self.faults),
        }

    def _complain(self, fault: str) -> None:
        self.faults.append(fault)
        self._say(f"FAULT, with seed {self._seed}: {fault}")


def names_of(name: str) -> list[str]:
    """The names of the questions that are asked together under a name."""
    return [f"{name}.{n}" for n in range(REPLIES)]


def seeded(*seed: object) -> Random:
    """Chance that decides the same again for the same seed."""
    return Random(" ".join(map(str, seed)))  # noqa: S311 (nothing is secret here)


def some_question(name: str, chance: Random) -> Question:
    return Question(
        name,
        chance.choice((GOES_ON, BEGINS_ANEW)),
        thoughts=chance.choice((0, 0, 5)),
        words=chance.randint(10, 80),
        first_seconds=chance.choice((0, 1)),
        pause_seconds=chance.uniform(0.01, 0.06),
    )


def named(name: str) -> QuerySet[Reply]:
    return Reply.objects.filter(message__parent__text__startswith=f'{{"name": "{name}')


@in_thread
def runs(name: str) -> bool:
    return named(name).filter(status__in=Reply.RUNNING).exists()


@in_thread
def ended(name: str) -> list[Reply]:
    kept = named(name).filter(message__conversation__trashed=None)
    return list(kept.filter(ended__isnull=False).select_related("message__parent"))


@in_thread
def exists(pk: UUID) -> bool:
    """Whether its person can see it."""
    return Reply.objects.filter(pk=pk, message__conversation__trashed=None).exists()


@in_thread
def broken_off(pk: UUID) -> Reply | None:
    """The reply, if it has ended and can be continued."""
    reply = Reply.objects.select_related("message__parent").filter(pk=pk).first()
    return reply if reply and not reply.is_running and reply.can_resume else None


@in_thread
def still_queued(pk: UUID) -> list[tuple[UUID, str, bool]]:
    """The questions that are queued in the conversation of a reply, and which nobody will ask by themselves."""
    ended = set(Reply.Status) - {*Reply.RUNNING, Reply.Status.COMPLETE}
    rows = QueuedQuestion.objects.filter(after__conversation__messages=pk).order_by("pk")
    found = rows.values_list("pk", "text", "after__reply__status")
    return [(question, text, status in ended) for question, text, status in found]


@in_thread
def asked_with(pk: UUID) -> list[StoredQuestion]:
    """The questions in the conversation of a reply."""
    rows = Message.objects.filter(conversation__messages=pk, role=Message.Role.USER).values_list(
        "text", "parent", "created", "parent__reply__status", "parent__reply__ended"
    )
    return [
        StoredQuestion(Question.read(text).name, parent, created, ended if status == Reply.Status.COMPLETE else None)
        for text, parent, created, status, ended in rows
    ]


@in_thread
def answers_beside(pk: UUID) -> list[UUID]:
    """The answers to the same question, the first one first."""
    return list(Message.objects.filter(parent__children=pk).order_by("created", "pk").values_list("pk", flat=True))


@in_thread
def models_of(name: str) -> list[list[str]]:
    """The models of the replies to each question whose name begins like this."""
    models: defaultdict[UUID | None, list[str]] = defaultdict(list)
    for question, model in named(name).values_list("message__parent", "model"):
        models[question].append(model)
    return list(models.values())


@in_thread
def leaf_of(pk: UUID) -> UUID | None:
    """What is on screen last in the conversation of a reply."""
    return Conversation.objects.filter(messages=pk).values_list("leaf", flat=True).first()


@in_thread
def held_by(pid: int) -> set[UUID]:
    return set(Reply.objects.running().filter(process__contains=f":{pid}:").values_list("pk", flat=True))


@in_thread
def has_renewed_since(pid: int, moment: datetime) -> bool:
    """Whether the process has renewed its lease after this moment."""
    return ServerProcess.objects.filter(name__contains=f":{pid}:", lease__gt=moment + LEASE).exists()


@in_thread
def overdue() -> float:
    """For how long the oldest lease on a reply has run out, in seconds; a queued reply needs none."""
    writing = Reply.objects.filter(status=Reply.Status.STREAMING).values("process")
    oldest = ServerProcess.objects.filter(name__in=writing).aggregate(oldest=Min("lease"))["oldest"]
    return (timezone.now() - oldest).total_seconds() if oldest else 0.0


@in_thread
def titles_are_due() -> bool:
    return Job.objects.filter(due__lte=timezone.now()).exists()


@dataclass
class Titled:
    """A conversation with complete answers, the questions that have them, and when a title was asked for."""

    pk: UUID
    title: str
    titled_by: str
    questions: set[Question] = field(default_factory=set)
    asked: list[datetime] = field(default_factory=list)
    is_due_later: bool = False


@in_thread
def titled() -> list[Titled]:
    complete = Reply.objects.filter(status=Reply.Status.COMPLETE, message__conversation__trashed=None)
    rows: dict[UUID, Titled] = {}
    names = "pk", "message__parent__text", *(f"message__conversation__{name}" for name in ("id", "title", "titled_by"))
    conversations = {}
    for answer, question, pk, title, titled_by in complete.values_list(*names):
        conversations[answer] = pk
        rows.setdefault(pk, Titled(pk, title, titled_by)).questions.add(Question.read(question))
    entries = LedgerEntry.objects.filter(purpose=LedgerEntry.Purpose.TITLE).order_by("asked")
    for answer, asked in entries.values_list("reply_id", "asked"):
        if pk := conversations.get(answer):
            rows[pk].asked.append(asked)
    for subject in Job.objects.values_list("subject", flat=True):
        if row := rows.get(UUID(subject)):
            row.is_due_later = True
    return list(rows.values())


@in_thread
def text_of(pk: UUID) -> str:
    """The text of a message; nothing if it has been deleted since."""
    return Message.objects.filter(pk=pk).values_list("text", flat=True).first() or ""


def run(rounds: int, seed: int, say: Callable[[str], None]) -> tuple[list[str], dict[str, float]]:
    """The faults and the figures of some rounds on the stores of this process's settings, which must be empty."""
    call_command("migrate", verbosity=0)
    # Outside pytest nothing is blocked, and nothing has to be unblocked.
    blocker = DjangoDbBlocker(_ispytest=True)
    database = Database(str(connection.settings_dict["NAME"]), os.environ["DATABASE_URL"], blocker)
    with Upstream() as upstream, ExitStack() as running:
        environment = {
            "OPENAI_BASE_URL": upstream.url,
            "OPENAI_MODEL": f"{GOES_ON},{BEGINS_ANEW}",
            "CHAT_CONTINUE": f"{GOES_ON}=assistant",
            "CHAT_LEASE_SECONDS": f"{LEASE.seconds}",
            "CHAT_DRAIN_SECONDS": "1",
            "CHAT_PERSON_STREAMS": "1000",
            "CHAT_TITLES": "1",
            # So few that some replies are queued.
            "CHAT_PROCESS_RUNNING": "8",
        }
        proxies = {}
        for _ in range(2):
            between, stores = proxied(running, {"DATABASE_URL": database.url, "REDIS_URL": settings.REDIS_URL})
            server = Server(database, environment | stores)
            proxies[server] = between
            running.callback(server.stop)
            server.start()
        loop = KillLoop(proxies, upstream, seed, say)
        asyncio.run(loop.run(rounds))
        if loop.faults:
            say("\n".join(server.log() for server in proxies))
    return loop.faults, loop.figures()


def proxied(running: ExitStack, stores: dict[str, str]) -> tuple[list[Proxy], dict[str, str]]:
    """A proxy before each store that is across a network, and the stores' addresses through them."""
    between, addresses = [], {}
    for name, address in stores.items():
        url = urlsplit(address)
        if url.port:
            between.append(proxy := running.enter_context(Proxy(url.port)))
            url = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{proxy.port}"))
        addresses[name] = url.geturl()
    return between, addresses
