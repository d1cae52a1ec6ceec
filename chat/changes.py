"""What has changed on open pages, in whatever process: found by comparing versions."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import batched
from uuid import UUID
from zlib import crc32

from chat.database import in_thread
from chat.models import Conversation, Reply, User
from chat.tasks import spawn

logger = logging.getLogger(__name__)

# Seconds between two looks. All pages of the process share one.
LOOK = 0.5
# At most this many rows are looked up in one query.
LOOKED_UP_AT_ONCE = 500

# Versions, by the ids of conversations and their owners, and by the ids of people.
type Conversations = dict[tuple[UUID, int], int]
type Lists = dict[int, int]
# In which conversations replies are being written, by the ids of people.
type Running = dict[int, set[UUID]]


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of a page's conversation, None when it is deleted or somebody else's, and of the sidebar's list.

    `running` is a number for the conversations of the list in which replies are being written: see `number_of`.
    """

    conversation: int | None
    list: int | None
    running: int = 0


def number_of(running: Iterable[UUID]) -> int:
    """A number that is another one for other conversations, or almost surely so; 0 for none.

    The beginning and the end of a reply change nothing else that a list could be told by: the transaction that ends one
    has already locked it, and can no longer wait for its person.
    """
    return crc32(b"".join(sorted(pk.bytes for pk in running))) >> 1


class _Page:
    def __init__(self, person: int, conversation: UUID | None) -> None:
        self.person = person
        self.conversation = conversation
        # Nobody has this: every person has a list.
        self.versions = Versions(None, None)
        self.changed = asyncio.Event()

    def show(self, conversations: Conversations, lists: Lists, running: Running) -> None:
        version = conversations.get((self.conversation, self.person)) if self.conversation else None
        versions = Versions(version, lists.get(self.person), number_of(running.get(self.person, ())))
        if versions != self.versions:
            self.versions = versions
            self.changed.set()


class Changes:
    """Follows what the open pages of a process show.

    Versions are states, not events: none can be missed or come in the wrong order, and a page that was away compares
    what it shows with what there is.
    """

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        """`threads` are those in which background tasks use the database."""
        self._threads = threads
        self._pages: set[_Page] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    async def follow(self, person: int, conversation: UUID | None = None) -> AsyncGenerator[Versions]:
        """The versions of this person's page, as soon as they are known and each time they change, until `close`."""
        page = _Page(person, conversation)
        self._pages.add(page)
        if self._looking is None:
            self._looking = spawn(self._look(), "changes", self._threads)
        try:
            while not self._closed:
                await page.changed.wait()
                page.changed.clear()
                yield page.versions
        finally:
            self._pages.discard(page)

    def close(self) -> None:
        """Let all pages go: they find another process."""
        self._closed = True
        for page in self._pages:
            page.changed.set()

    async def _look(self) -> None:
        while self._pages and not self._closed:
            pages = list(self._pages)
            try:
                found = await _find(
                    {page.conversation for page in pages if page.conversation}, {page.person for page in pages}
                )
            except Exception:
                # Nobody is told anything: what cannot be looked up is not deleted.
                logger.exception("Could not look for changes; this is repeated")
            else:
                for page in pages:
                    page.show(*found)
            await asyncio.sleep(LOOK)
        self._looking = None


@in_thread
def _find(conversations: Iterable[UUID], people: Iterable[int]) -> tuple[Conversations, Lists, Running]:
    versions: Conversations = {}
    lists: Lists = {}
    for some in batched(conversations, LOOKED_UP_AT_ONCE):
        rows = Conversation.objects.kept().filter(pk__in=some).values_list("pk", "owner_id", "version")
        versions |= {(pk, owner): version for pk, owner, version in rows}
    for few in batched(people, LOOKED_UP_AT_ONCE):
        lists |= dict(User.objects.filter(pk__in=few).values_list("pk", "list_version"))
    # Of everybody: there is an index of the running replies, and none of those of some people.
    running: Running = {}
    for owner, pk in Reply.objects.running().values_list("message__conversation__owner", "message__conversation"):
        running.setdefault(owner, set()).add(pk)
    return versions, lists, running
