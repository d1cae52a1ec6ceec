"""Drafts: what a page keeps of a question before it is sent."""

from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from chat.database import in_thread
from chat.models import Draft
from chat.views.pages import fields, get_conversation
from chat.views.problems import SignedInRequest, queued_per_person, signed_in


@require_POST
@signed_in
@queued_per_person
async def draft(request: SignedInRequest, pk: UUID | None = None) -> HttpResponse:
    """Keep what is in the box, of this conversation or of a new one; an empty text forgets it."""
    if pk:
        await get_conversation(request, pk)
    # PostgreSQL keeps no NUL. Whatever else a question may not hold is kept, until its person has mended it.
    text = (fields(request).get("text") or "").replace("\0", "")
    await in_thread(Draft.objects.keep)(request.user.pk, pk, text)
    return JsonResponse({})
