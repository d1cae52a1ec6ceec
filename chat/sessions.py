"""Sessions in the database, and how long they last. Django ends one when its row expires; each save extends it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, alogout, get_user
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.decorators import async_only_middleware

from chat.compiled import compiled
from chat.database import AWAY, in_thread
from chat.models import User
from chat.tasks import spawn

logger = logging.getLogger(__name__)

type Handler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

# Seconds after which staff must sign in again.
STAFF_SECONDS = 24 * 60 * 60
# A request extends the session when this share of the idle time has passed, so that not every request writes a row.
SHARE = 1 / 20
# Seconds between two looks at the sessions of open streams. A stream ends with the next block after the look, and a
# quiet one has a block every ten seconds: together less than the 15 seconds for which a reader may outlive its session.
LOOK = 4.0
# At most this many are looked up in one query.
LOOKED_UP_AT_ONCE = 500


class SessionStore(db.SessionStore):
    """Django's own, which each request reads by a query that is compiled once."""

    def load(self) -> dict[str, Any]:
        for (data,) in _data(self.session_key, timezone.now()) if self.session_key else ():
            return self.decode(data)
        # Django forgets the key.
        return super().load()


@compiled
def _data(key: str, now: datetime) -> QuerySet[Session, tuple[str]]:
    return Session.objects.filter(session_key=key, expire_date__gt=now).values_list("session_data")


@receiver(user_logged_in)
def _begin(request: HttpRequest, **_: Any) -> None:
    request.session["began"] = request.session["seen"] = time.time()


@async_only_middleware
def session_lifetime(get_response: Handler) -> Handler:
    """Sign staff out after a day, and keep the session of everybody else for as long as it is used."""

    async def answer(request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            # With the session, at once: whoever asks for either later waits for no thread and no database.
            request.user = await sync_to_async(get_user)(request)
            session, now = request.session, time.time()
            if _is_too_old(session.get("began"), now) and request.user.is_staff:
                await alogout(request)
            elif now - session.get("seen", now) > settings.SESSION_COOKIE_AGE * SHARE:
                session["seen"] = now
        return await get_response(request)

    return answer


def _is_too_old(began: float | None, now: float) -> bool:
    return began is not None and now - began > STAFF_SECONDS


@dataclass(eq=False)
class OpenSession:
    """A session for which a stream is open."""

    key: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class OpenSessions:
    """Notices when the sessions of a process's streams end. One look is for all of them, however many there are."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        """`threads` are those in which background tasks use the database."""
        self._threads = threads
        self._open: set[OpenSession] = set()
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def open(self, key: str) -> Iterator[OpenSession]:
        """The session of a request that has just been answered, as long as its stream lasts."""
        session = OpenSession(key)
        self._open.add(session)
        if self._looking is None or self._looking.done():
            self._looking = spawn(self._keep_looking(), "open sessions", self._threads)
        try:
            yield session
        finally:
            self._open.discard(session)

    async def look(self) -> None:
        """Look at all of them, and say of each that has ended that it has."""
        sessions = list(self._open)
        try:
            valid = await valid_sessions({session.key for session in sessions})
        except AWAY:
            # Nobody can have signed out meanwhile.
            return
        for session in sessions:
            if session.key not in valid:
                session.ended.set()

    def close(self) -> None:
        if self._looking:
            self._looking.cancel()

    async def _keep_looking(self) -> None:
        while self._open:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
            except Exception:
                logger.exception("Could not look at the open sessions; this is repeated")


@in_thread
def valid_sessions(keys: Iterable[str]) -> set[str]:
    """Those of these sessions that still sign somebody in, according to the database.

    A session does not when its person has signed out, changed their password or been disabled, or when it has expired.
    """
    return {key for some in batched(keys, LOOKED_UP_AT_ONCE) for key in _valid(some)}


def _valid(keys: Iterable[str]) -> Iterator[str]:
    kept = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    sessions = {row.session_key: row.get_decoded() for row in kept}
    ids = {key: int(session.get(SESSION_KEY, 0)) for key, session in sessions.items()}
    people = User.objects.filter(is_active=True).only("password", "is_staff").in_bulk(set(ids.values()))
    for key, session in sessions.items():
        person = people.get(ids[key])
        if person and _signs_in(session, person):
            yield key


def _signs_in(session: dict[str, Any], person: User) -> bool:
    if person.is_staff and _is_too_old(session.get("began"), time.time()):
        return False
    return constant_time_compare(session.get(HASH_SESSION_KEY, ""), person.get_session_auth_hash())
