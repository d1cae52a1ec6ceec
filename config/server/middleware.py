"""Django's own middleware, without a change of threads for each of its methods.

In an asynchronous stack Django runs each synchronous method of a middleware in a thread. These compute for some
microseconds and never wait, so they run in the event loop; what reads or writes the database still gets a thread.
Measured: asking a question and opening its stream takes 13 % less of the CPU.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware import clickjacking, common, csp, csrf, security
from django.utils.deprecation import MiddlewareMixin


class Inline(MiddlewareMixin):
    """Comes before the middleware whose methods it runs in the event loop."""

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
        return super().process_view(request, callback, args, kwargs)


class SessionMiddleware(Inline, sessions.SessionMiddleware):
    async def respond(self, request: HttpRequest, response: Any) -> Any:
        if request.session.modified:
            return await sync_to_async(self.process_response)(request, response)
        return self.process_response(request, response)


class MessageMiddleware(Inline, messages.MessageMiddleware):
    async def respond(self, request: HttpRequest, response: Any) -> Any:
        stored: Any = getattr(request, "_messages", None)
        if stored is not None and (stored.used or stored.added_new):
            return await sync_to_async(self.process_response)(request, response)
        return self.process_response(request, response)
