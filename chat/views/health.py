"""For load balancers."""

from django.db import connection
from django.db.utils import DatabaseError
from django.http import HttpRequest, JsonResponse

from chat.database import in_thread
from chat.generation import worker


async def healthz(request: HttpRequest) -> JsonResponse:
    """The process is alive."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """The process can serve: it is not about to end, and its database answers."""
    if worker.draining:
        return JsonResponse({"error": {"code": "draining", "message": "The process is about to end."}}, status=503)
    try:
        await _ask_database()
    except DatabaseError:
        return JsonResponse({"error": {"code": "database", "message": "The database does not answer."}}, status=503)
    return JsonResponse({"status": "ok"})


@in_thread
def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
