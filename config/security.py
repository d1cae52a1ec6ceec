"""What no request may contain and every response must say, beyond Django's own middleware."""

import re
from collections.abc import Awaitable, Callable

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage
from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware

type Handler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(
        f"{feature}=()"
        for feature in (
            "accelerometer",
            "camera",
            "display-capture",
            "geolocation",
            "gyroscope",
            "magnetometer",
            "microphone",
            "midi",
            "payment",
            "usb",
        )
    ),
    # Over plain HTTP, Chromium would look up the hosts of a reply's links.
    "X-DNS-Prefetch-Control": "off",
}
SIGN_OUT = ("account_logout", "admin:logout")
SESSION_ID = re.compile(r"[a-z0-9]{32}")


@async_only_middleware
def response_headers(get_response: Handler) -> Handler:
    """Turn off what no page uses, and keep private pages out of caches and out of the next person's hands."""

    async def answer(request: HttpRequest) -> HttpResponseBase:
        response = await get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            # Otherwise the Back button would still show the page after the sign-out.
            response.headers.setdefault("Cache-Control", "private, no-store")
        if request.method == "POST" and request.resolver_match and request.resolver_match.view_name in SIGN_OUT:
            # Drafts of questions.
            response.headers["Clear-Site-Data"] = '"storage"'
        return response

    return answer


@async_only_middleware
def refuse_nul(get_response: Handler) -> Handler:
    """Answer 400 to a NUL in the query, and ignore a session id that Django has not made.

    PostgreSQL stores no NUL, so looking for one raises an error.
    """

    async def answer(request: HttpRequest) -> HttpResponseBase:
        if "%00" in request.META["QUERY_STRING"]:
            raise BadRequest("There is a NUL in the query.")
        if not SESSION_ID.fullmatch(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")):
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        return await get_response(request)

    return answer


class HostCookieStorage(CookieStorage):
    cookie_name = "__Host-messages"


class HostMessageStorage(FallbackStorage):
    """Django's own, under a cookie name that only this host can set, and only over HTTPS."""

    storage_classes = (HostCookieStorage, SessionStorage)
