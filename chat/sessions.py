"""How long a session lasts. Django ends it when its row in the database expires; each save extends it."""

import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, alogout, get_user
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare
from django.utils.decorators import async_only_middleware

from chat.database import in_thread
from chat.models import User

type Handler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

# Seconds after which staff must sign in again.
STAFF_SECONDS = 24 * 60 * 60
# A request extends the session when this share of the idle time has passed, so that not every request writes a row.
SHARE = 1 / 20


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


@in_thread
def session_is_valid(session_key: str | None) -> bool:
    """Whether the session still signs somebody in, according to the database.

    It does not when they have signed out, changed their password or been disabled, or when it has expired.
    """
    store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore
    session = store(session_key)
    user = User.objects.filter(pk=session.get(SESSION_KEY, 0), is_active=True).first()
    if not user or (user.is_staff and _is_too_old(session.get("began"), time.time())):
        return False
    return constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())
