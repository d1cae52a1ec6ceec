"""For those who look after the process: load balancers and Prometheus."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.utils import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from chat.database import in_thread
from chat.metrics import exposition
from chat.replylog import PlaceLost, Unreachable, log
from chat.worker import worker

# The id of no reply: looking for it asks the log, which does not hold it.
NOBODY = UUID(int=0)


async def healthz(request: HttpRequest) -> JsonResponse:
    """The process is alive."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """The process can serve: it is not about to end, and its database and its log answer."""
    if worker.draining:
        return _unready("draining", "The process is about to end.")
    try:
        await _ask_database()
        with suppress(PlaceLost):
            await log.read(NOBODY, 0)
    except DatabaseError:
        return _unready("database", "The database does not answer.")
    except Unreachable:
        return _unready("log", "The log of replies does not answer.")
    return JsonResponse({"status": "ok"})


async def metrics(request: HttpRequest) -> HttpResponse:
    """The figures of this process, for Prometheus."""
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


@async_only_middleware
def health(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Answer before anything looks at the host or the scheme: programs ask by address and over plain HTTP."""
    views = {"/healthz/": healthz, "/readyz/": readyz} | ({"/metrics/": metrics} if settings.CHAT_METRICS else {})

    async def answer(request: HttpRequest) -> HttpResponseBase:
        view = views.get(request.path_info)
        return await (view(request) if view else get_response(request))

    return answer


def _unready(code: str, message: str) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=503)


@in_thread
def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
