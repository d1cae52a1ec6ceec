"""Files that the administration makes of a list: of everything that its filters show, in pieces, as they are sent."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from chat.documents import whole

CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


def filtered(admin: Any, request: HttpRequest) -> QuerySet[Any]:
    """The rows that the filters and the search of an address show, on however many pages."""
    try:
        rows: QuerySet[Any] = admin.get_changelist_instance(request).queryset
    except IncorrectLookupParameters:
        raise BadRequest from None
    return rows


def attachment(
    parts: AsyncIterator[str], name: str, suffix: str, incomplete: Callable[[], str]
) -> StreamingHttpResponse:
    """A file to keep; `incomplete` is its end where it breaks off."""
    response = StreamingHttpResponse(whole(parts, incomplete), content_type=CONTENT_TYPES[suffix])
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{suffix}"'
    return response
