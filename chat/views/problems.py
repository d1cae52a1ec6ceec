"""Errors in one form: JSON for programs, a page for people."""

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Self, cast

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ObjectDoesNotExist
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.utils.encoding import escape_uri_path
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat import security_log, sentences
from chat.limits import OverLimit
from chat.models import User
from chat.process import Process

# The heading of a problem's page, by its code or else by its status.
TITLES: dict[int | str, str | Promise] = {
    "csrf": _("This page has expired"),
    "reply_running": _("Still writing"),
    403: _("Not allowed"),
    404: _("Page not found"),
    413: _("Too large"),
    429: _("Too many requests"),
    500: _("Something went wrong"),
    503: _("Temporarily unavailable"),
}

# The forms of a conversation. A GET of the address of one leads back to it.
IN_CONVERSATION = {
    *("ask", "queue", "edit_queued", "withdraw_queued", "send_queued", "show_branch"),
    *("stop", "resume", "retry", "feedback"),
}


class Refusal(Exception):
    """A request is refused: the arguments of `problem`."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def of(cls, limit: OverLimit) -> Self:
        return cls(429, limit.code, sentences.limit(limit.code, limit.params), limit.retry_after)


class SignedInRequest(HttpRequest):
    """A request that `signed_in` has let through."""

    user: User


type View[**P] = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]
type SignedInView[**P] = Callable[Concatenate[SignedInRequest, P], Coroutine[Any, Any, HttpResponseBase]]


def wants_json(request: HttpRequest) -> bool:
    """Whether the client is a program: a page, or a reader of an event stream."""
    kinds = ["text/html", "application/json", "text/event-stream"]
    return request.get_preferred_type(kinds) not in ("text/html", None)


def problem(
    request: HttpRequest, status: int, code: str, message: str, retry_after: int | None = None, written: str = ""
) -> HttpResponse:
    """Say what went wrong: `code` for programs, `message` a sentence that tells a person what to do.

    `retry_after` is the number of seconds after which the same request may succeed; `written` is a person's text, which
    they get back.
    """
    if wants_json(request):
        response: HttpResponse = JsonResponse({"error": {"code": code, "message": message}}, status=status)
    else:
        title = TITLES.get(code) or TITLES.get(status, _("That didn't work"))
        match = request.resolver_match
        back = request.path if match and match.url_name in IN_CONVERSATION and status != 404 else ""
        context = {"status": status, "title": title, "message": message, "written": written, "back": back}
        response = render(request, "problem.html", context, status=status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def complaints(form: Form) -> JsonResponse:
    """What is wrong with each field, for programs."""
    fields = {name: str(errors[0]) for name, errors in form.errors.items()}
    error = {"code": "invalid", "message": next(iter(fields.values())), "fields": fields}
    return JsonResponse({"error": error}, status=422)


def signed_in[**P](view: SignedInView[P]) -> View[P]:
    """Let only signed-in people in. Browsers are sent to sign in, programs get a 401."""

    @wraps(view)
    async def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        # The middleware of `chat/sessions.py` has read it.
        if not isinstance(request.user, User):
            if wants_json(request):
                return problem(request, 401, "signed_out", gettext("You've been signed out. Sign in and try again."))
            return redirect_to_login(request.get_full_path() if request.method == "GET" else "/")
        try:
            return await view(cast("SignedInRequest", request), *args, **kwargs)
        except Refusal as refusal:
            return problem(request, refusal.status, refusal.code, refusal.message, refusal.retry_after)
        except OverLimit as limit:
            over = Refusal.of(limit)
            return problem(request, over.status, over.code, over.message, over.retry_after)
        except (Http404, ObjectDoesNotExist):
            # Also for what was deleted while the view ran.
            return not_found(request)

    return guarded


def queued_per_person[**P](view: SignedInView[P]) -> SignedInView[P]:
    """Run only a few such views at the same time for one person; comes after `signed_in`."""

    @wraps(view)
    async def queued(request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        async with Process.of(request).shares.page(request.user):
            return await view(request, *args, **kwargs)

    return queued


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    sentence = gettext("The server couldn't read the request. Go back, reload the page and try again.")
    return problem(request, 400, "bad_request", sentence)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    security_log.write("Access denied", logging.WARNING, request, path=escape_uri_path(request.path))
    sentence = gettext("You don't have permission to do this. Ask your administrator for it.")
    return problem(request, 403, "forbidden", sentence)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    # Nobody else's page may write on one of ours.
    is_ours = request.headers.get("Origin") == f"{request.scheme}://{request.get_host()}"
    if is_ours and (written := request.POST.get("text") or request.POST.get("reason")):
        sentence = gettext(
            "Somebody has signed in with this browser since it was opened. "
            "What you wrote is below: copy it, go back and send it again."
        )
        return problem(request, 403, "csrf", sentence, written=written)
    return problem(request, 403, "csrf", gettext("Go back, reload the page and try again."))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem(request, 404, "not_found", gettext("It doesn't exist, or it belongs to someone else."))


def too_large(request: HttpRequest) -> HttpResponse:
    sentence = gettext("That's too large to send. The limit is %(size)s.")
    return problem(request, 413, "too_large", sentence % {"size": filesizeformat(settings.CHAT_BODY_BYTES)})


def no_websockets(request: HttpRequest) -> HttpResponse:
    return problem(
        request, 403, "no_websockets", gettext("This server has no WebSockets. Follow a reply as an event stream.")
    )


def server_error(request: HttpRequest) -> HttpResponse:
    return problem(request, 500, "server_error", gettext("The server ran into a problem. Try again in a moment."))
