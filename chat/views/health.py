"""For load balancers."""

from collections.abc import Awaitable, Callable

from django.db import connection
from django.db.utils import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware

from chat.database import in_thread
from chat.generation import worker


async def healthz(request: HttpRequest) -> JsonResponse:
    """The process is alive."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """The process can serve: it is not about to end, and its database answers."""
    if worker.draining:
        return _unready("draining", "The process is about to end.")
    try:
        await _ask_database()
    except DatabaseError:
        return _unready("database", "The database does not answer.")
    return JsonResponse({"status": "ok"})


VIEWS = {"/healthz/": healthz, "/readyz/": readyz}


@async_only_middleware
def health(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Answer before anything looks at the host or the scheme: load balancers ask by address and over plain HTTP."""

    async def answer(request: HttpRequest) -> HttpResponseBase:
        view = VIEWS.get(request.path_info)
        return await (view(request) if view else get_response(request))

    return answer


def _unready(code: str, message: str) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=503)


@in_thread
def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
